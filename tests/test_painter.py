"""A World that is stepped may have one that makes films draw its first frames from text."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import worldsim
from worldsim.play.keymap import Keymap
from worldsim.play.player import Player
from worldsim.play.session import WorldSession
from worldsim.reel import first_frame
from worldsim.world import UnknownWorldError, World


def with_painter(directory: Path, painter: str, out: Path) -> World:
    world = worldsim.load(directory, device="cpu", dtype="float32")
    spec = world.spec.model_copy(update={"painter": painter})
    World(spec, world.tokenizer, world.dynamics, world.starts, world.overlay).save(out, torch.float32)
    return worldsim.load(out, device="cpu", dtype="float32")


def test_first_frames_are_what_the_painter_makes(
    carrying_world_dir: Path, film_world: World, film_world_dir: Path, tmp_path: Path
) -> None:
    world = with_painter(carrying_world_dir, str(film_world_dir), tmp_path / "painted")
    run = world.start(lanes=2, seed=[4, 5], prompt=["snow", "rain"])
    assert world.overlay is not None
    for lane, (prompt, seed) in enumerate((("snow", 4), ("rain", 5))):
        painted = first_frame(film_world, prompt, seed, (32, 48))
        assert torch.equal(run.frames[lane][~world.overlay], painted[~world.overlay])
        hidden = run.frames[lane][world.overlay]
        assert any(torch.equal(hidden, start[world.overlay]) for start in world.starts.frames), "the hand is a true one"
    alone = world.start(seed=5, prompt="rain")
    actions = torch.zeros(2, world.spec.action_dim)
    assert torch.equal(run.frames[1], alone.frames[0])
    torch.testing.assert_close(run.step(actions).frames[1], alone.step(actions[:1]).frames[0])
    assert world.start(seed=1, prompt="snow", size=(48, 32)).frames.shape == (1, 48, 32, 3)


def test_without_a_prompt_it_is_not_asked(tiny_world_dir: Path, tmp_path: Path) -> None:
    world = with_painter(tiny_world_dir, str(tmp_path / "gone"), tmp_path / "painted")
    world.start(seed=1)
    with pytest.raises(UnknownWorldError, match="gone"):
        world.start(seed=1, prompt="snow")
    shutil.rmtree(tmp_path / "painted")


def test_words_change_what_is_there(carrying_world_dir: Path, film_world_dir: Path, tmp_path: Path) -> None:
    world = with_painter(carrying_world_dir, str(film_world_dir), tmp_path / "painted")
    run = world.start(lanes=2, seed=4)
    before = run.frames.clone()
    state = run.snapshot()
    frames = run.set_prompt("snow").clone()
    assert world.overlay is not None
    assert torch.equal(frames[:, world.overlay], before[:, world.overlay])
    assert not torch.equal(frames, before)
    assert torch.equal(run.frames, frames)
    run.restore(state)
    assert torch.equal(run.frames, before)
    assert torch.equal(run.set_prompt("snow"), frames)
    weak, strong = (run.restore(state) or run.set_prompt("snow", strength).float() for strength in (0.1, 1.0))
    assert not torch.equal(weak, strong)
    with pytest.raises(ValueError, match="strength"):
        run.set_prompt("snow", 0.0)


def test_a_player_goes_back_to_before_the_words_and_after(
    carrying_world_dir: Path, film_world_dir: Path, tmp_path: Path
) -> None:
    world = with_painter(carrying_world_dir, str(film_world_dir), tmp_path / "painted")
    player = Player(WorldSession(world, seed=1))
    keymap, frames = Keymap(player.session.space), []
    for tick in range(12):
        if tick == 6:
            assert player.set_prompt("snow")
        frames.append(player.frame)
        player.tick(keymap.action({"w"}))
    for _ in range(3):
        player.back()
    player.resume()
    assert (player.frame == frames[9]).all(), "after the words"
    for _ in range(5):
        player.back()
    player.resume()
    assert (player.session.frame == frames[4]).all(), "before them"


def test_without_a_painter_the_text_is_told_and_nothing_else(tiny_world_dir: Path) -> None:
    world = worldsim.load(tiny_world_dir, device="cpu", dtype="float32")
    told, untold = world.start(seed=1), world.start(seed=1)
    before = told.frames.clone()
    assert torch.equal(told.set_prompt("snow"), before)
    actions = torch.zeros(1, world.spec.action_dim)
    assert not torch.equal(told.step(actions).latents, untold.step(actions).latents)

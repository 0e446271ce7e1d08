"""A World that is stepped may have one that makes films draw its first frames from text."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import worldsim
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

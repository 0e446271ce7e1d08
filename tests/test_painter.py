"""A World's painter draws what comes into view, first frames from text, and frames anew."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

import worldsim
from worldsim.painter import paint_ahead, paint_frames
from worldsim.play.keymap import Keymap
from worldsim.play.player import Player
from worldsim.play.session import WorldSession
from worldsim.simulation import Simulation
from worldsim.world import World


@pytest.fixture(scope="module")
def world(painting_world_dir: Path) -> World:
    return worldsim.load(painting_world_dir, device="cpu", dtype="float32")


def turning(world: World, lanes: int = 1) -> torch.Tensor:
    """An action that turns the camera, for each lane."""
    actions = torch.zeros(lanes, world.spec.action_dim)
    actions[:, :2] = torch.tensor([10.0, 4.0])  # the camera, by the order of the space's keys
    return actions


def ahead(run: Simulation, moved: torch.Tensor) -> torch.Tensor:
    """`paint_ahead` of what a Simulation knows."""
    assert run._shown is not None
    assert run._painting is not None
    return paint_ahead(run.world, run._shown, run._painting, moved, run._noise)


def forget_pictures(run: Simulation) -> None:
    assert run._shown is not None
    assert run._shown.surroundings is not None
    run._shown.surroundings.shown.fill_(-1)


def test_what_has_come_into_view_is_painted_in_some_steps_and_the_rest_stays(world: World) -> None:
    def painted() -> torch.Tensor:
        run = world.start(lanes=2, seed=3)
        assert run._painting is not None
        forget_pictures(run)  # the newest picture of there must not show it
        for step in range(world.spec.painter_steps):
            assert run._painting.easel.busy.tolist() == [False, step > 0]
            known = ahead(run, moved)
            assert torch.equal(moved, before), "what it is given stays"
            assert (known is moved) == (step < world.spec.painter_steps - 1)
        assert not run._painting.easel.busy.any()
        return known

    moved = torch.rand(2, 32, 48, 4)
    moved[..., 3] = 1
    run = world.start(lanes=2, seed=3)
    assert ahead(run, moved) is moved, "nothing is new"
    moved[1, :, 40:, 3] = 0  # on the right of the second lane
    before = moved.clone()
    known = painted()
    assert torch.equal(known[0], moved[0])
    assert torch.equal(known[1, :, :40], moved[1, :, :40])
    assert world.overlay is not None
    new = known[1][:, 40:][~world.overlay[:, 40:]]
    assert (new[:, 3] == 1).float().mean() > 0.9
    assert torch.equal(known, painted()), "it follows from the seed and the step"


def test_what_is_missing_beside_a_hand_is_not_worth_painting(world: World) -> None:
    run = world.start(lanes=1, seed=3)
    moved = torch.rand(1, 32, 48, 4)
    moved[..., 3] = 1
    moved[:, 22:24, 36:, 3] = 0  # above the hand
    ahead(run, moved)
    assert run._painting is not None
    assert not run._painting.easel.busy.any()


def test_it_paints_while_the_world_is_stepped(world: World) -> None:
    without = copy.copy(world)
    without.painter = None
    painted, plain = world.start(seed=3), without.start(seed=3)
    assert torch.equal(painted.frames, plain.frames)
    for step in range(1, 3 * world.spec.painter_steps):
        results = [run.step(turning(world)) for run in (painted, plain)]
        assert painted._painting is not None
        if step < world.spec.painter_steps:
            assert painted._painting.easel.busy.all()
        if step == 1:
            assert torch.equal(results[0].frames, results[1].frames), "not yet"
    assert not torch.equal(results[0].frames, results[1].frames)


def test_what_is_shown_until_it_is_painted_is_forgotten(world: World) -> None:
    run = world.start(seed=3)
    for _ in range(world.spec.painter_steps + 1):
        moved = run.step(turning(world)).moved
        assert moved is not None
        assert run._shown is not None
        assert run._painting is not None
        unknown = moved[..., 3] == 0
        assert unknown.any()
        passing = run._shown.sources[..., 2] < 0
        if run._painting.easel.busy.all():
            assert passing[unknown].all()
            # Nor is it in the pictures of other directions: who looks there finds nothing.
            around = run._shown.surroundings
            assert around is not None
            assert world.overlay is not None
            blank = torch.zeros_like(moved)
            assert (around.looked_up(blank, around.turn)[..., 3] == 0)[unknown & ~world.overlay].all()
        elif world.overlay is not None:
            assert not passing[unknown & ~world.overlay].any()
            return
    raise AssertionError("it should have been finished")


def test_lanes_snapshots_and_branches_paint_the_same(world: World) -> None:
    run = world.start(lanes=3, seed=3, prompt=["snow", "rain", "snow"])
    state, branched = run.snapshot(), run.branch(2)
    frames = [run.step(turning(world, 3)).frames.clone() for _ in range(7)]
    run.restore(state)
    assert all(torch.equal(run.step(turning(world, 3)).frames, frame) for frame in frames[:2])
    state, later = run.snapshot(), run.branch(2)  # while something is on the easel
    assert run._painting is not None
    assert run._painting.easel.busy.any()
    for _ in range(2):
        run.restore(state)
        assert all(torch.equal(run.step(turning(world, 3)).frames, frame) for frame in frames[2:])
    for frame in frames[2:]:
        assert torch.equal(later.step(turning(world, 6)).frames, frame.repeat_interleave(2, 0))
    assert torch.equal(branched.step(turning(world, 6)).frames, frames[0].repeat_interleave(2, 0))
    alone = world.start(seed=4, prompt="rain")
    assert all(torch.equal(alone.step(turning(world)).frames[0], frame[1]) for frame in frames)
    run.set_prompt("night")
    run.restore(state)
    assert all(torch.equal(run.step(turning(world, 3)).frames, frame) for frame in frames[2:]), "told as it was then"


def test_first_frames_are_painted_from_text(world: World) -> None:
    run = world.start(lanes=2, seed=[4, 5], prompt=["snow", "rain"])
    assert world.overlay is not None
    noise = run._painter_noise([4, 5], [0, 0])
    painted = paint_frames(world, ["snow", "rain"], noise)
    assert torch.equal(run.frames[:, ~world.overlay], painted[:, ~world.overlay])
    assert not torch.equal(painted, paint_frames(world, ["rain", "rain"], noise))
    for lane in range(2):
        hidden = run.frames[lane][world.overlay]
        assert any(torch.equal(hidden, start[world.overlay]) for start in world.starts.frames), "the hand is a true one"
    assert world.start(seed=1, prompt="snow", size=(48, 32)).frames.shape == (1, 48, 32, 3)


def test_words_change_what_is_there(world: World) -> None:
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


def test_a_player_goes_back_to_before_the_words_and_after(world: World) -> None:
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


def test_it_comes_back_from_disk(world: World, tmp_path: Path) -> None:
    world.save(tmp_path, torch.float32)
    again = worldsim.load(tmp_path, device="cpu", dtype="float32")
    runs = [one.start(seed=3, prompt="snow") for one in (world, again)]
    for _ in range(5):
        assert torch.equal(*(run.step(turning(world)).frames for run in runs))


def test_a_painter_that_does_not_fit_is_refused(world: World, tiny_world_dir: Path) -> None:
    tiny = worldsim.load(tiny_world_dir, device="cpu", dtype="float32")
    with pytest.raises(ValueError, match="which tiny is not"):
        World(tiny.spec, tiny.tokenizer, tiny.dynamics, tiny.starts, painter=world.painter)
    with pytest.raises(ValueError, match="needs sees_known"):
        World(world.spec, world.tokenizer, world.dynamics, world.starts, painter=tiny.dynamics)

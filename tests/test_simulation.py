"""Running Worlds: lanes are independent, snapshots are exact, starts come from where the caller says."""

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import worldsim
from worldsim.machine import fast_dtype
from worldsim.model.dynamics import Dynamics
from worldsim.model.motion import carried, pixel_places
from worldsim.model.sampler import Memory, flow_between, sample_next
from worldsim.simulation import Simulation, lane_noise
from worldsim.world import World


@pytest.fixture(scope="module", params=["float32", "bfloat16", "carrying, float32", "carrying, bfloat16"])
def world(request: pytest.FixtureRequest, tiny_world_dir: Path, carrying_world_dir: Path) -> World:
    carries, _, dtype = request.param.rpartition(", ")
    return worldsim.load(carrying_world_dir if carries else tiny_world_dir, device="cpu", dtype=dtype)


@pytest.fixture(scope="module", autouse=True)
def several_threads() -> Iterator[None]:
    """Sums could differ with the number of threads that make them, and `make test` gives each process one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def some_actions(world: World, steps: int, seed: int = 0) -> np.ndarray:
    """Random flat actions (steps, action_dim)."""
    world.spec.action_space.seed(seed)
    return np.stack([world.spec.flatten(world.spec.action_space.sample()) for _ in range(steps)])


def play(run: Simulation, actions: np.ndarray, lane: int = 0) -> list[torch.Tensor]:
    """The frames of one lane when every lane takes the same actions."""
    return [run.step(np.repeat(action[None], run.lanes, 0)).frames[lane] for action in actions]


def equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_step_gives_frames_rewards_and_ends(world: World) -> None:
    run = world.start(lanes=3, seed=1)
    before = run.frames
    out = run.step(some_actions(world, 3))
    assert out.frames.shape == (3, 32, 48, 3)
    assert out.frames.dtype == torch.uint8
    assert out.rewards.shape == out.ends.shape == (3,)
    assert out.rewards.dtype == torch.float32
    assert out.ends.dtype == torch.bool
    assert not torch.equal(before, out.frames)


def test_the_same_seed_and_actions_give_the_same_frames_in_any_lane(world: World) -> None:
    actions = some_actions(world, 12)  # longer than the context: the ring wraps around
    alone = play(world.start(lanes=1, seed=7), actions)
    assert equal(alone, play(world.start(lanes=1, seed=7), actions))
    for lanes, lane in ((8, 5), (3, 0)):
        seeds = [100 + i for i in range(lanes)]
        seeds[lane] = 7
        assert equal(alone, play(world.start(lanes=lanes, seed=seeds), actions, lane))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_so_do_those_of_the_world_that_ships(dtype: str) -> None:
    """Its sizes are others, and it sees the motion of the picture."""
    if dtype == "bfloat16" and fast_dtype(torch.device("cpu")) == torch.float32:
        pytest.skip("it takes minutes where bfloat16 is emulated, and nobody would step a World in it there")
    world = worldsim.load("blocks", device="cpu", dtype=dtype)
    actions = some_actions(world, 14)
    run = world.start(lanes=8, seed=[1, 2, 3, 4, 5, 7, 8, 9])
    before = run.snapshot()
    beside, alone = play(run, actions, lane=5), world.start(lanes=1, seed=7)
    assert equal(beside, play(alone, actions))
    assert torch.equal(run.policy_actions()[5], alone.policy_actions()[0])
    run.restore(before)
    assert equal(beside, play(run, actions, lane=5))
    shown = torch.stack(beside[:13])
    others = torch.stack(play(run, actions[:13], lane=2))
    context = torch.stack([others, others, shown, others])
    alone = play(world.start(seed=2, context=shown, actions=actions[1:13]), actions)
    beside = play(world.start(lanes=4, context=context, actions=actions[None, 1:13].repeat(4, 0)), actions, lane=2)
    assert equal(alone, beside), "also from frames of the caller's"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_lane_without_words_does_not_hear_its_neighbours(tiny_world_dir: Path, dtype: torch.dtype) -> None:
    world = worldsim.load(tiny_world_dir, dtype=dtype)
    alone, beside = world.start(lanes=1, seed=5), world.start(lanes=2, seed=[5, 6])
    beside.reset(np.array([False, True]), seeds=[7], prompt="a snowy plain at dusk")
    for action in np.random.default_rng(0).uniform(-1, 1, (4, 1, world.spec.action_dim)):
        alone.step(action)
        beside.step(np.repeat(action, 2, 0))
        assert torch.equal(alone.frames[0], beside.frames[0])


def test_other_seeds_and_other_actions_give_other_frames(world: World) -> None:
    actions = some_actions(world, 3)
    frames = play(world.start(seed=7), actions)
    assert not equal(frames, play(world.start(seed=8), actions))
    assert not torch.equal(frames[-1], play(world.start(seed=7), some_actions(world, 3, seed=1))[-1])


def test_a_reset_lane_does_not_disturb_its_neighbours(world: World) -> None:
    actions = some_actions(world, 8)
    run = world.start(lanes=2, seed=[7, 8])
    first = play(run, actions[:3])
    run.reset(mask=np.array([False, True]), seeds=[99])
    assert equal(first + play(run, actions[3:]), play(world.start(seed=7), actions))
    # and the lane that was reset is as good as new
    run = world.start(lanes=2, seed=[7, 8])
    play(run, actions[:3])
    run.reset(mask=np.array([False, True]), seeds=[99])
    assert equal(play(run, actions, lane=1), play(world.start(seed=99), actions))


@settings(max_examples=10, deadline=None)
@given(before=st.integers(0, 10), after=st.integers(1, 4), seed=st.integers(0, 2**40))
def test_restore_is_exact_however_often(carrying_world_dir: Path, before: int, after: int, seed: int) -> None:
    world = worldsim.load(carrying_world_dir, device="cpu", dtype="float32")
    actions = some_actions(world, before + after, seed=before)
    run = world.start(seed=seed)
    play(run, actions[:before])
    snapshot = run.snapshot()
    first = play(run, actions[before:])
    run.restore(snapshot)
    assert equal(first, play(run, actions[before:]))
    other = world.start(seed=0)
    other.restore(snapshot)
    assert torch.equal(other.frames, snapshot.frames)
    assert equal(first, play(other, actions[before:]))


def test_branches_go_their_own_ways(world: World) -> None:
    actions = some_actions(world, 6)
    run = world.start(lanes=2, seed=[7, 8])
    play(run, actions[:2])
    branch = run.branch(3)
    assert branch.lanes == 6
    different = np.repeat(actions[None, 2], 6, 0)
    different[1] = actions[3]
    frames = branch.step(different).frames
    assert torch.equal(frames[0], frames[2])
    assert not torch.equal(frames[0], frames[1])
    assert equal(play(run, actions[2:]), play(world.start(seed=7), actions)[2:])


def test_policy_actions_are_actions_and_depend_on_the_seed_alone(world: World) -> None:
    run = world.start(lanes=4, seed=[7, 1, 2, 3])
    flat = run.policy_actions()
    for row in flat.numpy():
        assert world.spec.unflatten(row) in world.spec.action_space
    assert torch.equal(flat, run.policy_actions()), "asking does not change anything"
    assert torch.equal(flat[:1], world.start(seed=7).policy_actions())
    assert len({tuple(row.tolist()) for row in flat}) > 1


def test_start_from_the_callers_context(world: World) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (5, 32, 48, 3), np.uint8)
    run = world.start(lanes=2, context=frames, actions=some_actions(world, 4))
    assert torch.equal(run.frames[0], run.frames[1])
    assert run.context_frames()[0].shape == (5, 32, 48, 3)
    assert torch.equal(run.context_frames()[0][-1], run.frames[0])
    image = world.start(context=frames[-1:])
    assert torch.equal(image.frames[0], run.frames[0])
    action = some_actions(world, 1)
    assert not torch.equal(image.step(action).frames[0], run.step(np.repeat(action, 2, 0)).frames[0])


def test_a_long_context_is_cut_to_what_the_world_remembers(world: World) -> None:
    length = world.spec.context_length
    frames = np.random.default_rng(0).integers(0, 255, (length + 5, 32, 48, 3), np.uint8)
    actions = some_actions(world, length + 4)
    cut = world.start(context=frames[4:], actions=actions[4:])
    assert equal(play(world.start(context=frames, actions=actions), actions[:2]), play(cut, actions[:2]))


def test_a_world_that_carries_goes_on_from_the_very_frame_that_is_shown(carrying_world_dir: Path) -> None:
    world = copy.deepcopy(worldsim.load(carrying_world_dir, device="cpu", dtype="float32"))
    motion = world.dynamics.motion
    with torch.no_grad():
        for layer in (motion.whole, motion.parts, motion.follow):  # nothing moves
            layer.weight.zero_()
            layer.bias.zero_()
    context = np.random.default_rng(0).integers(0, 256, (4, 32, 48, 3)).astype(np.uint8)
    actions = some_actions(world, 5)
    run = world.start(context=context, actions=actions[:3])
    for action in actions[3:]:
        before = run.frames
        result = run.step(action[None])
        moved = carried(before, result.places)
        assert torch.equal((255 * moved[..., :3]).round().byte(), before)
        assert moved[..., 3].min() == 1, "all of it was in view"
        kept = (result.frames == before).all(-1).float().mean()
        assert 0.05 < kept < 0.95, "some is kept and some is drawn"
        with torch.no_grad():
            assert torch.equal(run.latents, world.tokenizer.encode(run.frames))


@pytest.mark.parametrize("size", [(32, 48), (64, 96)])
def test_the_overlay_is_where_it_was_and_the_rest_turns(
    size: tuple[int, int], carrying_world_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tokenizer keeps all that there is to keep, and all is told to move by three pixels."""
    world = copy.deepcopy(worldsim.load(carrying_world_dir, device="cpu", dtype="float32"))
    torch.nn.init.zeros_(world.tokenizer.to_fit.weight)
    torch.nn.init.ones_(world.tokenizer.to_fit.bias)

    def moved(dynamics: Dynamics, memory: Memory, actions: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        across = torch.tensor([2 * 3.0 / size[1], 0.0])
        return (pixel_places(*size, torch.device("cpu")) + across).repeat(len(actions), 1, 1, 1)

    monkeypatch.setattr("worldsim.simulation.sample_next", moved)
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, *size, 3)).astype(np.uint8))
    run = world.start(2, context=frames[:, None])
    hand = torch.zeros(size, dtype=torch.bool)
    hand[size[0] * 3 // 4 :, size[1] * 3 // 4 :] = True
    action = some_actions(world, 2)
    for step in (1, 2):
        run.step(action)
        assert torch.equal(run.frames[:, hand], frames[:, hand])
        left = slice(0, size[1] // 2)
        expected = frames[:, :, 3 * step : 3 * step + size[1] // 2]
        assert torch.equal(run.frames[:, :, left], expected)
    # One lane begins anew, the other goes on; branches do as it does.
    run.reset(np.array([True, False]), context=frames[:1, None])
    branches = run.branch(2)
    run.step(action)
    branches.step(action.repeat(2, 0))
    assert torch.equal(branches.frames, run.frames.repeat_interleave(2, 0))
    assert torch.equal(run.frames[:, hand], frames[:, hand])
    assert torch.equal(run.frames[1, :, : size[1] // 4], frames[1, :, 9 : 9 + size[1] // 4])


@pytest.mark.parametrize("carries", [False, True])
def test_it_is_told_how_the_frames_that_were_shown_had_moved(
    carries: bool, tiny_world_dir: Path, carrying_world_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = copy.copy(worldsim.load(carrying_world_dir if carries else tiny_world_dir, device="cpu", dtype="float32"))
    config = world.dynamics.config.model_copy(update={"sees_motion": True})
    world.dynamics = Dynamics(config).eval().requires_grad_(False)
    told: list[torch.Tensor] = []

    def noted(dynamics: Dynamics, memory: Memory, *given: Any, **more: Any) -> torch.Tensor:
        told.append(given[-1])
        return sample_next(dynamics, memory, *given, **more)

    monkeypatch.setattr("worldsim.simulation.sample_next", noted)
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 4, 8), (32, 64), mode="bicubic").clamp(0, 1)
    wide = (255 * smooth).byte().permute(0, 2, 3, 1)
    context = torch.stack([wide[:, :, left : left + 48] for left in (0, 2, 4)], 1)
    actions = some_actions(world, 3)
    run = world.start(2, context=context, actions=np.zeros((2, world.spec.action_dim), np.float32))
    shown = [*context[:, 1:].unbind(1)]
    snapshot = run.snapshot()
    shown += [run.step(np.stack([action, action])).frames for action in actions]
    for before, now, flow in zip(shown[:-2], shown[1:-1], told, strict=True):
        assert torch.equal(flow, flow_between(world.dynamics, before, now))
    assert told[0][..., 0].median() == pytest.approx(2.0, abs=0.2)
    run.restore(snapshot)
    branch = run.branch(2)
    branch.step(np.repeat(actions[:1], 4, 0))
    assert torch.equal(told[-1], told[0].repeat_interleave(2, 0))
    run.reset(np.array([True, False]), context=context[:1, :1])
    run.step(np.stack([actions[0], actions[0]]))
    assert told[-1][0].abs().max() < 0.2, "nothing is known of before"
    assert torch.equal(told[-1][1], told[0][1])


@pytest.mark.parametrize("carries", [False, True])
def test_it_goes_on_from_frames_that_it_is_shown(carries: bool, tiny_world_dir: Path, carrying_world_dir: Path) -> None:
    world = copy.copy(worldsim.load(carrying_world_dir if carries else tiny_world_dir, device="cpu", dtype="float32"))
    world.overlay = None  # it would stay
    frames = np.random.default_rng(0).integers(0, 256, (2, 2, 32, 48, 3)).astype(np.uint8)
    actions = some_actions(world, 4)
    run = world.start(2, context=frames[:, :1])
    for action in actions[:3]:
        run.step(np.stack([action, action]))
    own = run.snapshot()
    other = run.step(np.stack([actions[3], actions[3]])).frames
    run.restore(own)
    run.set_frames(frames[:, 1])
    assert torch.equal(run.frames, torch.from_numpy(frames[:, 1]))
    result = run.step(np.stack([actions[3], actions[3]]))
    assert not torch.equal(result.frames, other)
    if carries:
        moved = carried(torch.from_numpy(frames[:, 1]), result.places)
        there = moved[..., 3] > 0
        assert torch.equal(result.moved[there], moved[there])
    for wrong in (frames[:1, 1], frames[:, 1].astype(np.int64)):
        with pytest.raises(ValueError, match="frames must be uint8"):
            run.set_frames(wrong)


def test_what_left_the_view_is_there_when_it_comes_back(
    carrying_world_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tokenizer keeps all that there is to keep; the turns are given in place of predicted ones."""
    world = copy.deepcopy(worldsim.load(carrying_world_dir, device="cpu", dtype="float32"))
    torch.nn.init.zeros_(world.tokenizer.to_fit.weight)
    torch.nn.init.ones_(world.tokenizer.to_fit.bias)
    slope = torch.tensor([1.5, 1.0]) * math.tan(math.radians(world.spec.field_of_view / 2))
    now = pixel_places(32, 48, torch.device("cpu")) * slope

    def turned(dynamics: Dynamics, memory: Memory, actions: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        angle = torch.deg2rad(actions[:, -2] * 10)[:, None, None]
        ahead = angle.cos() - now[..., 0] * angle.sin()
        before = torch.stack([now[..., 0] * angle.cos() + angle.sin(), now[..., 1].expand_as(ahead)], -1)
        return before / ahead[..., None] / slope

    monkeypatch.setattr("worldsim.simulation.sample_next", turned)
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 4, 6), (32, 48), mode="bicubic").clamp(0, 1)
    frames = (255 * smooth).byte().permute(0, 2, 3, 1)
    run = world.start(2, context=frames[:, None])
    yaw = world.spec.flatten({"forward": 0, "camera": np.array([10, 0], np.float32)})
    other = world.spec.flatten({"forward": 0, "camera": np.array([-10, 0], np.float32)})
    for step in range(3):
        run.step(np.stack([yaw, other]))
        if step == 0:
            branched, snapshot = run.branch(2), run.snapshot()
    gone = run.frames
    for _ in range(3):
        run.step(np.stack([other, yaw]))
    assert (run.frames.int() - frames).abs().float().mean() < 4 < (gone.int() - frames).abs().float().mean()
    branched.step(np.stack([other, other, yaw, yaw]))
    assert (branched.frames.int() - frames.repeat_interleave(2, 0)).abs().float().mean() < 4
    run.restore(snapshot)
    run.step(np.stack([other, yaw]))
    assert torch.equal(run.frames, branched.frames[::2])
    run.reset(np.array([True, False]), [5], context=255 - frames[:1, None])
    run.step(np.stack([yaw, yaw]))
    run.step(np.stack([other, other]))
    assert (run.frames[0].int() - (255 - frames[0].int())).abs().float().mean() < 4, "and not what was before the reset"


def test_a_start_shows_the_frame_itself(world: World) -> None:
    """Not what its latents tell of it; also from a single frame, and whatever the caller does with it afterwards."""
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3)).astype(np.uint8)
    for first in (0, 2):
        context = frames[first:].copy()
        run = world.start(lanes=2, context=context, actions=some_actions(world, 2 - first) if first < 2 else None)
        context[:] = 0
        assert np.array_equal(run.frames[1].numpy(), frames[2])
        assert np.array_equal(run.context_frames()[0][-1].numpy(), frames[2])
        assert len(run.context_frames()[0]) == 3 - first
    stored = world.start(seed=3).frames[0]
    assert any(torch.equal(stored, frame) for frame in world.starts.frames)
    text = world.start(prompt="a tree")
    assert torch.equal(text.context_frames()[0], text.frames)


def test_other_sizes(world: World) -> None:
    run = world.start(size=(48, 64), seed=3)
    assert run.frames.shape == (1, 48, 64, 3)
    assert run.step(some_actions(world, 1)).frames.shape == (1, 48, 64, 3)
    frames = np.zeros((1, 16, 32, 3), np.uint8)
    assert world.start(context=frames).size == (16, 32)


def test_start_from_text(world: World) -> None:
    snow, sand = (world.start(seed=3, prompt=text) for text in ("snow", "sand"))
    assert not torch.equal(snow.frames, sand.frames)
    assert torch.equal(snow.frames, world.start(seed=3, prompt="snow").frames)
    mixed = world.start(lanes=2, seed=[3, 3], prompt=["snow", "sand"])
    actions = some_actions(world, 3)
    assert equal(play(mixed, actions, lane=1), play(sand, actions))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lanes": 0}, "lanes must be at least 1, got 0"),
        ({"steps": 0}, "steps .* must be at least 1, got 0"),
        ({"size": (30, 48)}, r"positive multiples of 16, got \(30, 48\)"),
        ({"lanes": 2, "seed": [1]}, "2 lanes are reset, but 1 seeds"),
        ({"lanes": 2, "prompt": ["a"]}, "2 lanes are reset, but 1 prompts"),
        ({"prompt": "a", "context": np.zeros((1, 32, 48, 3), np.uint8)}, "not from both"),
        ({"actions": np.zeros((1, 4))}, "give the context frames too"),
        ({"context": np.zeros((1, 32, 48, 3))}, "context must be uint8 frames, got torch.float64"),
        ({"context": np.zeros((32, 48, 3), np.uint8)}, r"context must be \(T, 32, 48, 3\)"),
        ({"context": np.zeros((3, 32, 48, 3), np.uint8)}, "a context of 3 frames needs the 2 actions"),
        ({"context": np.zeros((3, 32, 48, 3), np.uint8), "actions": np.zeros((3, 4))}, r"must be flat, \(2, 4\)"),
    ],
)
def test_wrong_starts_are_refused_with_a_sentence(tiny_world_dir: Path, arguments: dict, message: str) -> None:
    world = worldsim.load(tiny_world_dir, device="cpu", dtype="float32")
    with pytest.raises(ValueError, match=message):
        world.start(**arguments)


def test_wrong_steps_are_refused_with_a_sentence(tiny_world_dir: Path) -> None:
    run = worldsim.load(tiny_world_dir, device="cpu", dtype="float32").start(lanes=2)
    with pytest.raises(ValueError, match=r"actions must be flat, \(2, 4\), got \(4,\)"):
        run.step(np.zeros(4, np.float32))
    with pytest.raises(ValueError, match="finite"):
        run.step(np.full((2, 4), np.nan, np.float32))
    with pytest.raises(ValueError, match=r"the snapshot is of 1 lanes .* this Simulation has 2"):
        run.restore(run.branch(1).world.start().snapshot())
    with pytest.raises(ValueError, match="n must be at least 1"):
        run.branch(0)
    with pytest.raises(ValueError, match=r"mask must be bool \(2,\)"):
        run.reset(mask=np.zeros(3, bool))


def test_noise_depends_on_seed_and_draw() -> None:
    draws = {tuple(lane_noise(seed, draw, (3,)).tolist()) for seed in (0, 1, 2**62, -5) for draw in range(5)}
    assert len(draws) == 20
    many = lane_noise(3, 4, (20_000,))
    assert abs(float(many.mean())) < 0.03
    assert abs(float(many.std()) - 1) < 0.03

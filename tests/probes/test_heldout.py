"""Held-out truth: frames and actions aligned, the same for the same seed; and the action of doing nothing."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from worldsim.probes.heldout import CONTEXT, Stretch, explore, idle, open_simulator, wander
from worldsim.spec import WorldSpec, space_to_json


class Short(gym.Env[np.ndarray, int]):
    """An environment whose episodes end after 40 ticks for each million of the seed."""

    observation_space = spaces.Box(0, 255, (16, 16, 3), np.uint8)
    action_space = spaces.Discrete(2, start=5)

    def reset(self, *, seed: int | None = None, options: object = None) -> tuple[np.ndarray, dict[str, int]]:
        super().reset(seed=seed)
        self.left = (seed or 0) // 1_000_000 * 40
        return np.zeros((16, 16, 3), np.uint8), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, int]]:
        self.left -= 1
        return np.full((16, 16, 3), self.left % 256, np.uint8), 0.0, self.left <= 0, False, {}


def test_actions_lead_from_each_frame_to_the_next() -> None:
    env, twin = (gym.make("worldsim/BallsSim-v0", max_episode_steps=1000) for _ in range(2))
    twin.reset(seed=0)
    kept = []
    for frame, action, _ in wander(env, 7_000_000):
        kept.append((frame, action, env.unwrapped.snapshot()))
        if len(kept) == 20:
            break
    for (_, action, state), (after, _, _) in pairwise(kept):
        twin.unwrapped.restore(state)
        assert np.array_equal(twin.step(action)[0], after)


def test_the_same_seed_gives_the_same_stretch() -> None:
    env = gym.make("worldsim/BallsSim-v0", max_episode_steps=1000)
    ticks: list[int] = []
    first = explore(env, [7_000_000, 7_000_001], 5, lambda: ticks.append(1))
    again = explore(env, [7_000_001], 5, lambda: None)
    assert first.frames.shape == (2, CONTEXT + 5, 48, 48, 3)
    assert first.actions.shape == (2, CONTEXT + 4, 2)
    assert first.steps == 5
    assert len(ticks) == 2 * (CONTEXT + 4)
    assert np.array_equal(first.frames[1], again.frames[0])
    assert np.array_equal(first.actions[1], again.actions[0])
    assert not np.array_equal(first.frames[0], first.frames[1])


def test_steps_count_from_the_end_of_the_context() -> None:
    count = np.arange(CONTEXT + 3)
    frames = np.broadcast_to(count[None, :, None, None, None], (1, CONTEXT + 3, 16, 16, 3)).astype(np.uint8)
    stretch = Stretch(frames, count[None, :-1, None].astype(np.float32), [0])
    assert stretch.after(0)[0, 0, 0, 0] == CONTEXT - 1  # the last frame of the context
    assert stretch.after(1)[0, 0, 0, 0] == CONTEXT
    assert stretch.taken(1)[0, 0] == CONTEXT - 1  # actions[t] leads to frames[t + 1]


def test_an_episode_that_ends_too_early_is_replaced_and_short_ones_are_an_error() -> None:
    env = Short()
    assert explore(env, [1_000_000], 64, lambda: None).frames.shape == (1, CONTEXT + 64, 16, 16, 3)
    with pytest.raises(ValueError, match="too short for this: none of 20 from seed 0 on lasted 2016 frames"):
        explore(env, [0], 2000, lambda: None)


def test_a_world_without_a_simulator_is_an_error(tiny_spec: WorldSpec) -> None:
    with pytest.raises(ValueError, match="the World 'tiny' has no simulator to be compared with"):
        open_simulator(tiny_spec)


def test_episodes_are_not_cut_off() -> None:
    space = space_to_json(spaces.Box(-1, 1, (2,), np.float32))
    spec = WorldSpec(
        name="balls", size=(48, 48), fps=20, action=space, context_length=16, simulator="worldsim/BallsSim-v0"
    )
    env = open_simulator(spec)
    assert gym.spec("worldsim/BallsSim-v0").max_episode_steps == 200
    assert explore(env, [7_000_000], 250, lambda: None).steps == 250


def test_doing_nothing_in_the_block_world_keeps_what_is_held() -> None:
    env = gym.make("worldsim/BlocksSim-v0", size=(16, 16))
    env.action_space.seed(1)
    last = env.action_space.sample()
    last["hotbar"] = np.int64(7)
    action = idle(env.action_space, last)
    assert env.action_space.contains(action)
    assert action["hotbar"] == 7
    assert np.array_equal(action["camera"], [0, 0])
    assert not any(action[key] for key in action if key not in ("hotbar", "camera"))


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (spaces.Discrete(4, start=3), 3),
        (spaces.Box(np.array([-1, 0.5], np.float32), np.array([1, 2], np.float32)), [0, 0.5]),
        (spaces.MultiDiscrete([3, 4]), [0, 0]),
        (spaces.MultiBinary(3), [0, 0, 0]),
    ],
)
def test_doing_nothing(space: spaces.Space, expected: object) -> None:
    action = idle(space, space.sample())
    assert space.contains(action)
    assert np.array_equal(action, expected)


def test_doing_nothing_in_nested_spaces() -> None:
    space = spaces.Dict(OrderedDict(a=spaces.Tuple([spaces.Discrete(2), spaces.Box(-1, 1, (1,), np.float32)])))
    action = idle(space, space.sample())
    assert space.contains(action)
    assert action["a"][0] == 0

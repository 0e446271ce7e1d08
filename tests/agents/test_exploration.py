"""Exploration policies for any space: valid, repeatable, sticky in discrete parts and smooth in continuous ones."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from worldsim.agents import make_policy

SPACES = {
    "discrete": spaces.Discrete(4, start=-1),
    "multi_discrete": spaces.MultiDiscrete([2, 5]),
    "multi_binary": spaces.MultiBinary(3),
    "box": spaces.Box(np.array([-1, 0], np.float32), np.array([1, 20], np.float32)),
    "half_bounded_box": spaces.Box(np.array([-np.inf, 3], np.float32), np.array([5, np.inf], np.float32)),
    "integer_box": spaces.Box(0, 255, (2,), np.uint8),
    "dict": spaces.Dict(a=spaces.Discrete(2), b=spaces.Dict(c=spaces.Box(-1, 1, (2,)), d=spaces.Discrete(3))),
    "tuple": spaces.Tuple([spaces.Discrete(3), spaces.Box(-1, 1, (1,))]),
}


class Anywhere(gym.Env):
    """Has an action space, which is all that the random policy looks at."""

    def __init__(self, space):
        self.action_space = space
        self.observation_space = spaces.Box(0, 255, (16, 16, 3), np.uint8)


def run(space, seed, ticks=400):
    policy = make_policy("auto", Anywhere(space), np.random.default_rng(seed))
    policy.reset(None, {})
    return [policy.act(None, {}) for _ in range(ticks)]


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
def test_actions_are_in_the_space_and_depend_on_the_generator_only(space):
    actions = run(space, seed=1)
    assert all(space.contains(action) for action in actions)
    flat = [spaces.flatten(space, action) for action in actions]
    np.testing.assert_array_equal(flat, [spaces.flatten(space, action) for action in run(space, seed=1)])
    assert not np.array_equal(flat, [spaces.flatten(space, action) for action in run(space, seed=2)])


def test_discrete_choices_are_held_for_a_while_and_all_are_tried():
    choices = np.array(run(spaces.Discrete(4), seed=0, ticks=2000))
    changes = (choices[1:] != choices[:-1]).mean()
    assert 0.05 < changes < 0.25
    assert all(np.bincount(choices, minlength=4) > 200)


def test_continuous_parts_reach_far_and_mostly_change_little():
    values = np.array(run(spaces.Box(0, 10, (1,)), seed=0, ticks=4000))[:, 0]
    assert values.min() < 1
    assert values.max() > 9
    assert np.median(np.abs(np.diff(values))) < 2


def test_parts_change_independently():
    actions = run(spaces.Dict(a=spaces.Discrete(2), b=spaces.Discrete(2)), seed=0, ticks=4000)
    a, b = (np.array([action[key] for action in actions]) for key in ("a", "b"))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.15


def test_the_environment_keeps_its_own_random_actions():
    env = Anywhere(spaces.Discrete(1000))
    env.action_space.seed(3)
    expected = env.action_space.sample()
    env.action_space.seed(3)
    policy = make_policy("random", env, np.random.default_rng(0))
    policy.reset(None, {})
    policy.act(None, {})
    assert env.action_space.sample() == expected


def test_unknown_and_unsuitable_policies_are_errors():
    env = Anywhere(spaces.Discrete(2))
    known = "auto, blocks, building, crafter, editing, filming, own, pauses, random, resting, scripted, seeking; "
    with pytest.raises(ValueError, match="unknown policy 'genius'; there are " + known):
        make_policy("genius", env, np.random.default_rng(0))
    for name in ("blocks", "resting", "building", "editing", "filming"):
        with pytest.raises(
            ValueError, match="blocks, resting, building, editing and filming are for worldsim/BlocksSim-v0, not for"
        ):
            make_policy(name, env, np.random.default_rng(0))


def test_a_policy_with_pauses_does_nothing_for_half_of_the_time_in_long_stretches():
    space = spaces.Box(np.array([-1, 0.5], np.float32), np.array([1, 2], np.float32))
    policy = make_policy("pauses", Anywhere(space), np.random.default_rng(0))
    policy.reset(np.zeros(0), {})
    actions = np.stack([policy.act(np.zeros(0), {}) for _ in range(4000)])
    idle = (actions == [0, 0.5]).all(1)  # nothing, or what is next to it
    assert 0.35 < idle.mean() < 0.65
    assert 20 < len(idle) / (np.abs(np.diff(idle.astype(int))).sum() + 1) < 80
    assert all(space.contains(action) for action in actions)
    with pytest.raises(ValueError, match="'pauses' is for actions that are a Box"):
        make_policy("pauses", Anywhere(spaces.Discrete(3)), np.random.default_rng(0))

"""Discrete and MultiDiscrete actions over vectors: every lane does what the wrapper of a single environment would."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from worldsim.envs import DiscreteActions, MultiDiscreteActions, VectorDiscreteActions, VectorMultiDiscreteActions
from worldsim.envs.vector_checker import check_vector_env
from worldsim.envs.wrappers import DISCRETE_ACTIONS

SIM = "worldsim:worldsim/BlocksSim-v0"
NAMES = list(DISCRETE_ACTIONS)
NEXT, NOOP = NAMES.index("next slot"), NAMES.index("noop")


def simulators(num_envs: int, mode: AutoresetMode = AutoresetMode.NEXT_STEP, **kwargs: Any) -> gym.vector.VectorEnv:
    settings = {"vectorization_mode": "sync", "vector_kwargs": {"autoreset_mode": mode}, "size": (32, 32)}
    return gym.make_vec(SIM, num_envs=num_envs, **(settings | kwargs))


@pytest.fixture(scope="module")
def native() -> gym.vector.VectorEnv:
    return gym.make_vec("worldsim:worldsim/Blocks-v0", num_envs=3, size=(32, 32), max_episode_steps=4)


@pytest.mark.parametrize(
    ("single", "vector"), [(DiscreteActions, VectorDiscreteActions), (MultiDiscreteActions, VectorMultiDiscreteActions)]
)
def test_lanes_get_the_actions_of_single_environments(single: Any, vector: Any) -> None:
    envs = vector(simulators(20))
    alone = [single(gym.make(SIM, size=(32, 32))) for _ in range(20)]
    assert envs.single_action_space == alone[0].action_space
    envs.action_space.seed(0)
    for _ in range(10):
        chosen = envs.action_space.sample()
        batch = envs.actions(chosen)
        assert envs.env.action_space.contains(batch)
        assert list(batch) == list(envs.env.action_space.spaces)
        for lane, env in enumerate(alone):
            for name, value in env.action(chosen[lane]).items():
                assert np.array_equal(batch[name][lane], value), name


@pytest.mark.parametrize("vector", [VectorDiscreteActions, VectorMultiDiscreteActions])
def test_a_native_vector_of_worlds_takes_them(native: gym.vector.VectorEnv, vector: Any) -> None:
    envs = vector(native)
    check_vector_env(envs)
    envs.reset(seed=0)
    chosen = envs.action_space.sample()
    wrapped = envs.step(chosen)[0]
    envs.reset(seed=0)
    assert np.array_equal(native.step(vector(native).actions(chosen))[0], wrapped)
    assert np.array_equal(envs.actions(torch.from_numpy(chosen))["camera"], envs.actions(chosen)["camera"])


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_lane_that_is_reset_has_slot_0_in_hand(mode: AutoresetMode) -> None:
    envs = VectorDiscreteActions(simulators(2, mode, max_episode_steps=3))
    envs.reset(seed=0)
    seen = []
    for _ in range(3):
        envs.step([NEXT, NOOP])
        seen.append(envs.slots.tolist())
    if mode == AutoresetMode.SAME_STEP:
        assert seen == [[1, 0], [2, 0], [0, 0]]
    else:
        assert seen == [[1, 0], [2, 0], [3, 0]]
    if mode == AutoresetMode.DISABLED:
        envs.reset(options={"reset_mask": np.array([False, True])})
        assert envs.slots.tolist() == [3, 0]
        envs.reset(options={"reset_mask": np.array([True, False])})
        assert envs.slots.tolist() == [0, 0]
    if mode == AutoresetMode.NEXT_STEP:
        envs.step([NEXT, NEXT])  # which resets, and ignores the action
        assert envs.slots.tolist() == [0, 0]
    *_, infos = envs.step([NEXT, NEXT])
    assert envs.slots.tolist() == [1, 1]
    assert list(infos["held"]) == ["stone", "stone"]


@pytest.mark.parametrize("vector", [VectorDiscreteActions, VectorMultiDiscreteActions])
def test_other_environments_are_refused(vector: Any) -> None:
    for env in (gym.make(SIM, size=(32, 32)), gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync")):
        with pytest.raises(TypeError, match=rf"{vector.__name__} needs .* worldsim/BlocksSim-v0, a Dict of forward"):
            vector(env)


def test_arguments_and_actions_that_do_not_fit_are_refused() -> None:
    envs = simulators(2)
    with pytest.raises(ValueError, match="camera_degrees must be above 0 and at most 10, got 11"):
        VectorDiscreteActions(envs, camera_degrees=11)
    with pytest.raises(ValueError, match="camera_bins must be odd and at least 3"):
        VectorMultiDiscreteActions(envs, camera_bins=4)
    with pytest.raises(ValueError, match=r"are outside the action space MultiDiscrete\(\[20 20\]\)"):
        VectorDiscreteActions(envs).actions([0, 20])
    with pytest.raises(ValueError, match="are outside the action space"):
        VectorDiscreteActions(envs).actions([0, 0, 0])
    assert VectorDiscreteActions(envs).single_action_space == spaces.Discrete(20)

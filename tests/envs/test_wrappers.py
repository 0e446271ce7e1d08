"""Discrete and MultiDiscrete actions over the Dict space of the block world."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from worldsim.envs.blocks.blocks import KEYS
from worldsim.envs.blocks.env import BlocksSimEnv
from worldsim.envs.wrappers import DiscreteActions, MultiDiscreteActions

SIM: dict[str, Any] = {"id": "worldsim:worldsim/BlocksSim-v0", "size": (32, 32)}


@pytest.fixture(scope="module")
def sim() -> gym.Env:
    return gym.make(**SIM)


def held(action: dict[str, Any]) -> set[str]:
    return {key for key in KEYS if action[key]}


@pytest.mark.parametrize("wrapper", [DiscreteActions, MultiDiscreteActions])
def test_every_action_is_one_of_the_environment(sim: gym.Env, wrapper: type[gym.ActionWrapper]) -> None:
    env = wrapper(sim)
    env.action_space.seed(0)
    for _ in range(300):
        action = env.action(env.action_space.sample())
        assert sim.action_space.contains(action)
        assert list(action) == list(sim.action_space.spaces)


def test_names_say_what_the_discrete_actions_do(sim: gym.Env) -> None:
    env = DiscreteActions(sim, camera_degrees=4.0)
    assert env.action_space == spaces.Discrete(len(env.names))
    named = {name: env.action(index) for index, name in enumerate(env.names)}
    for name, action in named.items():
        keys = {part for part in name.split("+") if part in KEYS}
        assert held(action) == keys, name
        turns = {"turn left": (-4, 0), "turn right": (4, 0), "look up": (0, -4), "look down": (0, 4)}
        assert tuple(action["camera"]) == turns.get(name.removeprefix("forward+"), (0, 0)), name
    assert set().union(*map(held, named.values())) == set(KEYS)


def test_the_slot_stays_until_it_is_changed_and_goes_around(sim: gym.Env) -> None:
    env = DiscreteActions(sim)
    env.reset(seed=0)
    after, before, noop = (env.names.index(name) for name in ("next slot", "previous slot", "noop"))
    slots = [env.action(index)["hotbar"] for index in (noop, after, after, noop, before, before, before, noop, after)]
    assert slots == [0, 1, 2, 2, 1, 0, 8, 8, 0]
    env.action(after)
    env.reset(seed=0)
    assert env.action(noop)["hotbar"] == 0


def test_the_simulator_obeys_named_actions() -> None:
    env = DiscreteActions(gym.make(**SIM), camera_degrees=6.0)
    _, info = env.reset(seed=0)
    yaw, pitch = info["pose"][3:]
    for name in ("turn right", "turn right", "look down", "next slot"):
        *_, info = env.step(env.names.index(name))
    assert (info["pose"][3] - yaw) % 360 == pytest.approx(12)
    assert info["pose"][4] - pitch == pytest.approx(6)
    assert info["held"] == "stone"


def test_pairs_of_keys_exclude_each_other(sim: gym.Env) -> None:
    env = MultiDiscreteActions(sim)
    expected = [("forward", "back"), ("left", "right"), ("jump", "sneak"), ("break", "place")]
    for entry, pair in enumerate(expected):
        for choice, keys in enumerate((set(), {pair[0]}, {pair[1]})):
            choices = np.array([0, 0, 0, 0, 3, 5, 5])
            choices[entry] = choice
            action = env.action(choices)
            assert held(action) == keys
            assert action["hotbar"] == 3
            assert tuple(action["camera"]) == (0, 0)


@pytest.mark.parametrize("bins", [3, 11, 21])
def test_camera_bins_are_fine_in_the_middle_and_reach_the_limit(sim: gym.Env, bins: int) -> None:
    env = MultiDiscreteActions(sim, camera_bins=bins)
    degrees = env.camera_values
    assert env.action_space.nvec[5:].tolist() == [bins, bins]
    assert degrees[bins // 2] == 0
    assert degrees[[0, -1]] == pytest.approx([-10, 10])
    assert degrees == pytest.approx(-degrees[::-1])
    right = np.diff(degrees[bins // 2 :])
    assert (right > 0).all()
    assert (np.diff(right) > 0).all()
    action = env.action(np.array([0, 0, 0, 0, 0, bins - 1, 0]))
    assert action["camera"] == pytest.approx([10, -10])


def test_camera_bins_are_those_of_vpt(sim: gym.Env) -> None:
    # From VPT's CameraQuantizer(camera_maxval=10, camera_binsize=2, mu=10).
    assert MultiDiscreteActions(sim).camera_values[5:] == pytest.approx(
        [0, 0.6154, 1.6095, 3.2155, 5.8101, 10], abs=1e-3
    )


@pytest.mark.parametrize("wrapper", [DiscreteActions, MultiDiscreteActions])
def test_gymnasium_accepts_and_rebuilds_the_wrapped_environment(wrapper: type[gym.ActionWrapper]) -> None:
    env = wrapper(gym.make(**SIM))
    check_env(env, skip_render_check=True)
    assert env.spec is not None
    again = gym.make(env.spec)
    assert isinstance(again, wrapper)
    assert again.action_space == env.action_space


def test_arguments_are_kept_in_the_spec() -> None:
    env = MultiDiscreteActions(gym.make(**SIM), camera_bins=5)
    assert env.spec is not None
    assert gym.make(env.spec).action_space == env.action_space


def test_a_vector_of_simulators_takes_the_wrappers() -> None:
    envs = gym.make_vec(SIM["id"], num_envs=2, vectorization_mode="sync", wrappers=[DiscreteActions], size=(32, 32))
    assert envs.single_action_space == spaces.Discrete(20)
    envs.reset(seed=0)
    assert envs.step(np.array([0, 1]))[0].shape == (2, 32, 32, 3)
    envs.close()


@pytest.mark.parametrize("wrapper", [DiscreteActions, MultiDiscreteActions])
@pytest.mark.parametrize("env_id", ["CartPole-v1", "worldsim:worldsim/BallsSim-v0"])
def test_other_action_spaces_are_refused(wrapper: type[gym.ActionWrapper], env_id: str) -> None:
    with pytest.raises(
        TypeError, match=rf"{wrapper.__name__} needs .* worldsim/BlocksSim-v0, a Dict of forward, .*; got"
    ):
        wrapper(gym.make(env_id))


def test_a_dict_with_other_keys_is_refused() -> None:
    env = BlocksSimEnv(size=(32, 32))
    parts = dict(env.action_space.spaces)
    env.action_space = spaces.Dict({**parts, "sprint": spaces.Discrete(2)})
    with pytest.raises(TypeError, match="got Dict"):
        DiscreteActions(env)
    env.action_space = spaces.Dict({**parts, "hotbar": spaces.Discrete(4)})
    with pytest.raises(TypeError, match="got Dict"):
        MultiDiscreteActions(env)


@pytest.mark.parametrize("degrees", [0.0, -1.0, 10.5])
def test_turns_beyond_the_camera_are_refused(sim: gym.Env, degrees: float) -> None:
    with pytest.raises(ValueError, match=f"camera_degrees must be above 0 and at most 10, got {degrees}"):
        DiscreteActions(sim, camera_degrees=degrees)


@pytest.mark.parametrize("bins", [1, 10, -3])
def test_bins_without_a_middle_are_refused(sim: gym.Env, bins: int) -> None:
    with pytest.raises(ValueError, match=f"camera_bins must be odd and at least 3.*got {bins}"):
        MultiDiscreteActions(sim, camera_bins=bins)


def test_actions_outside_the_space_are_refused(sim: gym.Env) -> None:
    sim.reset(seed=0)
    with pytest.raises(ValueError, match=r"action 20 is outside the action space Discrete\(20\)"):
        DiscreteActions(sim).step(20)
    with pytest.raises(ValueError, match=r"outside the action space MultiDiscrete\(\[ 3  3  3  3  9 11 11\]\)"):
        MultiDiscreteActions(sim).step(np.array([3, 0, 0, 0, 0, 5, 5]))

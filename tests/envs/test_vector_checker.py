"""The checker of vector environments passes those that keep Gymnasium's promises, and catches each one broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from worldsim.envs.vector_checker import check_vector_env


def cartpole(kind: type[SyncVectorEnv] = SyncVectorEnv, mode: AutoresetMode = AutoresetMode.NEXT_STEP) -> SyncVectorEnv:
    return kind([lambda: gym.make("CartPole-v1", max_episode_steps=5)] * 3, autoreset_mode=mode)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_gymnasiums_own_passes(mode: AutoresetMode) -> None:
    check_vector_env(cartpole(mode=mode))


class Stale(SyncVectorEnv):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, copy=False, **kwargs)


class Entangled(SyncVectorEnv):
    def step(self, actions: Any) -> Any:
        observations, *others = super().step(actions)
        return observations.mean(0, keepdims=True).repeat(self.num_envs, 0), *others


class Unseeded(SyncVectorEnv):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return super().reset(options=options)


class NoLists(SyncVectorEnv):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        if isinstance(seed, list):
            raise TypeError("one seed only")
        return super().reset(seed=seed, options=options)


class WrongShape(SyncVectorEnv):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        observations, infos = super().reset(seed=seed, options=options)
        return observations[:2], infos


class NoMask(SyncVectorEnv):
    def step(self, actions: Any) -> Any:
        return *super().step(actions)[:4], {"speed": np.zeros(3)}


class ListRewards(SyncVectorEnv):
    def step(self, actions: Any) -> Any:
        observations, rewards, *others = super().step(actions)
        return observations, list(rewards), *others


class Rewarding(SyncVectorEnv):
    def step(self, actions: Any) -> Any:
        observations, rewards, *others = super().step(actions)
        return observations, rewards + 1, *others


class NoFinal(SyncVectorEnv):
    def step(self, actions: Any) -> Any:
        return *super().step(actions)[:4], {}


class ResetsAll(SyncVectorEnv):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return super().reset(seed=seed)


def without_mode() -> SyncVectorEnv:
    envs = cartpole()
    del envs.metadata["autoreset_mode"]
    return envs


def wrong_space() -> SyncVectorEnv:
    envs = cartpole()
    envs.action_space = gym.spaces.Discrete(2)
    return envs


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (without_mode, r"metadata\['autoreset_mode'\] must be an AutoresetMode, got None"),
        (wrong_space, "action_space must be batch_space"),
        (lambda: cartpole(Stale), "same object again"),
        (lambda: cartpole(Entangled), "lane 0 changed"),
        (lambda: cartpole(Unseeded), "the same seed and actions"),
        (lambda: cartpole(NoLists), "must take a list of seeds, one a lane, but raised: one seed only"),
        (lambda: cartpole(WrongShape), r"the observations of reset\(\) are not in"),
        (lambda: cartpole(NoMask), r"infos\['speed'\] of step\(\) has no mask infos\['_speed'\]"),
        (lambda: cartpole(ListRewards), r"rewards must be a float array \(3,\)"),
        (lambda: cartpole(Rewarding), "NEXT_STEP: the step that resets a lane has reward 0"),
        (lambda: cartpole(NoFinal, AutoresetMode.SAME_STEP), "SAME_STEP: an episode ended, but infos lack 'final_obs'"),
        (lambda: gym.make("CartPole-v1"), "expected a gymnasium.vector.VectorEnv"),
    ],
)
def test_each_broken_promise_is_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_vector_env(make())


def test_a_reset_mask_that_is_ignored_is_named() -> None:
    # Lanes of different lengths, so that one ends while others go on.
    lengths = iter((3, 5, 7))
    envs = ResetsAll(
        [lambda: gym.make("CartPole-v1", max_episode_steps=next(lengths))] * 3, autoreset_mode=AutoresetMode.DISABLED
    )
    with pytest.raises(AssertionError, match=r"reset_mask was False for lane \d, but its observation changed"):
        check_vector_env(envs)

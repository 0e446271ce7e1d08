"""CrafterSim: the game of the package `crafter`, with seeds and snapshots that are exact."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldsim.envs.crafter import CrafterSimEnv


def play(env: CrafterSimEnv, steps: int, seed: int) -> tuple[np.ndarray, list[float]]:
    frames, rewards = [], []
    for action in np.random.default_rng(seed).integers(0, 17, steps):
        frame, reward, terminated, _, _ = env.step(int(action))
        frames.append(frame)
        rewards.append(reward)
        if terminated:
            env.reset()
    return np.stack(frames), rewards


def test_gymnasium_accepts_it() -> None:
    env = gym.make("worldsim/CrafterSim-v0", render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    assert env.spec is not None
    assert env.spec.max_episode_steps == 10_000


def test_a_seed_fixes_everything_that_follows() -> None:
    one, two, other = (CrafterSimEnv() for _ in range(3))
    for env, seed in ((one, 5), (two, 5), (other, 6)):
        env.reset(seed=seed)
    # 700 steps reach into the night, when the pictures are noisy, and many creatures come and go.
    first, second = play(one, 700, 0), play(two, 700, 0)
    assert np.array_equal(first[0], second[0])
    assert first[1] == second[1]
    assert not np.array_equal(first[0], play(other, 700, 0)[0])


def test_restore_repeats_the_future_to_the_pixel() -> None:
    env = CrafterSimEnv(render_mode="rgb_array")
    env.reset(seed=2)
    play(env, 250, 1)
    snapshot, frame = env.snapshot(), env.render()
    expected = play(env, 300, 3)
    for game in (env, CrafterSimEnv(render_mode="rgb_array")):
        game.reset(seed=9)
        game.restore(snapshot)
        assert np.array_equal(game.render(), frame)
        again = play(game, 300, 3)
        assert np.array_equal(again[0], expected[0])
        assert again[1] == expected[1]


def test_the_reward_is_what_is_reached_for_the_first_time_and_a_tenth_of_health() -> None:
    env = CrafterSimEnv()
    _, info = env.reset(seed=0)
    assert len(info["achievements"]) == 22
    assert not any(info["achievements"].values())
    unlocked = 0
    for action in np.random.default_rng(0).integers(0, 17, 300):
        before = info
        _, reward, terminated, _, info = env.step(int(action))
        new = any(info["achievements"][name] and not count for name, count in before["achievements"].items())
        assert reward == pytest.approx(new + (info["inventory"]["health"] - before["inventory"]["health"]) / 10)
        unlocked += new
        if terminated:
            break
    assert unlocked >= 1


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (64, 128)])
def test_frames_have_the_size_that_was_asked_for(size: tuple[int, int]) -> None:
    frame, _ = CrafterSimEnv(size=size).reset(seed=0)
    assert frame.shape == (*size, 3)
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 20


def test_what_does_not_fit_is_said() -> None:
    env = CrafterSimEnv()
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="0 to 16"):
        env.step(17)
    with pytest.raises(ValueError, match="no prompt"):
        env.reset(options={"prompt": "a forest"})
    with pytest.raises(ValueError, match="multiples of 16"):
        CrafterSimEnv(size=(60, 64))
    with pytest.raises(ValueError, match="frames of"):
        CrafterSimEnv(size=(96, 96)).restore(env.snapshot())

"""BallsGoalSim: the reward is the way to the mark, and being there ends the episode."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldsim.agents import make_policy
from worldsim.envs.balls_goal import FAR, MARK, REACHED, BallsGoalSimEnv


def distance(info: dict) -> float:
    return float(np.hypot(*(info["positions"][0] - info["mark"])))


@pytest.mark.parametrize("kwargs", [{}, {"gravity": True, "balls": 6}, {"size": (64, 96), "balls": 1}])
def test_gymnasium_accepts_it(kwargs: dict) -> None:
    env = gym.make("worldsim/BallsGoalSim-v0", render_mode="rgb_array", **kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    assert env.spec is not None
    assert env.spec.max_episode_steps == 60


def test_the_mark_is_far_from_the_ball_and_in_sight() -> None:
    env = BallsGoalSimEnv()
    for seed in range(50):
        frame, info = env.reset(seed=seed)
        assert distance(info) >= FAR
        assert (np.abs(frame - MARK).max(-1) < 2).sum() > 80  # pixels; the disc has 113


def test_the_return_is_the_way_that_was_made_and_one_for_arriving() -> None:
    env = BallsGoalSimEnv()
    policy = make_policy("scripted", env, np.random.default_rng(0))
    arrived = 0
    for seed in range(20):
        frame, info = env.reset(seed=seed)
        begun, gained, ended = distance(info), 0.0, False
        for _ in range(60):
            frame, reward, ended, truncated, info = env.step(policy.act(frame, info))
            gained += reward
            assert ended == (distance(info) < REACHED)
            assert not truncated
            if ended:
                break
        assert gained == pytest.approx(begun - distance(info) + ended)
        arrived += ended
    assert arrived >= 18


def test_a_snapshot_keeps_the_mark() -> None:
    env = BallsGoalSimEnv()
    env.reset(seed=3)
    snapshot = env.snapshot()
    push = np.array([0.5, -0.5], np.float32)
    expected = [env.step(push)[:3] for _ in range(5)]
    elsewhere = BallsGoalSimEnv()
    elsewhere.reset(seed=4)
    elsewhere.restore(snapshot)
    for frame, reward, ended in expected:
        again = elsewhere.step(push)
        assert np.array_equal(again[0], frame)
        assert again[1:3] == (reward, ended)


def test_who_seeks_arrives_more_often_than_who_pushes_at_random() -> None:
    arrived = {}
    for name in ("seeking", "random"):
        env = gym.make("worldsim/BallsGoalSim-v0")
        policy = make_policy(name, env, np.random.default_rng(0))
        arrived[name] = 0
        for seed in range(30):
            frame, info = env.reset(seed=seed)
            policy.reset(frame, info)
            ended = truncated = False
            while not (ended or truncated):
                frame, _, ended, truncated, info = env.step(policy.act(frame, info))
            arrived[name] += ended
    assert arrived["random"] + 3 <= arrived["seeking"] < 30, "that it misses is to be seen too"


@pytest.mark.parametrize("policy", ["scripted", "seeking"])
def test_a_policy_for_it_is_refused_elsewhere(policy: str) -> None:
    with pytest.raises(ValueError, match=f"the policy '{policy}' is for worldsim/BallsGoalSim-v0"):
        make_policy(policy, gym.make("worldsim/BallsSim-v0"), np.random.default_rng(0))

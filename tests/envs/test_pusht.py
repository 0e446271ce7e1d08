"""PushTSim: the task of the package `gym-pusht` as it is, with snapshots that are exact."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

pytest.importorskip("gym_pusht", reason='needs gym-pusht: pip install "worldsim[robotics]"')

from worldsim.agents import make_policy
from worldsim.envs.pusht import PushTSimEnv

Steps = list[tuple[np.ndarray, float, bool, dict[str, Any]]]


def play(env: PushTSimEnv, actions: np.ndarray) -> Steps:
    steps = []
    for action in actions:
        frame, reward, terminated, _, info = env.step(action)
        steps.append((frame, reward, terminated, info))
    return steps


def pushes(env: gym.Env, seed: int, steps: int) -> np.ndarray:
    """Actions, float32 (steps, 2), that push the T about from where `reset(seed=seed)` puts it."""
    frame, info = env.reset(seed=seed)
    policy = make_policy("auto", env, np.random.default_rng(seed))
    policy.reset(frame, info)
    actions = []
    for _ in range(steps):
        actions.append(policy.act(frame, info))
        frame, _, _, _, info = env.step(actions[-1])
    return np.stack(actions)


def assert_same(one: Steps, other: Steps) -> None:
    """Equal to the bit: all that is told of the physics, rewards, frames."""
    for (frame, *outcome, info), (frame_2, *outcome_2, info_2) in zip(one, other, strict=True):
        np.testing.assert_array_equal(frame, frame_2)
        assert outcome == outcome_2
        for key in info:
            np.testing.assert_array_equal(info[key], info_2[key], err_msg=key)


def test_gymnasium_accepts_it() -> None:
    env = gym.make("worldsim/PushTSim-v0", render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*symmetric and normalized")  # the actions are the package's
        check_env(env.unwrapped)
    assert env.spec is not None
    assert env.spec.max_episode_steps == gym.spec("gym_pusht/PushT-v0").max_episode_steps == 300
    assert env.metadata["render_fps"] == 10


def test_it_does_what_the_package_does() -> None:
    ours = PushTSimEnv(size=(96, 96))
    theirs = gym.make("gym_pusht/PushT-v0", obs_type="pixels", disable_env_checker=True).unwrapped
    actions = pushes(ours, 3, 80)
    frame, info = ours.reset(seed=3)
    frame_2, info_2 = theirs.reset(seed=3)
    np.testing.assert_array_equal(frame, frame_2)
    for action in actions:
        frame, reward, terminated, _, info = ours.step(action)
        frame_2, reward_2, terminated_2, _, info_2 = theirs.step(action)
        np.testing.assert_array_equal(frame, frame_2)
        assert reward == pytest.approx(reward_2, rel=1e-12, abs=1e-12)
        assert terminated == terminated_2
        for key in ("pos_agent", "vel_agent", "block_pose", "goal_pose"):
            np.testing.assert_array_equal(info[key], info_2[key])


def test_a_seed_fixes_everything_that_follows() -> None:
    env, other = PushTSimEnv(), PushTSimEnv()
    actions = pushes(env, 5, 60)
    env.reset(seed=5)
    other.reset(seed=5)
    first = play(env, actions)
    assert_same(first, play(other, actions))
    other.reset(seed=6)
    assert not np.array_equal(first[-1][0], play(other, actions)[-1][0])


@pytest.mark.parametrize("seed", range(6))
def test_restore_repeats_the_future_to_the_bit(seed: int) -> None:
    env = PushTSimEnv(render_mode="rgb_array")
    actions = pushes(env, seed, 120)
    env.reset(seed=seed)
    past = play(env, actions[: 60 + seed])
    assert sum(info["contact"] for *_, info in past) > 5
    snapshot, frame = env.snapshot(), env.render()
    future = play(env, actions[60 + seed :])
    for other in (env, env, PushTSimEnv(render_mode="rgb_array")):
        np.testing.assert_array_equal(other.restore(snapshot), frame)
        np.testing.assert_array_equal(other.render(), frame)
        assert_same(play(other, actions[60 + seed :]), future)
    # The next episode is the same too, and a snapshot of what was restored is as good.
    env.restore(snapshot)
    env.step(actions[-1])
    again = env.snapshot()
    assert len(snapshot["actions"]) == 60 + seed
    first, _ = env.reset()
    env.restore(again)
    np.testing.assert_array_equal(env.reset()[0], first)


def test_restoring_goes_between_sizes() -> None:
    small, large = PushTSimEnv(), PushTSimEnv(size=(96, 128))
    actions = pushes(small, 1, 20)
    assert large.restore(small.snapshot()).shape == (96, 128, 3)
    pose, pose_2 = (env.step(actions[0])[4]["block_pose"] for env in (small, large))
    np.testing.assert_array_equal(pose, pose_2)


def test_a_t_on_its_place_ends_the_episode() -> None:
    env = PushTSimEnv()
    _, info = env.reset(seed=0)
    assert info["caption"] == "a grey T partly on a green T, a blue disc beside it"
    assert 0 < info["coverage"] < 0.95
    env._game.agent.position = (20, 20)
    env._game.block.angle = float(info["goal_pose"][2])
    env._game.block.position = tuple(info["goal_pose"][:2])
    _, reward, terminated, truncated, info = env.step(np.full(2, 20, np.float32))
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["is_success"]
    assert info["coverage"] > 0.99
    assert info["caption"] == "a grey T on a green T, a blue disc beside it"


def test_recordings_are_full_of_motion() -> None:
    """Random actions move the T in one frame of twenty."""
    env = gym.make("worldsim/PushTSim-v0", disable_env_checker=True)
    moved: list[bool] = []
    for seed in range(4):
        actions = pushes(env, seed, 200)
        _, before = env.reset(seed=seed)
        for action in actions:
            *_, info = env.step(action)
            right, down, angle = np.abs(info["block_pose"] - before["block_pose"])
            moved.append(bool(np.hypot(right, down) > 2 or angle > 0.03))  # a quarter of a pixel
            before = info
    assert np.mean(moved) > 1 / 3


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (64, 128)])
def test_frames_have_the_size_that_was_asked_for(size: tuple[int, int]) -> None:
    frame, _ = PushTSimEnv(size=size).reset(seed=0)
    assert frame.shape == (*size, 3)
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 5


def test_what_does_not_fit_is_said() -> None:
    env = PushTSimEnv()
    for too_early in (lambda: env.step(np.zeros(2, np.float32)), env.snapshot):
        with pytest.raises(gym.error.ResetNeeded):
            too_early()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"expected a float32 array of shape \(2,\) in \[0, 512\]"):
        env.step(np.array([-1, 5], np.float32))
    with pytest.raises(ValueError, match="no prompt"):
        env.reset(options={"prompt": "a forest"})
    with pytest.raises(ValueError, match="multiples of 16"):
        PushTSimEnv(size=(60, 64))
    with pytest.raises(ValueError, match="render_mode"):
        PushTSimEnv(render_mode="human")


def run(script: str) -> subprocess.CompletedProcess[str]:
    """Run Python where there is no display and none is pretended."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})


def test_it_needs_no_display_and_leaves_the_player_working() -> None:
    """gym-pusht asks for pygame, which installs into the same folder as pygame-ce."""
    result = run(
        "import gymnasium, worldsim, worldsim.play.window as window\n"
        "print(gymnasium.make('worldsim/PushTSim-v0').reset(seed=0)[0].shape)\n"
        "try: window.Window()\n"
        "except window.NoDisplayError as error: print(error)"
    )
    assert result.stdout.splitlines() == ["(64, 64, 3)", "neither DISPLAY nor WAYLAND_DISPLAY is set"], result.stderr


def test_where_the_package_is_missing_the_extra_is_named() -> None:
    result = run("import sys; sys.modules['gym_pusht'] = None; import worldsim.envs.pusht")
    assert "PushTSim needs gym-pusht and what it asks for" in result.stderr
    assert 'pip install "worldsim[robotics]"' in result.stderr

"""BallsSim: the small pymunk ground truth. Determinism, exact snapshots, a picture that obeys the action."""

from __future__ import annotations

import time
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.envs.balls import RADIUS, WALL, BallsSimEnv

STILL = np.zeros(2, np.float32)


def actions(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)


def rollout(env: BallsSimEnv, steps: np.ndarray) -> np.ndarray:
    return np.stack([env.step(action)[0] for action in steps])


@pytest.mark.parametrize("kwargs", [{}, {"gravity": True, "balls": 6}, {"size": (64, 96), "balls": 1}])
def test_gymnasium_accepts_it(kwargs: dict) -> None:
    env = gym.make("worldsim/BallsSim-v0", render_mode="rgb_array", **kwargs).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env)
    assert env.metadata["render_fps"] == 20


def test_a_seed_fixes_everything_that_follows() -> None:
    first, second, other = BallsSimEnv(balls=4), BallsSimEnv(balls=4), BallsSimEnv(balls=4)
    starts = [env.reset(seed=seed)[0] for env, seed in ((first, 7), (second, 7), (other, 8))]
    assert np.array_equal(starts[0], starts[1])
    assert not np.array_equal(starts[0], starts[2])
    assert np.array_equal(rollout(first, actions(100, 0)), rollout(second, actions(100, 0)))
    assert np.array_equal(first.reset()[0], second.reset()[0])


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    before=st.integers(0, 60),
    between=st.integers(0, 30),
    balls=st.integers(1, 6),
    gravity=st.booleans(),
)
def test_restore_repeats_the_future_to_the_pixel(
    seed: int, before: int, between: int, balls: int, gravity: bool
) -> None:
    env = BallsSimEnv(balls=balls, gravity=gravity)
    env.reset(seed=seed)
    rollout_before = actions(before, seed)
    for action in rollout_before:
        env.step(action)
    snapshot = env.snapshot()
    future = actions(40, seed + 1)
    expected, expected_start = rollout(env, future), env.reset()[0]
    for action in actions(between, seed + 2):
        env.step(action)
    env.restore(snapshot)
    assert np.array_equal(rollout(env, future), expected)
    assert np.array_equal(env.reset()[0], expected_start)

    elsewhere = BallsSimEnv(balls=balls, gravity=gravity)
    elsewhere.reset(seed=seed + 3)
    elsewhere.restore(snapshot)
    assert np.array_equal(rollout(elsewhere, future), expected)


def test_the_present_frame_and_info_come_back_with_a_snapshot() -> None:
    env = BallsSimEnv(render_mode="rgb_array")
    env.reset(seed=3)
    env.step(np.array([1, 1], np.float32))
    frame, snapshot = env.render(), env.snapshot()
    rollout(env, actions(5, 0))
    assert not np.array_equal(env.render(), frame)
    env.restore(snapshot)
    assert np.array_equal(env.render(), frame)


@pytest.mark.parametrize(("push", "axis", "sign"), [((1, 0), 0, 1), ((-1, 0), 0, -1), ((0, 1), 1, 1), ((0, -1), 1, -1)])
def test_a_push_moves_the_first_ball_that_way_within_two_frames(push: tuple, axis: int, sign: int) -> None:
    free = 0
    for seed in range(100):
        pushed, left_alone = BallsSimEnv(balls=1), BallsSimEnv(balls=1)
        pushed.reset(seed=seed)
        _, info = left_alone.reset(seed=seed)
        if np.abs(info["positions"] - 0.5).max() > 0.15 or np.abs(info["velocities"]).max() > 0.4:
            continue  # near a wall or near the top speed a push shows less
        free += 1
        for _ in range(2):
            frame, *_, info = pushed.step(np.array(push, np.float32))
            quiet_frame, *_, quiet = left_alone.step(STILL)
        assert sign * (info["positions"] - quiet["positions"])[0, axis] * 48 > 1.5
        assert np.abs(frame.astype(int) - quiet_frame).max() > 60
    assert free >= 3


def test_the_picture_shows_the_balls_where_info_says() -> None:
    env = BallsSimEnv(size=(64, 96))
    frame, info = env.reset(seed=5)
    for (right, up), colour in zip(info["positions"], [(240, 240, 230), (230, 80, 60)], strict=True):
        assert tuple(frame[int((1 - up) * 64), 16 + int(right * 64)]) == colour
    assert tuple(frame[1, 48]) == tuple(frame[48, 16]) != tuple(frame[0, 0])  # a lighter border around the square box


@pytest.mark.parametrize("gravity", [False, True])
def test_balls_stay_inside_and_apart_under_constant_pushing(gravity: bool) -> None:
    env = BallsSimEnv(balls=6, gravity=gravity)
    env.reset(seed=0)
    for action in np.sign(actions(40, 1)):
        for _ in range(15):
            *_, info = env.step(action)
            positions = info["positions"]
            assert positions.min() > WALL + RADIUS - 0.03
            assert positions.max() < 1 - WALL - RADIUS + 0.03
            apart = np.linalg.norm(positions[:, None] - positions[None], axis=-1)[np.triu_indices(6, 1)]
            assert apart.min() > 2 * RADIUS * 0.8


def test_balls_fall_only_under_gravity() -> None:
    lowest = {}
    for gravity in (False, True):
        env = BallsSimEnv(balls=3, gravity=gravity)
        env.reset(seed=2)
        for _ in range(400):
            *_, info = env.step(STILL)
        lowest[gravity] = info["positions"][:, 1].min()
        assert ("gravity" in info["caption"]) == gravity
    assert lowest[True] < WALL + RADIUS + 0.01 < lowest[False]


def test_the_caption_says_whether_the_ball_is_pushed() -> None:
    env = BallsSimEnv(balls=3)
    assert env.reset(seed=0)[1]["caption"] == "three balls"
    assert env.step(np.array([0, 1], np.float32))[4]["caption"] == "three balls, one pushed"
    assert env.step(STILL)[4]["caption"] == "three balls"


@pytest.mark.parametrize(
    "action", [np.array([1.5, 0], np.float32), np.zeros(3, np.float32), np.array([np.nan, 0], np.float32)]
)
def test_an_action_outside_the_space_is_refused(action: object) -> None:
    env = BallsSimEnv()
    env.reset(seed=0)
    with pytest.raises(
        ValueError, match=r"action .* outside the action space: expected a float32 array of shape \(2,\)"
    ):
        env.step(action)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"size": (50, 48)}, "multiples of 16"),
        ({"balls": 0}, "balls must be 1 to 6, got 0"),
        ({"balls": 7}, "balls must be 1 to 6, got 7"),
        ({"render_mode": "human"}, "render_mode must be None or 'rgb_array', got 'human'"),
    ],
)
def test_wrong_settings_are_named(kwargs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BallsSimEnv(**kwargs)


def test_stepping_and_restoring_the_wrong_way_say_what_to_do() -> None:
    env = BallsSimEnv()
    with pytest.raises(gym.error.ResetNeeded, match="call reset"):
        env.step(STILL)
    with pytest.raises(gym.error.ResetNeeded, match="call reset"):
        env.snapshot()
    other = BallsSimEnv(balls=3)
    other.reset(seed=0)
    with pytest.raises(ValueError, match="3 balls, but this environment has 2"):
        env.restore(other.snapshot())


def test_it_is_cheap() -> None:
    env = BallsSimEnv()
    env.reset(seed=0)
    steps = actions(200, 0)
    seconds = []
    for _ in range(5):
        begin = time.process_time()
        rollout(env, steps)
        seconds.append(time.process_time() - begin)
    assert 200 / min(seconds) > 800  # 4,600 frames/s on a free core; the margin is for busy machines

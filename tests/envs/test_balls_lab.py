"""BallsLabSim: three laws that hold, scenes that are what was asked for, ranges that are kept, exact snapshots."""

from __future__ import annotations

import time
import warnings
from itertools import combinations, pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.envs import balls_lab as lab
from worldsim.envs.balls import COLOURS, FPS, PUSH, WALL
from worldsim.envs.balls_lab import Ball, BallsLabSimEnv, Scene

STILL = np.zeros(2, np.float32)
ACROSS = ((0.5, WALL), (0.5, 1 - WALL))  # an upright wall through the middle
CUP = (((0.3, 0.5), (0.3, 0.1)), ((0.3, 0.1), (0.7, 0.1)), ((0.7, 0.1), (0.7, 0.5)))


def actions(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)


def begin(scene: Scene | None, seed: int = 0, grid: str = "train") -> BallsLabSimEnv:
    env = BallsLabSimEnv(grid=grid)
    env.reset(seed=seed, options={"scene": scene})
    return env


def present(info: dict[str, Any], name: str) -> np.ndarray:
    """What `info` says of the balls that there are: rows of those that there are not come last."""
    return info[name][: (info["colours"] >= 0).sum()]


def motion(scene: Scene, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities (steps + 1, balls, 2) of a scene that is left alone."""
    env = BallsLabSimEnv()
    infos = [env.reset(options={"scene": scene})[1]]
    infos += [env.step(STILL)[4] for _ in range(steps)]
    positions, velocities = (np.stack([present(info, name) for info in infos]) for name in ("positions", "velocities"))
    return positions, velocities


def seconds(steps: int) -> np.ndarray:
    return np.arange(steps + 1) / FPS


@pytest.mark.parametrize("kwargs", [{}, *({"grid": grid} for grid in lab.GRIDS), {"size": (64, 96)}])
def test_gymnasium_accepts_it(kwargs: dict) -> None:
    env = gym.make("worldsim/BallsLabSim-v0", render_mode="rgb_array", **kwargs).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env)
    assert env.metadata["render_fps"] == FPS


def test_in_space_what_moves_goes_on_straight_and_what_rests_stays() -> None:
    positions, velocities = motion(Scene("space", (Ball((0.2, 0.3), (0.31, 0.17)), Ball((0.2, 0.8)))), 30)
    np.testing.assert_allclose(positions[:, 0], np.add((0.2, 0.3), np.outer(seconds(30), (0.31, 0.17))), atol=1e-12)
    np.testing.assert_allclose(velocities[:, 0], [(0.31, 0.17)] * 31, atol=1e-12)
    assert (positions[:, 1] == (0.2, 0.8)).all()


@pytest.mark.parametrize("radius", [0.05, 0.2])
def test_in_a_room_a_throw_is_a_parabola_whatever_is_thrown(radius: float) -> None:
    positions, velocities = motion(Scene("room", (Ball((0.25, 0.4), (0.4, 0.6), radius),)), 18)
    times = seconds(18)
    np.testing.assert_allclose(positions[:, 0, 0], 0.25 + 0.4 * times, atol=1e-12)
    np.testing.assert_allclose(positions[:, 0, 1], 0.4 + 0.6 * times - lab.GRAVITY / 2 * times**2, atol=1e-12)
    np.testing.assert_allclose(velocities[:, 0, 1], 0.6 - lab.GRAVITY * times, atol=1e-12)


@pytest.mark.parametrize("speed", [0.1, 0.4, 0.55])
def test_on_a_table_friction_stops_after_the_square_of_the_speed(speed: float) -> None:
    positions, velocities = motion(Scene("table", (Ball((0.2, 0.3), (0.8 * speed, 0.6 * speed)),)), 60)
    way = np.linalg.norm(positions[:, 0] - (0.2, 0.3), axis=1)
    assert way[-1] == pytest.approx(speed**2 / (2 * lab.FRICTION), rel=1e-3)
    np.testing.assert_allclose(
        np.linalg.norm(velocities[:, 0], axis=1), np.maximum(speed - lab.FRICTION * seconds(60), 0), atol=1e-9
    )
    assert (velocities[-1] == 0).all()
    assert (positions[-5:] == positions[-1]).all()


@pytest.mark.parametrize("law", lab.GROUNDS)
@pytest.mark.parametrize(("axis", "sign"), [(0, 1), (0, -1), (1, 1), (1, -1)])
def test_every_side_gives_back_nine_tenths_of_the_speed(law: str, axis: int, sign: int) -> None:
    velocity = [0.0, 0.0]
    velocity[axis] = 0.8 * sign
    _, velocities = motion(Scene(law, (Ball((0.5, 0.5), (velocity[0], velocity[1])),)), 20)
    towards = velocities[:, 0, axis] * sign
    bounce = int(np.flatnonzero(towards < 0)[0])
    # What the law itself does within the tick of the bounce is known but for when in the tick it was.
    change = {"space": 0.0, "table": lab.FRICTION / FPS, "room": lab.GRAVITY / FPS if axis else 0.0}[law]
    assert -towards[bounce] == pytest.approx(lab.RESTITUTION * towards[bounce - 1], abs=1e-9 + change)


def test_a_ball_that_is_dropped_rises_to_the_square_of_that_and_ends_at_rest() -> None:
    positions, _ = motion(Scene("room", (Ball((0.5, 0.8)),)), 500)
    height = positions[:, 0, 1] - WALL - 0.1
    tops = height[1:-1][(height[1:-1] >= height[:-2]) & (height[1:-1] > height[2:])]
    for above, below in pairwise([height[0], *tops[:3]]):
        assert below / above == pytest.approx(lab.RESTITUTION**2, rel=0.03)
    assert np.ptp(positions[-100:], axis=0).max() * 64 < 0.01, "pixels: it lies still"
    assert abs(height[-1]) * 64 < 0.1


def test_a_heap_comes_to_rest() -> None:
    balls = (Ball((0.4, 0.6), radius=0.12), Ball((0.6, 0.4), radius=0.08), Ball((0.45, 0.85), radius=0.1))
    env = begin(Scene("room", balls, walls=CUP))
    for _ in range(600):
        env.step(STILL)
    frames = np.stack([env.step(STILL)[0] for _ in range(60)]).astype(int)
    assert np.abs(frames - frames[0]).max() <= 3


@pytest.mark.parametrize(("first", "second"), [(0.06, 0.13), (0.13, 0.06), (0.1, 0.1)])
@pytest.mark.parametrize("offset", [0.0, 0.05])
def test_a_collision_keeps_momentum_and_nine_tenths_of_the_speed_between(
    first: float, second: float, offset: float
) -> None:
    balls = (Ball((0.3, 0.5), (0.6, 0.0), first), Ball((0.65, 0.5 + offset), (-0.2, 0.0), second))
    positions, velocities = motion(Scene("space", balls), 8)
    assert np.abs(velocities[-1] - velocities[0]).max() > 0.1, "they have met"
    momentum = (velocities * np.array([[first**2], [second**2]])).sum(1)
    np.testing.assert_allclose(momentum[-1], momentum[0], atol=1e-12)
    after = velocities[-1, 1] - velocities[-1, 0]
    if offset == 0:
        assert after[0] == pytest.approx(lab.RESTITUTION * 0.8)
        assert (positions[:, :, 1] == 0.5).all()
    else:
        assert velocities[-1, 1, 1] > 0 > velocities[-1, 0, 1], "they part to the sides where they met"


def test_a_push_moves_the_first_ball_alone() -> None:
    env = begin(Scene("space", (Ball((0.3, 0.3)), Ball((0.7, 0.7)))))
    *_, info = env.step(np.array([0.5, -1.0], np.float32) * 0.5)
    np.testing.assert_allclose(present(info, "velocities"), [(0.25 * PUSH, -0.5 * PUSH), (0, 0)], atol=1e-7)


@pytest.mark.parametrize("grid", lab.GRIDS)
@pytest.mark.parametrize("radius", [0.1, 0.12])
def test_a_push_never_takes_a_ball_beyond_what_the_grid_holds(grid: str, radius: float) -> None:
    env = begin(Scene("space", (Ball((0.5, 0.5), radius=radius),)), grid=grid)
    fastest = lab.FAST if grid == "train" and radius > lab.LARGE else lab.GRIDS[grid].speeds[-1][1]
    speeds = []
    for action in np.sign(actions(60, 0)):
        *_, info = env.step(action)
        speeds.append(np.linalg.norm(present(info, "velocities")))
    assert max(speeds) == pytest.approx(fastest)


def test_a_push_does_not_slow_what_is_faster() -> None:
    env = begin(Scene("space", (Ball((0.2, 0.5), (2.0, 0.0)),)))
    *_, info = env.step(np.array([1, 0], np.float32))
    assert present(info, "velocities")[0, 0] == pytest.approx(2.0)


@pytest.mark.parametrize("law", lab.GROUNDS)
def test_no_push_takes_a_ball_through_a_wall(law: str) -> None:
    for walls, start in (((ACROSS,), (0.25, 0.5)), (CUP, (0.5, 0.3))):
        balls = (Ball(start, radius=0.06), Ball((start[0], start[1] + 0.2), radius=0.08))
        for way in ((1, 0), (-1, 0), (1, -1), (0, -1)):
            env = begin(Scene(law, balls, walls=walls), grid="speed")
            for _ in range(5 * FPS):
                *_, info = env.step(np.array(way, np.float32))
                (right, up), radius = present(info, "positions")[0], 0.06
                assert WALL + radius - 0.02 < min(right, up)
                assert max(right, up) < 1 - WALL - radius + 0.02
                if walls == (ACROSS,):
                    assert right < 0.5 - WALL / 2 - radius + 0.02
                elif way == (0, -1):
                    assert up > 0.1 + WALL / 2 + radius - 0.02


def pixel(frame: np.ndarray, right: float, up: float) -> tuple[int, ...]:
    side = min(frame.shape[:2])
    left, top = (frame.shape[1] - side) // 2, (frame.shape[0] - side) // 2
    return tuple(frame[top + int((1 - up) * side), left + int(right * side)].tolist())


def test_a_picture_tells_the_law() -> None:
    for law in lab.GROUNDS:
        frame, info = BallsLabSimEnv().reset(options={"scene": Scene(law, (Ball((0.3, 0.3)),))})
        assert pixel(frame, 0.8, 0.8) == lab.GROUNDS[law]
        assert info["law"] == law
    assert all(np.abs(np.subtract(a, b)).max() > 40 for a, b in combinations(lab.GROUNDS.values(), 2))


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (128, 128)])
def test_balls_walls_and_the_screen_are_where_the_scene_says(size: tuple[int, int]) -> None:
    balls = (Ball((0.25, 0.75), radius=0.13), Ball((0.25, 0.3), radius=0.06, colour=4))
    scene = Scene("table", balls, screen=(0.6, 0.8), walls=(ACROSS,))
    frame, info = BallsLabSimEnv(size=size).reset(options={"scene": scene})
    for ball, colour in zip(balls, (0, 4), strict=True):
        assert pixel(frame, *ball.position) == tuple(COLOURS[colour].tolist())
        assert pixel(frame, ball.position[0] + ball.radius + 0.03, ball.position[1]) == lab.GROUNDS["table"]
    assert pixel(frame, 0.25 + 0.11, 0.75) == tuple(COLOURS[0].tolist())
    assert pixel(frame, 0.49, 0.5) == pixel(frame, 0.01, 0.5) != lab.GROUNDS["table"]
    assert pixel(frame, 0.7, 0.07) == pixel(frame, 0.7, 0.93) == lab.SCREEN
    assert pixel(frame, 0.57, 0.5) == pixel(frame, 0.83, 0.5) == lab.GROUNDS["table"]
    np.testing.assert_array_equal(present(info, "radii"), [0.13, 0.06])
    np.testing.assert_array_equal(present(info, "colours"), [0, 4])
    assert info["screen"] == (0.6, 0.8)
    np.testing.assert_array_equal(present(info, "positions"), [ball.position for ball in balls])


def test_a_screen_hides_a_ball_but_does_not_touch_it() -> None:
    ball = Ball((0.2, 0.5), (0.4, 0.0), 0.08)
    hidden, shown = (begin(Scene("space", (ball,), screen=screen)) for screen in ((0.4, 0.65), None))
    white, unseen = COLOURS[0], 0
    for _ in range(30):
        (frame, *_, info), (open_frame, *_, open_info) = hidden.step(STILL), shown.step(STILL)
        np.testing.assert_array_equal(present(info, "positions"), present(open_info, "positions"))
        seen = (np.abs(frame - white) < 30).all(2).any()
        assert (np.abs(open_frame - white) < 30).all(2).any()
        if 0.4 + 0.08 < present(info, "positions")[0, 0] < 0.65 - 0.08:
            assert not seen
            unseen += 1
    assert seen, "it has come out again"
    assert unseen >= 4


def test_the_caption_says_what_is_seen() -> None:
    def caption(scene: Scene) -> str:
        return BallsLabSimEnv().reset(options={"scene": scene})[1]["caption"]

    two = (Ball((0.25, 0.25)), Ball((0.75, 0.75)))
    assert caption(Scene("space", two[:1])) == "one ball in space"
    assert caption(Scene("room", two, walls=(ACROSS,))) == "two balls in a room, with a wall"
    assert caption(Scene("room", two[1:], (0.1, 0.3), CUP)) == "one ball in a room, with walls, behind a screen"
    env = begin(Scene("table", two, screen=(0.4, 0.6)))
    assert env.step(np.ones(2, np.float32))[4]["caption"] == "two balls on a table, behind a screen, one pushed"
    assert env.step(STILL)[4]["caption"] == "two balls on a table, behind a screen"


def within(values: np.ndarray, ranges: tuple[tuple[float, float], ...]) -> np.ndarray:
    return np.any([(low - 1e-9 <= values) & (values <= high + 1e-9) for low, high in ranges], 0)


@pytest.mark.parametrize("grid", lab.GRIDS)
def test_random_scenes_keep_to_their_grid(grid: str) -> None:
    """That nothing overlaps, `Scene` itself has seen to."""
    env = BallsLabSimEnv(grid=grid)
    radii, speeds, laws, counts, screens, walls = [], [], [], [], [], []
    for seed in range(300):
        _, info = env.reset(seed=seed)
        radii.extend(present(info, "radii"))
        speeds.extend(np.linalg.norm(present(info, "velocities"), axis=1))
        laws.append(info["law"])
        counts.append(len(present(info, "radii")))
        assert present(info, "colours")[0] == 0, "the first is white"
        if info["screen"] is not None:
            left, right = info["screen"]
            assert WALL <= left < right <= 1 - WALL
            assert lab.SCREEN_WIDTH[0] <= right - left + 1e-9 <= lab.SCREEN_WIDTH[1] + 2e-9
        screens.append(info["screen"] is not None)
        walls.append("with" in info["caption"])
    size, speed = np.array(radii), np.array(speeds)
    ranges = lab.GRIDS[grid]
    at_rest = speed < 1e-9
    assert within(size, ranges.radii).all()
    assert within(speed[~at_rest], ranges.speeds).all()
    assert all(within(size, (part,)).mean() > 0.3 for part in ranges.radii)
    assert all(within(speed, (part,)).mean() > 0.3 for part in ranges.speeds)
    if grid == "train":
        assert not ((size > lab.LARGE) & (speed > lab.FAST)).any()
        assert 0.15 < at_rest.sum() / 300 < 0.35
        assert size[speed > lab.FAST].max() > lab.LARGE - 0.005
    else:
        assert not at_rest.any()
    assert all(0.22 < laws.count(law) / 300 < 0.45 for law in lab.GROUNDS)
    assert all(0.22 < counts.count(count) / 300 < 0.45 for count in (1, 2, 3))
    assert 0.15 < np.mean(screens) < 0.35
    assert 0.15 < np.mean(walls) < 0.35


def test_a_seed_fixes_everything_that_follows() -> None:
    one, two, other = (begin(None, seed) for seed in (7, 7, 8))
    assert str(one.snapshot()) == str(two.snapshot()) != str(other.snapshot())
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(future(one, 0), future(two, 0), strict=True))


def future(env: BallsLabSimEnv, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames of 40 steps and of a random scene after them; positions and velocities at the last step."""
    frames = []
    for action in actions(40, seed):
        frame, *_, info = env.step(action)
        frames.append(frame)
    frames.append(env.reset()[0])
    return np.stack(frames), np.stack([present(info, "positions"), present(info, "velocities")])


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    before=st.integers(0, 60),
    between=st.integers(0, 30),
    grid=st.sampled_from(list(lab.GRIDS)),
)
def test_restore_repeats_the_future_to_the_bit(seed: int, before: int, between: int, grid: str) -> None:
    env, elsewhere = BallsLabSimEnv(grid=grid), BallsLabSimEnv(grid=grid)
    frame, _ = env.reset(seed=seed)
    for action in actions(before, seed):
        frame, *_ = env.step(action)
    snapshot = env.snapshot()
    frames, state = future(env, seed + 1)
    for action in actions(between, seed + 2):
        env.step(action)
    for one in (env, elsewhere):  # elsewhere has never been reset
        assert np.array_equal(one.restore(snapshot), frame)
        again, same = future(one, seed + 1)
        assert np.array_equal(again, frames)
        assert np.array_equal(same, state)


def test_rendering_shows_the_present_frame() -> None:
    env = BallsLabSimEnv(render_mode="rgb_array")
    assert env.render() is None
    env.reset(seed=1)
    frame, *_ = env.step(STILL)
    assert np.array_equal(env.render(), frame)


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        ({"law": "moon"}, "law must be one of space, table, room, got 'moon'"),
        ({"balls": ()}, "1 to 6 balls, one of each colour, got 0"),
        ({"balls": tuple(Ball((0.5, 0.5)) for _ in range(7))}, "1 to 6 balls, one of each colour, got 7"),
        ({"balls": (Ball((0.2, 0.2)), Ball((0.8, 0.8), colour=0))}, r"two balls have the same colour.*\[0, 0\]"),
        ({"balls": (Ball((0.2, 0.2), colour=6),)}, r"colours must be 0 to 5, got \[6\]"),
        ({"balls": (Ball((0.5, 0.5), radius=0.0),)}, "ball 0 needs .* two finite numbers, and a radius above 0"),
        ({"balls": (Ball((0.5, float("nan"))),)}, "ball 0 needs a position and a velocity of two finite numbers"),
        ({"balls": (Ball((0.5, 0.1)),)}, r"ball 0 at \(0.5, 0.1\) with radius 0.1 overlaps the border: .* 0.1417 to"),
        ({"balls": (Ball((0.45, 0.5)),), "walls": (ACROSS,)}, r"ball 0 .* overlaps the wall .*: keep 0.1208 from"),
        ({"balls": (Ball((0.5, 0.5)), Ball((0.6, 0.5)))}, "ball 1 .* overlaps ball 0: keep their centres 0.2 apart"),
        ({"screen": (0.6, 0.4)}, r"screen must be \(left, right\) with 0 <= left < right <= 1, got \(0.6, 0.4\)"),
        ({"screen": (0.6, 1.4)}, "screen must be"),
        ({"walls": (((0.1, 0.2), (0.3, 1.2)),)}, r"a wall is \(start, end\), each \(right, up\) in the box"),
        ({"walls": ((0.1, 0.2),)}, r"a wall is \(start, end\)"),
    ],
)
def test_a_scene_that_cannot_be_says_why(scene: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scene(**{"balls": (Ball((0.5, 0.5)),), **scene})


def test_balls_may_touch_what_is_beside_them() -> None:
    floor = WALL + 0.1
    balls = (Ball((floor, floor)), Ball((floor + 0.2, floor)))
    wall = ((floor + 0.3 + WALL / 2, WALL), (floor + 0.3 + WALL / 2, 0.5))
    positions, _ = motion(Scene("room", balls, walls=(wall,)), 40)
    np.testing.assert_allclose(positions[-1], positions[0], atol=2e-3)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"size": (50, 48)}, "multiples of 16"),
        ({"grid": "test"}, "grid must be one of train, speed, size, combination, got 'test'"),
        ({"render_mode": "human"}, "render_mode must be None or 'rgb_array', got 'human'"),
    ],
)
def test_wrong_settings_are_named(kwargs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BallsLabSimEnv(**kwargs)


def test_wrong_options_are_named() -> None:
    env = BallsLabSimEnv()
    with pytest.raises(ValueError, match="takes no prompt: nothing in it can be chosen by words"):
        env.reset(options={"prompt": "a heap"})
    with pytest.raises(ValueError, match=r"unknown reset options \['law', 'scenes'\]; BallsLabSim takes only 'scene'"):
        env.reset(options={"scenes": None, "law": "room"})
    with pytest.raises(TypeError, match=r"must be a worldsim\.envs\.balls_lab\.Scene, got dict"):
        env.reset(options={"scene": {"law": "room"}})


def test_stepping_the_wrong_way_says_what_to_do() -> None:
    env = BallsLabSimEnv()
    with pytest.raises(gym.error.ResetNeeded, match=r"call reset\(\) before step"):
        env.step(STILL)
    with pytest.raises(gym.error.ResetNeeded, match=r"call reset\(\) before snapshot"):
        env.snapshot()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action .* outside the action space"):
        env.step(np.zeros(3, np.float32))


def test_it_is_cheap() -> None:
    balls = tuple(Ball((0.2 + 0.3 * number, 0.7), (0.3, 0.1)) for number in range(3))
    env = begin(Scene("room", balls, (0.4, 0.6), (((0.1, 0.3), (0.9, 0.3)),)))
    taken = []
    for _ in range(5):
        start = time.process_time()
        for _ in range(100):
            env.step(STILL)
        taken.append(time.process_time() - start)
    assert 100 / min(taken) > 500  # 1,700 frames/s on a busy core, the most that a random scene can take

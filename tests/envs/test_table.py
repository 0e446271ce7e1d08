"""TableSim: boxes that are pushed about on a table, with snapshots that are exact; nothing passes through anything."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

pytest.importorskip("worldsim.envs.table", exc_type=ImportError)  # it says what is missing: the package, or OpenGL

from worldsim.agents import make_policy
from worldsim.envs.table import BOXES, RADIUS, REACH, TableSimEnv

try:
    TableSimEnv().reset(seed=0)
except gym.error.DependencyNotInstalled as error:
    pytest.skip(str(error), allow_module_level=True)

STILL = np.zeros(2, np.float32)
Steps = list[tuple[np.ndarray, dict[str, Any]]]


def play(env: TableSimEnv, actions: np.ndarray) -> Steps:
    steps = []
    for action in actions:
        frame, reward, terminated, truncated, info = env.step(action)
        assert (reward, terminated, truncated) == (0.0, False, False)
        steps.append((frame, info))
    return steps


def pushes(env: gym.Env, seed: int, steps: int, policy: str = "auto") -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Actions, float32 (steps, 2), that push things about from where `reset(seed=seed)` puts them, and all infos."""
    frame, info = env.reset(seed=seed)
    pusher = make_policy(policy, env, np.random.default_rng(seed))
    pusher.reset(frame, info)
    actions, infos = [], [info]
    for _ in range(steps):
        actions.append(pusher.act(frame, infos[-1]))
        frame, _, _, _, info = env.step(actions[-1])
        infos.append(info)
    return np.stack(actions), infos


def assert_same(one: Steps, other: Steps) -> None:
    """Equal to the bit: all that is told of the physics, and frames."""
    for (frame, info), (frame_2, info_2) in zip(one, other, strict=True):
        np.testing.assert_array_equal(frame, frame_2)
        for key in info:
            np.testing.assert_array_equal(info[key], info_2[key], err_msg=key)


def corners(info: dict[str, Any]) -> np.ndarray:
    """The corners of all boxes, (boxes, 8, 3) in metres."""
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8).T
    halves = np.array([half for _, half, _ in BOXES])
    local = signs * halves[:, None]
    w, axis = info["box_quaternions"][:, None, :1], info["box_quaternions"][:, None, 1:]
    cross = np.cross(axis, local)
    return info["box_positions"][:, None] + local + 2 * (w * cross + np.cross(axis, cross))


def place(env: TableSimEnv, pusher: tuple[float, float], box: tuple[float, float], number: int = 0) -> None:
    """Put the pusher and one box there, the box straight and at rest."""
    env._data.qpos[:2] = pusher
    env._data.qpos[2 + 7 * number : 9 + 7 * number] = (*box, BOXES[number][1][2], 1, 0, 0, 0)


def test_gymnasium_accepts_it() -> None:
    env = gym.make("worldsim/TableSim-v0", render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    assert env.spec is not None
    assert env.spec.max_episode_steps == 400
    assert env.metadata["render_fps"] == 20


def test_a_seed_fixes_everything_that_follows() -> None:
    env, other = TableSimEnv(), TableSimEnv()
    actions, _ = pushes(env, 5, 60)
    env.reset(seed=5)
    other.reset(seed=5)
    first = play(env, actions)
    assert_same(first, play(other, actions))
    other.reset(seed=6)
    assert not np.array_equal(first[-1][0], play(other, actions)[-1][0])


@pytest.mark.parametrize("seed", range(3))
def test_restore_repeats_the_future_to_the_bit(seed: int) -> None:
    env = TableSimEnv(render_mode="rgb_array")
    actions, infos = pushes(env, seed, 220)
    now = next(i for i in range(130, 200) if infos[i]["contacts"].any())
    assert sum(info["contacts"].any() for info in infos[:now]) > 10
    env.reset(seed=seed)
    play(env, actions[:now])
    snapshot, frame = env.snapshot(), env.render()
    future = play(env, actions[now:])
    for other in (env, env, TableSimEnv(render_mode="rgb_array")):
        np.testing.assert_array_equal(other.restore(snapshot), frame)
        np.testing.assert_array_equal(other.render(), frame)
        assert_same(play(other, actions[now:]), future)
    # The next episode is the same too, and a snapshot of what was restored is as good.
    env.restore(snapshot)
    again = env.snapshot()
    first, _ = env.reset()
    env.restore(again)
    np.testing.assert_array_equal(env.reset()[0], first)


def test_restoring_goes_between_sizes_but_not_numbers_of_boxes() -> None:
    small, large = TableSimEnv(), TableSimEnv(size=(96, 128))
    small.reset(seed=3)
    assert large.restore(small.snapshot()).shape == (96, 128, 3)
    np.testing.assert_array_equal(small.step(STILL)[4]["box_positions"], large.step(STILL)[4]["box_positions"])
    with pytest.raises(ValueError, match="the snapshot has 3 boxes, but this environment has 2"):
        TableSimEnv(boxes=2).restore(small.snapshot())


@pytest.mark.parametrize("boxes", [1, 2, 3])
def test_things_begin_apart_and_at_rest(boxes: int) -> None:
    env = TableSimEnv(boxes=boxes)
    for seed in range(20):
        _, before = env.reset(seed=seed)
        assert not before["contacts"].any()
        assert before["box_positions"].shape == (boxes, 3)
        for _ in range(5):
            *_, info = env.step(STILL)
        np.testing.assert_allclose(info["box_positions"], before["box_positions"], atol=1e-3)
        np.testing.assert_allclose(info["box_velocities"], 0, atol=0.02)


def test_nothing_passes_through_a_wall_or_the_table_or_anything_else() -> None:
    env = TableSimEnv()
    env._draw = lambda: np.zeros((64, 64, 3), np.uint8)  # type: ignore[method-assign] # the physics alone
    for seed in range(6):
        pushes(env, seed, 250)
        # Then full speed into each corner and along the borders, with whatever is in the way.
        ways = [(1, 1), (-1, 1), (-1, -1), (1, -1), (1, 1), (0, -1), (-1, 0)]
        for action in np.repeat(np.array(ways, np.float32), 50, 0):
            *_, info = env.step(action)
            where = corners(info)
            assert np.abs(where[..., :2]).max() < REACH + 0.004
            assert where[..., 2].min() > -0.004
            assert where[..., 2].max() < 0.2, "nothing is thrown into the air"
            assert np.abs(info["pusher_position"]).max() < REACH - RADIUS + 0.004
            assert env._data.contact.dist.min(initial=0) > -0.008


def test_a_box_slides_when_it_is_pushed_and_stops() -> None:
    env = TableSimEnv(boxes=1)
    env.reset(seed=0)
    place(env, (-0.1, 0.0), (0.0, 0.0))
    infos = [info for _, info in play(env, np.tile(np.array([1, 0], np.float32), (20, 1)))]
    touched = next(i for i, info in enumerate(infos) if info["contacts"][0])
    assert infos[touched]["caption"] == "a red box on a table, the red one pushed"
    assert infos[touched - 1]["caption"] == "a red box on a table"
    assert infos[-1]["pusher_position"][0] == pytest.approx(-0.1 + 0.3, abs=0.03)
    ahead = infos[-1]["box_positions"][0] - [*infos[-1]["pusher_position"], 0]
    np.testing.assert_allclose(ahead[[0, 2]], [RADIUS + BOXES[0][1][0], BOXES[0][1][2]], atol=0.01)
    assert infos[-1]["box_velocities"][0, 0] == pytest.approx(0.3, abs=0.05)
    rest = play(env, np.tile(STILL, (10, 1)))[-1][1]
    np.testing.assert_allclose(rest["box_velocities"], 0, atol=1e-2)


def test_the_tall_box_tips_over_and_the_others_do_not() -> None:
    env = TableSimEnv()
    for number, (name, _, _) in enumerate(BOXES):
        env.reset(seed=0)
        for other in range(3):
            place(env, (-0.12, 0.0), (0.2, -0.2 + 0.2 * other), other)
        place(env, (-0.12, 0.0), (0.0, 0.0), number)
        infos = [info for _, info in play(env, np.tile(np.array([1, 0], np.float32), (20, 1)))]
        assert (f"{name} box tipped over" in infos[-1]["caption"]) == (name == "blue")


def test_recordings_are_full_of_motion() -> None:
    """Random actions move a box in one frame of twenty-five."""
    moved: list[bool] = []
    for seed in range(4):
        _, infos = pushes(TableSimEnv(), seed, 200)
        where = np.stack([info["box_positions"] for info in infos])
        moved += (np.linalg.norm(np.diff(where, axis=0), axis=2).max(1) > 0.002).tolist()  # a fifth of a pixel
    assert np.mean(moved) > 1 / 3


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (64, 128), (256, 256)])
def test_frames_show_the_whole_table_at_the_size_that_was_asked_for(size: tuple[int, int]) -> None:
    frame, _ = TableSimEnv(size=size).reset(seed=0)
    assert frame.shape == (*size, 3)
    background = frame[0, 0]
    edge = np.concatenate([frame[0], frame[-1], frame[:, 0], frame[:, -1]])
    assert (edge == background).all()
    for _, _, colour in BOXES:
        assert (np.abs(frame - 255 * np.array(colour)).sum(2) < 90).any()


def test_what_does_not_fit_is_said() -> None:
    env = TableSimEnv()
    for too_early in (lambda: env.step(STILL), env.snapshot):
        with pytest.raises(gym.error.ResetNeeded):
            too_early()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"expected a float32 array of shape \(2,\) in \[-1, 1\]"):
        env.step(np.array([2, 0], np.float32))
    with pytest.raises(ValueError, match="no prompt"):
        env.reset(options={"prompt": "a forest"})
    with pytest.raises(ValueError, match="multiples of 16"):
        TableSimEnv(size=(60, 64))
    with pytest.raises(ValueError, match="boxes must be 1 to 3, got 4"):
        TableSimEnv(boxes=4)
    with pytest.raises(ValueError, match="render_mode"):
        TableSimEnv(render_mode="human")


def test_it_can_be_closed_twice_and_goes_on() -> None:
    env = TableSimEnv(render_mode="rgb_array")
    frame, _ = env.reset(seed=0)
    env.close()
    env.close()
    np.testing.assert_array_equal(env.render(), frame)


@pytest.mark.parametrize(
    ("before", "environ", "says"),
    [
        ("sys.modules['mujoco'] = None", {}, 'TableSim needs mujoco: pip install "worldsim[robotics]"'),
        ("import mujoco", {}, "set it, or import worldsim.envs.table before"),
        ("", {"MUJOCO_GL": "off"}, "Debian, Ubuntu: apt install libegl1 libgl1 libgl1-mesa-dri, and MUJOCO_GL=egl"),
    ],
)
def test_what_is_missing_is_said(before: str, environ: dict[str, str], says: str) -> None:
    script = f"import sys; {before}\nfrom worldsim.envs.table import TableSimEnv\nTableSimEnv().reset(seed=0)"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={"PATH": os.environ["PATH"], **environ}
    )
    assert says in result.stderr

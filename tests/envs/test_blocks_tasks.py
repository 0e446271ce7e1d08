"""Tasks in the block world: the rewards are what was done, and nothing is to be had for nothing."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldsim.agents import make_policy
from worldsim.data.record import record_store
from worldsim.data.store import FrameStore
from worldsim.envs.blocks import physics
from worldsim.envs.blocks.blocks import AIR, HOTBAR, KEYS, WATER, WOOD
from worldsim.envs.blocks.tasks import BlocksDrySimEnv, BlocksTowerSimEnv, BlocksWoodSimEnv

IDS = ["worldsim/BlocksTowerSim-v0", "worldsim/BlocksWoodSim-v0", "worldsim/BlocksDrySim-v0"]
SMALL = (48, 64)


def press(*keys: str, camera: tuple[float, float] = (0, 0), hotbar: int = 0) -> dict[str, Any]:
    return {key: int(key in keys) for key in KEYS} | {"hotbar": hotbar, "camera": np.array(camera, np.float32)}


@pytest.mark.parametrize("name", IDS)
def test_gymnasium_accepts_it(name: str) -> None:
    env = gym.make(name, size=SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*symmetric and normalized space.*")  # the camera is in degrees
        check_env(env.unwrapped, skip_render_check=True)


def test_a_tower_is_reached_by_walking_there() -> None:
    env = BlocksTowerSimEnv(size=SMALL)
    reached = 0
    for seed in range(4):
        _, info = env.reset(seed=seed)
        begun, gained, ended = info["tower_distance"], 0.0, False
        for _ in range(400):
            state = env._running()
            x, z = (np.nonzero(state.built == 2)[axis] + 0.5 for axis in (0, 1))
            dx = (x - info["pose"][0] + 64) % 128 - 64
            dz = (z - info["pose"][2] + 64) % 128 - 64
            nearest = np.hypot(dx, dz).argmin()
            wanted = np.degrees(np.arctan2(-dx[nearest], dz[nearest]))
            turn = (wanted - info["pose"][3] + 180) % 360 - 180
            _, reward, ended, _, info = env.step(press("forward", "jump", camera=(np.clip(turn, -10, 10), 0)))
            gained += reward
            if ended:
                break
        assert gained == pytest.approx((begun - info["tower_distance"]) / 16 + ended)
        assert ended == (info["tower_distance"] < 3)
        reached += ended
    assert reached >= 2


def test_a_world_without_a_tower_is_refused() -> None:
    env = BlocksTowerSimEnv(size=SMALL)
    with pytest.raises(ValueError, match="there is no tower"):
        env.reset(seed=2, options={"prompt": "a hut"})


def before_the_player(env: BlocksWoodSimEnv, block: int) -> None:
    """Clear the way before the player, who looks straight on, and put a block two steps ahead of the eye."""
    state = env._running()
    state.body[physics.PITCH] = 0.0
    ahead = physics.ahead_of(state.body[physics.YAW], 0.0)
    eye = state.body[[physics.X, physics.Y, physics.Z]] + (0, state.body[physics.EYE], 0)
    for step in np.arange(0.5, 7, 0.1):
        x, y, z = (eye + step * ahead).astype(int)
        state.voxels[x % 128, y, z % 128] = AIR
    x, y, z = (eye + 2.5 * ahead).astype(int)
    state.voxels[x % 128, y, z % 128] = block


def test_wood_that_is_broken_counts_and_wood_that_is_placed_costs() -> None:
    env = BlocksWoodSimEnv(size=SMALL)
    env.reset(seed=1)
    before_the_player(env, WOOD)
    assert env.step(press("break"))[1] == 1
    assert env.step(press())[1] == 0
    before_the_player(env, WOOD)
    assert env.step(press("place", hotbar=HOTBAR.index(WOOD)))[1] == -1


def test_what_is_no_wood_does_not_count() -> None:
    env = BlocksWoodSimEnv(size=SMALL)
    env.reset(seed=1)
    before_the_player(env, HOTBAR[1])
    _, reward, _, _, info = env.step(press("break"))
    assert reward == 0
    assert info["caption"]


def test_walking_pays_until_the_player_is_wet() -> None:
    env = BlocksDrySimEnv(size=SMALL)
    _, info = env.reset(seed=2)
    assert not info["in_water"]
    paid = [env.step(press("forward"))[1] for _ in range(10)]
    assert max(paid) > 0
    assert env.step(press())[1] < max(paid)
    state = env._running()
    x, y, z = (int(state.body[at]) for at in (physics.X, physics.Y, physics.Z))
    state.voxels[x, y : y + 2, z] = WATER
    _, reward, ended, _, _ = env.step(press("forward"))
    assert ended
    assert reward == 0


def test_a_snapshot_goes_on_with_the_same_rewards() -> None:
    env = BlocksTowerSimEnv(size=SMALL)
    env.reset(seed=5)
    kept = env.snapshot()
    first = [env.step(press("forward"))[1] for _ in range(5)]
    env.restore(kept)
    assert [env.step(press("forward"))[1] for _ in range(5)] == first


def test_rewards_are_recorded(tmp_path: Any) -> None:
    record_store(IDS[0], 60, tmp_path, env_kwargs={"size": SMALL}, episode_frames=30, workers=1, progress=False)
    store = FrameStore.open(tmp_path)
    assert store.rewards.any()


def test_the_explorer_plays_it() -> None:
    env = BlocksTowerSimEnv(size=SMALL)
    policy = make_policy("auto", env, np.random.default_rng(0))
    frame, info = env.reset(seed=0)
    policy.reset(frame, info)
    assert env.action_space.contains(policy.act(frame, info))

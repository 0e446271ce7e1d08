"""The block world as a Gymnasium environment: contract, determinism, snapshots, prompts, errors."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import worldsim  # noqa: F401  (registers the environments)
from worldsim.envs.blocks import animals, physics
from worldsim.envs.blocks.blocks import BIOMES, BLOCK_ID, BLOCK_NAMES, HOTBAR, KEYS, SEA_LEVEL, SOLID, TIMES, WEATHERS
from worldsim.envs.blocks.captions import short_caption
from worldsim.envs.blocks.env import BlocksSimEnv

INFO = {
    "pose", "velocity", "on_ground", "in_water", "blocked", "target_block", "target_distance", "visible_blocks",
    "visible_animals", "animal_bearings", "held", "biome", "time", "weather", "caption",
}  # fmt: skip


def action(*pressed: str, hotbar: int = 0, yaw: float = 0.0, pitch: float = 0.0) -> dict[str, Any]:
    keys: dict[str, Any] = {key: int(key in pressed) for key in KEYS}
    return keys | {"hotbar": hotbar, "camera": np.array([yaw, pitch], np.float32)}


def assert_same(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert left.keys() == right.keys()
    for key, value in left.items():
        np.testing.assert_array_equal(value, right[key], err_msg=key)


@pytest.fixture(scope="module")
def env() -> BlocksSimEnv:
    return BlocksSimEnv(size=(64, 64), render_mode="rgb_array")


@pytest.mark.filterwarnings("ignore:.*For Box action spaces, we recommend.*")
def test_the_gymnasium_checker_is_content() -> None:
    check_env(gym.make("worldsim/BlocksSim-v0").unwrapped)
    check_env(gym.make("worldsim/BlocksSim-v0", size=(48, 80), render_mode="rgb_array").unwrapped)


def test_spaces_are_those_of_the_contract() -> None:
    made = gym.make("worldsim/BlocksSim-v0")
    assert made.spec is not None
    assert made.spec.max_episode_steps == 1200
    assert made.observation_space == gym.spaces.Box(0, 255, (80, 128, 3), np.uint8)
    assert list(made.action_space.spaces) == [*KEYS, "hotbar", "camera"]  # type: ignore[attr-defined]
    assert gym.spaces.flatdim(made.action_space) == 8 * 2 + 9 + 2
    assert made.action_space["camera"].high.tolist() == [10.0, 10.0]  # type: ignore[index]


@pytest.mark.parametrize("size", [(64, 64), (80, 128), (16, 48)])
def test_frames_and_info_have_the_documented_form(size: tuple[int, int]) -> None:
    env = BlocksSimEnv(size=size)
    frame, first = env.reset(seed=1)
    stepped, reward, terminated, truncated, then = env.step(action("forward"))
    assert (reward, terminated, truncated) == (0.0, False, False)
    for picture, info in ((frame, first), (stepped, then)):
        assert picture.shape == (*size, 3)
        assert picture.dtype == np.uint8
        assert set(info) == INFO
        assert info["pose"].shape == (5,)
        assert info["velocity"].shape == (3,)
        assert 0 <= info["pose"][3] < 360
        assert info["visible_blocks"].shape == (len(BLOCK_NAMES),)
        assert info["visible_blocks"].dtype == np.int32
        assert info["animal_bearings"].shape == (8, 2)
        assert info["target_block"] in ("", *BLOCK_NAMES)
        assert (info["target_distance"] <= physics.REACH) == bool(info["target_block"])
        assert info["biome"] in BIOMES
        assert info["time"] in TIMES
        assert info["weather"] in WEATHERS
        assert all(type(info[key]) is bool for key in ("on_ground", "in_water", "blocked"))
    assert stepped is not frame


def test_maps_agree_with_the_counts(env: BlocksSimEnv) -> None:
    for seed in range(3):
        _, info = env.reset(seed=seed)
        ids, depth = env.block_map(), env.depth_map()
        assert ids.shape == depth.shape == (64, 64)
        assert ids.dtype == np.uint8
        assert depth.dtype == np.float32
        seen = ids[ids < len(BLOCK_NAMES)]
        np.testing.assert_array_equal(np.bincount(seen, minlength=len(BLOCK_NAMES)), info["visible_blocks"])
        assert np.isinf(depth[ids == 0]).all()
        assert (depth > 0).all()


def test_the_target_is_the_block_under_the_crosshair(env: BlocksSimEnv) -> None:
    env.reset(seed=2)
    for _ in range(9):
        info = env.step(action(pitch=10.0))[4]
    assert info["target_block"] in BLOCK_NAMES
    assert info["target_distance"] == pytest.approx(physics.EYE_HEIGHT, abs=0.3)


def test_a_seed_and_actions_give_the_same_frames() -> None:
    runs = []
    for _ in range(2):
        env = BlocksSimEnv(size=(48, 64))
        env.action_space.seed(5)
        frames = [env.reset(seed=11)[0]] + [env.step(env.action_space.sample())[0] for _ in range(40)]
        frames.append(env.reset()[0])  # the next episode, unseeded, follows from the first seed
        runs.append(np.array(frames))
    np.testing.assert_array_equal(*runs)
    assert not np.array_equal(runs[0][0], runs[0][-1])
    assert not np.array_equal(runs[0][0], BlocksSimEnv(size=(48, 64)).reset(seed=12)[0])


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), before=st.integers(0, 40), after=st.integers(1, 40))
def test_snapshots_are_exact(seed: int, before: int, after: int) -> None:
    env, other = BlocksSimEnv(size=(48, 64)), BlocksSimEnv(size=(48, 64))
    env.reset(seed=seed)
    other.reset(seed=seed + 1)
    env.action_space.seed(seed)
    for _ in range(before):
        env.step(env.action_space.sample())
    snapshot = env.snapshot()
    actions = [env.action_space.sample() for _ in range(after)]
    first = [env.step(each) for each in actions]
    next_world = env.reset()[0]
    for place in (env, other):
        place.restore(snapshot)
        for each, (frame, *_, info) in zip(actions, first, strict=True):
            again, *_, info_again = place.step(each)
            np.testing.assert_array_equal(again, frame)
            assert_same(info_again, info)
        np.testing.assert_array_equal(place.reset()[0], next_world)


def test_a_snapshot_is_independent_plain_and_shows_its_frame(env: BlocksSimEnv) -> None:
    frame, _ = env.reset(seed=7)
    snapshot = env.snapshot()
    assert all(isinstance(value, np.ndarray | int | float | dict) for value in vars(snapshot).values())
    for _ in range(30):
        env.step(action("break", pitch=5.0))
    assert (env.snapshot().voxels != snapshot.voxels).any()
    np.testing.assert_array_equal(env.restore(snapshot), frame)
    np.testing.assert_array_equal(env.render(), frame)


def test_ten_degrees_turn_the_pose_and_the_picture(env: BlocksSimEnv) -> None:
    _, info = env.reset(seed=4)
    for turn in (10.0, -4.5):
        before = info["pose"]
        info = env.step(action(yaw=turn))[4]
        assert (info["pose"][3] - before[3] + 180) % 360 - 180 == pytest.approx(turn)
        np.testing.assert_array_equal(info["pose"][:3], before[:3])


def test_hotbar_holds_and_digging_changes_the_world(env: BlocksSimEnv) -> None:
    env.reset(seed=2)
    for slot, block in enumerate(HOTBAR):
        assert env.step(action(hotbar=slot))[4]["held"] == BLOCK_NAMES[block]
    for _ in range(9):
        env.step(action(pitch=10.0))
    assert env.attributes()["activity"] == "standing"
    height = env.step(action("break", pitch=10.0))[4]["pose"][1]
    assert env.attributes()["activity"] == "digging"
    for _ in range(20):
        info = env.step(action("break"))[4]
    assert info["pose"][1] < height - 0.9


def test_starts_are_dry_level_and_open() -> None:
    env = BlocksSimEnv(size=(64, 64))
    for seed in range(20):
        _, info = env.reset(seed=seed)
        x, y, z, _, pitch = info["pose"]
        voxels = env.snapshot().voxels
        assert y > SEA_LEVEL
        assert -5 <= pitch <= 20
        assert info["on_ground"]
        assert not info["in_water"]
        assert SOLID[voxels[int(x), int(y) - 1, int(z)]]
        assert not SOLID[voxels[int(x), int(y) :, int(z)]].any()
        assert np.median(env.depth_map()) > 2.5


def test_animals_wander_outside_walls_and_water(env: BlocksSimEnv) -> None:
    walked = []
    for seed in range(4):
        env.reset(seed=seed)
        start = env.snapshot()
        assert 4 <= len(start.herd) <= 10
        for _ in range(200):
            env.step(action())
            state = env.snapshot()
            for x, y, z in state.herd[:, :3]:
                assert physics.free(state.voxels, x, y, z, physics.ANIMAL_HALF, physics.ANIMAL_HEIGHT)
                assert not physics.wet(state.voxels, x, y + 0.1, z)
        walked.extend(np.abs((state.herd[:, [0, 2]] - start.herd[:, [0, 2]] + 64) % 128 - 64).max(1))
        np.testing.assert_array_equal(state.herd[:, animals.KIND], start.herd[:, animals.KIND])
    assert np.median(walked) > 1.0


def test_bearings_point_at_the_animals() -> None:
    env = BlocksSimEnv(size=(80, 128))
    env.reset(seed=0, options={"prompt": "a sheep in a flat meadow, by day"})
    _, _, _, _, info = env.step(action())
    yaw, distance = info["animal_bearings"][0]
    for _ in range(30):  # turn towards the nearest animal
        yaw, distance = info["animal_bearings"][0]
        info = env.step(action(yaw=float(np.clip(yaw, -10, 10))))[4]
    assert abs(yaw) < 5
    column = np.nonzero(env.block_map() == 255)[1]
    assert abs(np.median(column) - 64) < 12
    assert np.min(env.depth_map()[env.block_map() == 255]) == pytest.approx(distance, abs=1.5)


# -- captions and prompts ----------------------------------------------------------------------------------------------


def test_captions_follow_the_state(env: BlocksSimEnv) -> None:
    rng = np.random.default_rng(0)
    for seed in range(3):
        _, info = env.reset(seed=seed)
        for _ in range(20):
            attributes = env.attributes()
            assert info["caption"] == short_caption(attributes)
            assert attributes["biome"] == info["biome"]
            assert sum(attributes["animals"].values()) == info["visible_animals"]
            info = env.step(action("forward", yaw=9.0))[4]
        for style in ("short", "long"):
            for language in ("en", "zh"):
                assert len(env.caption(rng, style, language)) > 3


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("a snowy plain at dusk", {"biome": "snow", "time": "dusk", "weather": "clear"}),
        ("three sheep beside a hut in a meadow at dawn", {"structure": "hut", "animals": {"sheep": 3}, "time": "dawn"}),
        ("a tower in the desert, fog", {"biome": "desert", "structure": "tower", "weather": "fog"}),
        ("a lake in a forest at night, in the rain", {"water": True, "time": "night", "weather": "rain"}),
        ("islands with trees, by day", {"biome": "islands", "trees": True, "time": "day"}),
        ("a flat meadow with no animals", {"biome": "meadow", "terrain": "flat", "animals": {}}),
        ("雪地，黄昏", {"biome": "snow", "time": "dusk"}),
    ],
)
def test_a_prompt_makes_its_world(env: BlocksSimEnv, prompt: str, wanted: dict[str, Any]) -> None:
    for seed in (1, 2):
        frame, info = env.reset(seed=seed, options={"prompt": prompt})
        assert info["prompt_unmet"] == ()
        assert info["prompt_unknown"] == ()
        assert set(info) == INFO | {"prompt_unmet", "prompt_unknown"}
        attributes = env.attributes()
        assert {key: attributes[key] for key in wanted} == wanted
        np.testing.assert_array_equal(env.reset(seed=seed, options={"prompt": prompt})[0], frame)
    assert set(env.step(action())[4]) == INFO


def test_a_prompt_that_cannot_be_fulfilled_says_so(env: BlocksSimEnv) -> None:
    with pytest.warns(UserWarning, match="purple, dragon"):
        _, info = env.reset(seed=1, options={"prompt": "a purple dragon in a forest"})
    assert info["prompt_unknown"] == ("purple", "dragon")
    assert info["biome"] == "forest"
    with pytest.warns(UserWarning, match="sheep: 40"):
        _, info = env.reset(seed=1, options={"prompt": "40 sheep"})
    assert info["prompt_unmet"] == ("sheep: 40",)
    assert env.attributes()["animals"]["sheep"] > 2


# -- errors ------------------------------------------------------------------------------------------------------------


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        BlocksSimEnv(size=(60, 64))
    with pytest.raises(ValueError, match="render_mode must be None or 'rgb_array', got 'human'"):
        BlocksSimEnv(render_mode="human")


def test_a_world_is_needed_first() -> None:
    env = BlocksSimEnv(size=(16, 16))
    for use in (lambda: env.step(action()), env.snapshot, env.depth_map, env.block_map, env.attributes):
        with pytest.raises(gym.error.ResetNeeded, match="call reset"):
            use()


def test_wrong_reset_options_are_named(env: BlocksSimEnv) -> None:
    with pytest.raises(ValueError, match=r"unknown reset options \['biome'\]; BlocksSim takes only 'prompt'"):
        env.reset(options={"biome": "snow"})
    with pytest.raises(TypeError, match="must be a string, got int"):
        env.reset(options={"prompt": 3})
    with pytest.raises(ValueError, match="contradict"):
        env.reset(options={"prompt": "a desert at dawn and at night"})


@pytest.mark.parametrize(
    "wrong",
    [
        action() | {"forward": 2},
        action() | {"jump": 0.5},
        action() | {"hotbar": 9},
        action() | {"hotbar": -1},
        action() | {"hotbar": 1.5},
        action() | {"camera": np.array([10.5, 0], np.float32)},
        action() | {"camera": np.array([0, np.nan], np.float32)},
        action() | {"camera": np.zeros(3, np.float32)},
        action() | {"fly": 1},
        {key: value for key, value in action().items() if key != "place"},
        np.zeros(27, np.float32),
        3,
    ],
)
def test_an_action_outside_the_space_is_refused(env: BlocksSimEnv, wrong: Any) -> None:
    env.reset(seed=0)
    before = env.snapshot()
    with pytest.raises(ValueError, match=r"(?s)outside the action space: got .*; expected a dict of forward, back"):
        env.step(wrong)
    assert env.snapshot().tick == before.tick


def test_every_sampled_action_is_accepted(env: BlocksSimEnv) -> None:
    env.reset(seed=0)
    env.action_space.seed(1)
    for _ in range(30):
        sample = env.action_space.sample()
        env.step(sample)
        flat = gym.spaces.flatten(env.action_space, sample)
        env.step(gym.spaces.unflatten(env.action_space, flat))
    assert BLOCK_ID[env.step(action())[4]["held"]] == HOTBAR[0]


def test_render_modes() -> None:
    env = BlocksSimEnv(size=(16, 32))
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="rgb_array"):
        assert env.render() is None


def test_without_overlay_neither_hand_nor_crosshair_is_drawn():
    with_it, without = (
        gym.make("worldsim/BlocksSim-v0", overlay=overlay, disable_env_checker=True).reset(seed=3)[0].astype(int)
        for overlay in (True, False)
    )
    differs = (with_it != without).any(-1)
    height, width = differs.shape
    assert differs[3 * height // 4 :, 3 * width // 4 :].any(), "the hand"
    assert differs[height // 2 - 3 : height // 2 + 3, width // 2 - 3 : width // 2 + 3].any(), "the crosshair"
    assert differs.mean() < 0.1

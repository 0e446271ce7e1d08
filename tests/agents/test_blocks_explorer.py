"""The explorer of BlocksSim does a bit of everything: the shares below decide what a model trained on it can learn."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

import worldsim  # noqa: F401, registers the environments
from worldsim.agents import make_policy
from worldsim.agents.blocks_explorer import sweep
from worldsim.envs.blocks.blocks import KEYS

EPISODES, TICKS = 40, 256


@given(angle=st.floats(-360, 360), rate=st.floats(0.5, 12))
def test_a_sweep_turns_exactly_so_far_and_speeds_up_and_slows_down(angle, rate):
    ticks = np.array(sweep(angle, rate))
    assert ticks.sum() == pytest.approx(angle, abs=1e-6)
    speed = np.abs(ticks)
    assert speed.max() <= min(rate, 10) + 1e-9
    assert (np.sign(ticks) == np.sign(angle)).all()
    np.testing.assert_allclose(speed, speed[::-1])
    if len(ticks) > 12:  # a stretch of constant rate, between gentle beginnings and ends
        assert (speed > speed.max() - 1e-9).sum() >= len(ticks) - 6
        assert speed[0] <= speed.max() / 2


@pytest.fixture(scope="module")
def walk():
    """What was pressed and what came of it, in 40 episodes: arrays with one row a tick."""
    env = gym.make("worldsim/BlocksSim-v0", size=(16, 16), disable_env_checker=True)
    rows = {name: [] for name in ("keys", "camera", "hotbar", "speed", "pitch", "water", "yaw")}
    for seed in range(EPISODES):
        policy = make_policy("auto", env, np.random.default_rng([seed, 1]))
        frame, info = env.reset(seed=seed)
        policy.reset(frame, info)
        for _ in range(TICKS):
            action = policy.act(frame, info)
            frame, _, _, _, info = env.step(action)
            rows["keys"].append([action[key] for key in KEYS])
            rows["camera"].append(action["camera"])
            rows["hotbar"].append(action["hotbar"])
            rows["speed"].append(np.hypot(info["velocity"][0], info["velocity"][2]))
            rows["pitch"].append(info["pose"][4])
            rows["yaw"].append(info["pose"][3])
            rows["water"].append(info["in_water"])
    arrays = {name: np.array(values) for name, values in rows.items()}
    arrays["keys"] = arrays["keys"].astype(bool)
    arrays["looks"] = (np.abs(arrays["camera"]) > 1e-3).any(1)
    arrays["walks"] = arrays["keys"][:, :4].any(1)
    return arrays


def test_actions_are_valid_and_repeatable():
    env = gym.make("worldsim/BlocksSim-v0", size=(16, 16), disable_env_checker=True)

    def actions():
        policy = make_policy("blocks", env, np.random.default_rng(4))
        frame, info = env.reset(seed=4)
        policy.reset(frame, info)
        for _ in range(60):
            action = policy.act(frame, info)
            assert env.action_space.contains(action)
            frame, _, _, _, info = env.step(action)
            yield spaces.flatten(env.action_space, action)

    np.testing.assert_array_equal(list(actions()), list(actions()))


def test_walking_looking_and_stillness_have_their_shares(walk):
    nothing = ~walk["looks"] & ~walk["keys"].any(1)
    assert 0.33 < walk["looks"].mean() < 0.52
    assert 0.5 < walk["walks"].mean() < 0.75
    assert 0.15 < (walk["looks"] & walk["walks"]).mean() < 0.35
    assert 0.03 < nothing.mean() < 0.12


def test_resting_is_exploring_with_stretches_of_nothing():
    """A World learns to stay as it is only from stretches in which nothing is done."""
    env = gym.make("worldsim/BlocksSim-v0", size=(16, 16), disable_env_checker=True)
    rested = 0
    for seed in range(12):
        policy = make_policy("resting", env, np.random.default_rng([seed, 1]))
        frame, info = env.reset(seed=seed)
        policy.reset(frame, info)
        still = 0
        for _ in range(TICKS):
            action = policy.act(frame, info)
            frame, _, _, _, info = env.step(action)
            still = 0 if action["camera"].any() or any(action[key] for key in KEYS) else still + 1
            rested += still >= 30
    assert 0.03 < rested / (12 * TICKS) < 0.25


def test_building_changes_blocks_several_times_as_often_and_editing_more_often_when_nothing_was_done_lately():
    env = gym.make("worldsim/BlocksSim-v0", size=(16, 16), disable_env_checker=True)

    def changed(name: str) -> np.ndarray:
        """The shares of ticks after which another block lies somewhere, and of those with none for ten ticks before."""
        changes = []
        for seed in range(12):
            policy = make_policy(name, env, np.random.default_rng([seed, 1]))
            frame, info = env.reset(seed=seed)
            policy.reset(frame, info)
            before = env.unwrapped.snapshot().voxels
            for _ in range(TICKS):
                frame, _, _, _, info = env.step(policy.act(frame, info))
                voxels = env.unwrapped.snapshot().voxels
                changes.append(not np.array_equal(before, voxels))
                before = voxels
        lately = np.convolve(changes, [0] + [1] * 10)[: len(changes)] > 0
        return np.array([np.mean(changes), np.mean(changes & ~lately)])

    resting, building, editing = (changed(name) for name in ("resting", "building", "editing"))
    assert building[0] > 2 * resting[0] > 0.01
    assert editing[1] > 1.7 * building[1]


def test_walking_forward_moves(walk):
    """Grinding at walls teaches that the key does nothing."""
    forward = walk["keys"][:, KEYS.index("forward")] & ~walk["keys"][:, KEYS.index("back")]
    assert (walk["speed"][forward] > 0.5).mean() > 0.93


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_pressed_alone_and_with_others(walk, key):
    pressed = walk["keys"][:, KEYS.index(key)]
    assert pressed.mean() > 0.012
    alone = pressed & (walk["keys"].sum(1) == 1) & ~walk["looks"]
    assert alone.sum() > 20
    assert (pressed & (walk["keys"].sum(1) > 1)).sum() > 20


def test_turns_have_every_rate_and_mostly_two_to_six_degrees_a_tick(walk):
    rates = np.abs(walk["camera"][:, 0])
    rates = rates[rates > 1e-3]
    assert rates.max() <= 10
    assert ((rates >= 2) & (rates <= 6)).mean() > 0.42
    assert (rates < 2).mean() > 0.1
    assert (rates > 6).mean() > 0.03


def test_it_looks_in_every_direction_and_mostly_level(walk):
    assert (np.histogram(walk["yaw"], bins=12, range=(0, 360))[0] > 0.02 * len(walk["yaw"])).all()
    assert (np.abs(walk["pitch"] - 7.5) < 17.6).mean() > 0.75
    assert walk["pitch"].min() < -30
    assert walk["pitch"].max() > 45


def test_it_looks_away_and_back_to_where_it_began(walk):
    """Turns to one side are followed by turns of the same angle to the other more often than chance would have it."""
    turns = walk["camera"][:, 0]
    starts = np.flatnonzero(np.diff(np.sign(turns), prepend=0))
    angles = np.add.reduceat(turns, starts)
    angles = angles[np.abs(angles) > 15]
    assert (np.abs(angles[1:] + angles[:-1]) < 0.01).sum() >= 2


def test_it_is_in_the_water_at_times(walk):
    assert 0.02 < walk["water"].mean() < 0.4


def test_all_slots_of_the_hotbar_are_held(walk):
    assert (np.bincount(walk["hotbar"], minlength=9) > 0).all()


def test_a_camera_moves_slowly_and_leaves_the_world_as_it_is():
    env = gym.make("worldsim/BlocksSim-v0", size=(16, 16), overlay=False, disable_env_checker=True)
    moved = turned = 0
    for seed in range(8):
        policy = make_policy("filming", env, np.random.default_rng([seed, 1]))
        frame, info = env.reset(seed=seed)
        policy.reset(frame, info)
        for _ in range(TICKS):
            action = policy.act(frame, info)
            assert env.action_space.contains(action)
            assert np.abs(action["camera"]).max() <= 1.8 + 1e-6
            assert not action["break"]
            assert not action["place"]
            frame, _, _, _, info = env.step(action)
            moved += np.hypot(*info["velocity"][[0, 2]]) > 0.5
            turned += abs(action["camera"][0]) > 0
    assert 0.3 < moved / (8 * TICKS) < 0.9
    assert 0.2 < turned / (8 * TICKS) < 0.9

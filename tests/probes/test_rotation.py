"""Reading the angle of a turn off two pictures: first of all on the simulator's own, where it is known."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image, ImageFilter

from worldsim.probes.places import standing_places
from worldsim.probes.rotation import Axis, measured_turns
from worldsim.probes.turning import RATES
from worldsim.spec import WorldSpec, space_to_json


def turns(env: gym.Env, axis: Axis, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Frames before and after a tick of turning at `count` places, at each of RATES; pitch before it; true angles."""
    size = env.observation_space.shape[:2]
    spec = WorldSpec(name="true", size=size, fps=20, action=space_to_json(env.action_space), context_length=16)
    before, after, pitch, angle = [], [], [], []
    for place in standing_places(env, spec, 7_800_000, count):
        for rate in RATES:
            before.append(env.unwrapped.restore(place.snapshot))
            camera = np.array([rate, 0] if axis == "yaw" else [0, rate], np.float32)
            after.append(env.step({**place.last, "camera": camera})[0])
            pitch.append(place.pitch)
            angle.append(rate)
    return np.stack(before), np.stack(after), np.array(pitch), np.array(angle)


@pytest.mark.parametrize(("axis", "size"), [("yaw", (80, 128)), ("pitch", (80, 128)), ("yaw", (64, 64))])
def test_gain_on_true_frames_is_one(axis: Axis, size: tuple[int, int]) -> None:
    env = gym.make("worldsim/BlocksSim-v0", size=size)
    before, after, pitch, angle = turns(env, axis, count=5)
    measured = measured_turns(before, after, pitch, axis)
    assert (measured * angle).sum() / (angle**2).sum() == pytest.approx(1, abs=0.03)
    assert np.median(np.abs(measured / angle - 1)) < 0.03


def test_a_blurred_picture_is_read_too() -> None:
    """A World's frames are softer than the truth, by the tokenizer at least."""
    before, after, pitch, angle = turns(gym.make("worldsim/BlocksSim-v0"), "yaw", count=3)
    blur = ImageFilter.GaussianBlur(1.5)
    soft = np.stack([np.asarray(Image.fromarray(frame).filter(blur)) for frame in after])
    measured = measured_turns(before, soft, pitch, "yaw")
    assert (measured * angle).sum() / (angle**2).sum() == pytest.approx(1, abs=0.1)


def test_no_turn_reads_as_zero_and_the_way_back_as_its_negative() -> None:
    before, after, pitch, _ = turns(gym.make("worldsim/BlocksSim-v0"), "yaw", count=1)
    assert np.abs(measured_turns(before, before, pitch, "yaw")).max() < 0.1
    assert np.allclose(measured_turns(after, before, pitch, "yaw"), -np.array(RATES), atol=0.4)

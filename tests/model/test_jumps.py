"""A picture that jumps is found to have jumped by what it did, where it did; a still one, and a plain, stay."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import worldsim  # noqa: F401 - registers the environments
from worldsim.agents import make_policy
from worldsim.model.jumps import jump_flow
from worldsim.model.optical_flow import optical_flow


def tiles(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A map of 7-pixel tiles of four textures, uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    textures = rng.integers(0, 256, (4, 7, 7, 3))
    kinds = rng.integers(0, 4, (height // 7 + 1, width // 7 + 1))
    picture = textures[kinds].transpose(0, 2, 1, 3, 4).reshape(7 * kinds.shape[0], 7 * kinds.shape[1], 3)
    return picture[:height, :width].astype(np.uint8)


@pytest.mark.parametrize(("right", "below"), [(7, 0), (-7, 0), (0, 7), (0, -7), (7, -7), (12, 3)])
def test_the_jump_is_found(right: int, below: int) -> None:
    large = tiles(96, 96)
    before, now = large[16:80, 16:80], large[16 + below : 80 + below, 16 + right : 80 + right]
    (flow,) = jump_flow(np.stack([before, now]))
    assert flow.shape == (16, 16, 2)
    assert np.mean((flow == (right, below)).all(-1)) > 0.7  # all but what comes into view
    far = optical_flow(np.stack([before, now]))[0] - (right, below)
    assert np.mean(np.abs(far).max(-1) < 1) < 0.5  # which is why there is this one


def test_what_stays_on_the_screen_stays() -> None:
    large = tiles(64, 80)
    before, now = large[:, :64].copy(), large[:, 7:71].copy()
    panel = tiles(16, 64, seed=1)
    before[48:], now[48:] = panel, panel
    (flow,) = jump_flow(np.stack([before, now]))
    assert np.mean((flow[:11, :13] == (7, 0)).all(-1)) > 0.9
    assert (flow[13:] == 0).all()


def test_still_pictures_have_no_flow_and_few_frames_none() -> None:
    picture = tiles(64, 64)
    noisy = np.clip(picture + np.random.default_rng(0).normal(0, 4, picture.shape), 0, 255).astype(np.uint8)
    assert (jump_flow(np.stack([picture, noisy, picture])) == 0).all()
    assert jump_flow(picture[None]).shape == (0, 16, 16, 2)


def test_it_explains_the_moves_of_crafter_better_than_optical_flow() -> None:
    env = gym.make("worldsim/CrafterSim-v0").unwrapped
    frame, info = env.reset(seed=3)
    explorer = make_policy("auto", env, np.random.default_rng(0))
    explorer.reset(frame, info)
    frames, places = [frame], [info["player_pos"]]
    for _ in range(80):
        frame, _, _, _, info = env.step(explorer.act(frame, info))
        frames.append(frame)
        places.append(info["player_pos"])
    moves = np.diff(places, axis=0)
    right = {
        name: np.mean((np.abs(find(np.stack(frames))[:, :11] - 7 * moves[:, None, None]) < 1).all(-1)[moves.any(1)])
        for name, find in (("jump", jump_flow), ("optical", optical_flow))
    }
    assert right["jump"] > 0.35  # of grass alone one cannot tell
    assert right["jump"] > 1.5 * right["optical"]

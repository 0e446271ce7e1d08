"""Optical flow: what it says of pictures that were moved by a known amount."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.model.optical_flow import optical_flow
from worldsim.model.sampler import flow_between


def picture(height: int, width: int) -> np.ndarray:
    """Blobs of colour, uint8 (height, width, 3), smooth enough to be found again."""
    rough = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(("right", "below"), [(0, 0), (3, 0), (0, -2), (-5, 4)])
def test_it_says_where_each_point_was(right: int, below: int) -> None:
    wide = picture(96, 160)
    before = wide[8:88, 16:144]
    now = wide[8 + below : 88 + below, 16 + right : 144 + right]
    flow = optical_flow(np.stack([before, now, now]))
    assert flow.shape == (2, 20, 32, 2)
    assert flow.dtype == np.float32
    inside = flow[0, 4:-4, 4:-4]
    np.testing.assert_allclose(np.median(inside, (0, 1)), (right, below), atol=0.2)
    assert np.abs(flow[1]).max() < 0.2, "nothing moved"


@pytest.mark.parametrize("radius", [4.0, 7.0])
def test_small_things_move_as_far_as_they_do(radius: float) -> None:
    """A flow that lags behind teaches a World that things slow down."""
    rows, columns = np.mgrid[:64, :64]
    middles = 24.0 + 1.5 * np.arange(8)
    covered = np.stack([np.clip(radius + 0.5 - np.hypot(rows - 32, columns - x), 0, 1) for x in middles])
    frames = (40 + 180 * covered[..., None] * np.array([1, 0.9, 0.4])).round().astype(np.uint8)
    flow = optical_flow(frames)
    at = [flow[t, 8, int(x) // 4, 0] for t, x in enumerate(middles[1:])]
    np.testing.assert_allclose(np.mean(at), -1.5, rtol=0.04)


def test_one_frame_alone_has_none() -> None:
    assert optical_flow(picture(32, 48)[None]).shape == (0, 8, 12, 2)


def test_without_opencv_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match="pip install opencv-python-headless"):
        optical_flow(np.zeros((2, 32, 32, 3), np.uint8))


@pytest.mark.parametrize("threads", [1, 3])
def test_lanes_are_looked_at_together_and_stay_apart(threads: int) -> None:
    config = DynamicsConfig(latent_channels=4, action_dim=1, policy_logits=1, sees_motion=True)
    wide = picture(32, 64)
    frames = torch.from_numpy(np.stack([wide[:, 8 + shift : 56 + shift] for shift in (-2, 0, 1, 3)]))
    before = torch.from_numpy(wide[:, 8:56]).expand_as(frames)
    used = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        flow = flow_between(Dynamics(config), before, frames)
    finally:
        torch.set_num_threads(used)
    for lane, pair in enumerate(torch.stack([before, frames], 1).numpy()):
        assert np.array_equal(flow[lane].numpy(), optical_flow(pair)[0])

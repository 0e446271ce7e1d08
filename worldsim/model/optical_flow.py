"""Optical flow between frames: where each part of a frame was in the one before.

A World learns to move the frame before (`worldsim.model.motion`). Told by the error of the outcome alone, it learns
that slowly, as a wrong flow only sees the few pixels around; told where things came from, in minutes.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from worldsim.model import PATCH
from worldsim.model.motion import POINTS


def optical_flow(frames: np.ndarray) -> np.ndarray:
    """The flow of each of uint8 frames (T, H, W, 3) but the first, float32 (T - 1, H / 4, W / 4, 2), in pixels.

    Entry t says how far to the right and below of each point of frame t + 1 lies what is seen there in frame t. Dense
    inverse search (arXiv 1603.03590), by OpenCV; about 4 ms a frame of 80x128 on a core. ImportError that says what to
    install.
    """
    try:
        import cv2  # here, because machines that train a World without it need not have it
    except ImportError:
        raise ImportError(
            "a World that sees motion, and one that is taught it, needs OpenCV: pip install opencv-python-headless"
        ) from None
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    # The preset stops at half of the resolution and smooths what is small: balls that move by 1.4 pixels a frame were
    # seen to move by 0.87 of that, and Worlds that learned from it let things slow down (recipes/NOTES.md).
    search.setFinestScale(0)
    search.setVariationalRefinementAlpha(2.0)
    # These pay for a part of that, and change nothing to speak of.
    search.setVariationalRefinementIterations(3)
    search.setPatchStride(4)
    search.setGradientDescentIterations(12)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    side = PATCH // POINTS
    height, width = (length // side for length in frames.shape[1:3])
    flows = np.zeros((max(len(frames) - 1, 0), height, width, 2), np.float32)
    for found, (before, now) in zip(flows, pairwise(grey), strict=True):
        flow = search.calc(now, before, None)  # type: ignore[call-overload]  # None: begin with no motion
        found[:] = flow.reshape(height, side, width, side, 2).mean((1, 3))
    return flows

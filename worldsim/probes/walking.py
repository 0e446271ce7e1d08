"""Is there still a world after a long walk? Detail and motion of the predicted frames beside those of the true ones."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from einops import rearrange

from worldsim.model import PATCH

STEPS = 200
WINDOW = 50
LIKE_TRUTH = (0.5, 2.0)  # detail within these shares of that of the truth is that of a world


def walking(frames: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Compare a walk, uint8 (lanes, T + 1, H, W, 3) from the last frame of the context on, with the true one.

    Returns by windows of WINDOW steps:
    detail: gradient energy divided by that of the truth, the median of the lanes (near 0: mush; far above 1: noise);
    alive: the share of lanes where that lies within LIKE_TRUTH;
    gridless: detail that differs from token to token, because a World that fails may draw one pattern in all;
    motion: mean absolute change from frame to frame divided by that of the truth, all lanes together (near 0: frozen);
    and the raw numbers of both, (lanes, T).
    """
    windows = [slice(first, first + WINDOW) for first in range(0, truth.shape[1] - 1, WINDOW)]
    energies = gradient_energy(frames), gradient_energy(truth)
    gridless = gradient_energy(frames, gridless=True), gradient_energy(truth, gridless=True)
    changes = change(frames), change(truth)
    # A lane each, because one full of noise would make up for many that are blank.
    details, apart = (
        np.stack([_share(*(energy[:, window].sum(1) for energy in pair)) for window in windows])
        for pair in (energies, gridless)
    )
    return {
        "windows": [f"{window.start + 1}-{window.stop}" for window in windows],
        "detail": np.median(details, 1).tolist(),
        "gridless": np.median(apart, 1).tolist(),
        "alive": ((details >= LIKE_TRUTH[0]) & (details <= LIKE_TRUTH[1])).mean(1).tolist(),
        # All together, because the truth may stand still in a lane.
        "motion": [float(_share(*(moved[:, window].sum() for moved in changes))) for window in windows],
        "detail_world": energies[0].tolist(),
        "detail_truth": energies[1].tolist(),
        "motion_world": changes[0].tolist(),
        "motion_truth": changes[1].tolist(),
    }


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1e-12)


def luma(frames: np.ndarray) -> np.ndarray:
    """Brightness float32 (...) in [0, 1] of frames uint8 (..., 3)."""
    return frames.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255


def colours(frames: np.ndarray) -> np.ndarray:
    """Share of the pixels in each of 64 colours, four levels a channel: (n, 64) of uint8 (n, ..., 3)."""
    bins = (frames // 64).astype(np.int64) @ np.array([16, 4, 1])
    return np.stack([np.bincount(one.ravel(), minlength=64) / one.size for one in bins])


def gradient_energy(frames: np.ndarray, *, gridless: bool = False) -> np.ndarray:
    """Mean squared difference of brightness between neighbouring pixels, (lanes, T): the first frame is left out.

    gridless: without the differences that are the same in all tokens.
    """
    return np.stack([[_energy(luma(frame), gridless) for frame in lane[1:]] for lane in frames])


def _energy(grey: np.ndarray, gridless: bool = False) -> float:
    total = 0.0
    for axis in (0, 1):
        differences = np.diff(grey, axis=axis)
        total += float((differences**2).mean())
        if gridless:
            whole = np.insert(differences, 0, 0, axis)  # each in the token of its second pixel
            total -= float((rearrange(whole, "(h p) (w q) -> (h w) p q", p=PATCH, q=PATCH).mean(0) ** 2).mean())
    return total


def change(frames: np.ndarray) -> np.ndarray:
    """Mean absolute difference of brightness between each of frames (lanes, T + 1, H, W, 3) and the one before."""
    return np.stack([[float(np.abs(luma(b) - luma(a)).mean()) for a, b in pairwise(x)] for x in frames])

"""The flow of pictures that jump: seen from above, step by step, a whole map moves by a tile at once.

Optical flow follows what moves a little. Over a jump by as much as a texture is long it finds whatever looks alike,
here this and there that, which no network can foresee. Here every point has jumped by one shift, or stayed.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F

from worldsim.model import PATCH
from worldsim.model.motion import POINTS

_FARTHEST = 12  # pixels along an axis
_TRIED = 4  # shifts; what stays on the screen and textures that repeat mislead the first
_NEAR = 1  # shifts by so many pixels or fewer are no jump
_AROUND = 9  # pixels, the side of the part of the picture that decides for its middle
_WRONG = 150.0  # a pixel's error in grey levels, three colours together, counts no more than this
_GAIN = 1.0  # by so much on average over the picture a jump must be better than none
_TIE = 1.0  # a jump that is worse by no more than this is believed: on a plain all shifts are alike


def jump_flow(frames: np.ndarray) -> np.ndarray:
    """Like `worldsim.model.optical_flow.optical_flow`: of each of uint8 frames (T, H, W, 3) but the first, float32.

    At each point it is the shift that explains the picture best, by up to 12 pixels to a side, or 0 where staying
    explains more. About 3 ms a frame of 64x64 on a core.
    """
    side = PATCH // POINTS
    height, width = frames.shape[1:3]
    flows = np.zeros((max(len(frames) - 1, 0), height // side, width // side, 2), np.float32)
    for found, (before, now) in zip(flows, pairwise(frames.astype(np.float32)), strict=True):
        stayed = _errors(before, now, (0, 0))
        tried = [(shift, _errors(before, now, shift)) for shift in _likeliest(before.mean(-1), now.mean(-1))]
        gains = [np.maximum(stayed - jumped, 0).mean() for _, jumped in tried]
        shift, jumped = tried[int(np.argmax(gains))]
        if max(gains) > _GAIN:
            worse = torch.from_numpy(jumped - stayed)[None]
            around = F.avg_pool2d(worse, _AROUND, 1, _AROUND // 2, count_include_pad=False)[0].numpy()
            believed = around < _TIE
            share = believed.reshape(height // side, side, width // side, side).mean((1, 3))
            found[:] = (share > 0.5)[..., None] * np.array(shift, np.float32)
    return flows


def _errors(before: np.ndarray, now: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
    """How far pixels are from those that lay `shift` to the right and below, float32 (H, W); most beyond the edge."""
    right, below = shift
    height, width = now.shape[:2]
    errors = np.full((height, width), _WRONG, np.float32)
    rows, columns = slice(max(-below, 0), height - max(below, 0)), slice(max(-right, 0), width - max(right, 0))
    there = before[max(below, 0) : height + min(below, 0), max(right, 0) : width + min(right, 0)]
    errors[rows, columns] = np.minimum(np.abs(now[rows, columns] - there).sum(-1), _WRONG)
    return errors


@lru_cache
def _overlaps(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """For `_likeliest`: the spectrum of ones, and how many pixels two pictures share at each shift."""
    ones = np.fft.rfft2(np.ones((height, width)), (height + _FARTHEST, width + _FARTHEST))
    return ones, _shifts(ones * ones.conj(), height, width)


def _shifts(spectrum: np.ndarray, height: int, width: int) -> np.ndarray:
    """The values at shifts from -_FARTHEST to _FARTHEST, rows first."""
    values = np.fft.irfft2(spectrum, (height + _FARTHEST, width + _FARTHEST))
    return np.roll(values, (_FARTHEST, _FARTHEST), (0, 1))[: 2 * _FARTHEST + 1, : 2 * _FARTHEST + 1]


def _likeliest(before: np.ndarray, now: np.ndarray) -> list[tuple[int, int]]:
    """The jumps, to the right and below, at which grey pictures (H, W) differ least where they overlap."""
    height, width = now.shape
    size = height + _FARTHEST, width + _FARTHEST
    ones, count = _overlaps(height, width)
    one, other, squares, squares_before = (np.fft.rfft2(x, size) for x in (now, before, now**2, before**2))
    differs = squares.conj() * ones + ones.conj() * squares_before - 2 * one.conj() * other
    squared = _shifts(differs, height, width) / count
    middle = slice(_FARTHEST - _NEAR, _FARTHEST + _NEAR + 1)
    squared[middle, middle] = np.inf
    found = []
    for _ in range(_TRIED):
        row, column = (int(place) for place in np.unravel_index(squared.argmin(), squared.shape))
        found.append((column - _FARTHEST, row - _FARTHEST))
        squared[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = np.inf
    return found

"""By how many degrees the view turned between two frames of the block world, read off the pictures alone.

A camera that only turns maps one picture onto the next by a homography that the angle decides, whatever there is to be
seen. The angle whose homography aligns the two pictures best is the answer: a coarse search, a fine one, a parabola.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from numba import njit
from torch import Tensor

from worldsim.envs.blocks.render import FOV_DEGREES

Axis = Literal["yaw", "pitch"]

REACH = 14.0  # degrees a tick that the search covers to either side; the camera's limit is 10
_FINE = 0.25
# Differences count up to here (white is 1): what moves by itself or comes into view decides nothing.
_CLIP = np.float32(0.12)
_GREY = np.array([0.299, 0.587, 0.114], np.float32) / 255
_SLOPE = math.tan(math.radians(FOV_DEGREES / 2))  # of the ray through the upper edge of the picture


def measured_turns(before: np.ndarray, after: np.ndarray, pitch: np.ndarray, axis: Axis) -> np.ndarray:
    """Degrees float64 (pairs,) that the view turned from `before` to `after`, uint8 (pairs, H, W, 3), within REACH.

    pitch: degrees (pairs,) by which the view in `before` looks down. axis: "yaw" (positive: to the right) or "pitch"
    (positive: down); the other angle is taken to be the same in both.
    """
    first, second = (frames @ _GREY for frames in (before, after))
    tilt = torch.from_numpy(np.asarray(pitch, np.float32))
    scene = scene_mask(before.shape[1], before.shape[2]).numpy()

    def misfits(candidates: Tensor, stride: int = 1) -> Tensor:
        """The errors (count, pairs) of candidate angles (count, pairs)."""
        turns = torch.stack([_rotation(tilt, angles, axis) for angles in candidates])
        return torch.from_numpy(_misfits(first, second, scene, turns.numpy(), stride))

    coarse = torch.arange(-REACH, REACH + 1)[:, None].expand(-1, len(first))
    place = misfits(coarse, 2).argmin(0)  # a quarter of the pixels tells whole degrees apart
    centre = coarse.gather(0, place[None])[0]
    fine = centre + torch.arange(-5, 6)[:, None] * _FINE
    errors = misfits(fine)
    place = errors.argmin(0).clamp(1, len(fine) - 2)
    left, middle, right = (errors.gather(0, (place + shift)[None])[0] for shift in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = torch.where(bend > 1e-9, 0.5 * (left - right) / bend.clamp_min(1e-9), 0.0).clamp(-1, 1)
    return (fine.gather(0, place[None])[0] + shift * _FINE).double().numpy()


def scene_mask(height: int, width: int) -> Tensor:
    """1 where a pixel shows the world, 0 at the crosshair and the block in hand; float32 (H, W)."""
    mask = torch.ones(height, width)
    reach = max(1, height // 64) + 1  # the crosshair's size, and a pixel of blur around it
    mask[height // 2 - reach : height // 2 + reach, width // 2 - reach : width // 2 + reach] = 0
    mask[-round(0.3 * height) :, -round(0.38 * height) :] = 0
    return mask


@njit(cache=True, fastmath=True)
def _misfits(first: np.ndarray, second: np.ndarray, scene: np.ndarray, turns: np.ndarray, stride: int) -> np.ndarray:
    """Mean clipped difference float32 (count, pairs) between `second` and `first` as it would look after a turn.

    Pictures in grey float32 (pairs, H, W), the mask of the scene (H, W), and `turns` (count, pairs, 3, 3), see
    `_rotation`, by every `stride`th pixel of rows and columns. The mask travels with the picture, so that the hand is
    left out where it stood as well as where it stands.
    """
    count, pairs = turns.shape[:2]
    height, width = scene.shape
    errors = np.zeros((count, pairs), np.float32)
    edge = np.zeros((height + 2, width + 2), np.float32)  # nothing is known beyond the picture
    known = np.zeros_like(edge)
    known[1:-1, 1:-1] = scene
    unit = _SLOPE / height * 2  # of rays, from pixel to pixel
    for pair in range(pairs):
        edge[1:-1, 1:-1] = first[pair]
        for number in range(count):
            turn = turns[number, pair]
            total, weight = np.float32(0), 0
            for row in range(0, height, stride):
                up = (0.5 * (height - 1) - row) * unit
                for column in range(0, width, stride):
                    if scene[row, column] == 0:
                        continue
                    right = (column - 0.5 * (width - 1)) * unit
                    ahead = right * turn[0, 2] + up * turn[1, 2] + turn[2, 2]
                    x = (right * turn[0, 0] + up * turn[1, 0] + turn[2, 0]) / ahead / unit + 0.5 * (width + 1)
                    y = 0.5 * (height + 1) - (right * turn[0, 1] + up * turn[1, 1] + turn[2, 1]) / ahead / unit
                    if not (0 <= x < width + 1 and 0 <= y < height + 1):
                        continue
                    j, i = int(x), int(y)
                    a, b = np.float32(x - j), np.float32(y - i)
                    if _between(known, i, j, a, b) > 0.99:
                        difference = abs(_between(edge, i, j, a, b) - second[pair, row, column])
                        total += min(difference, _CLIP)
                        weight += 1
            errors[number, pair] = total / np.float32(max(weight, 1))
    return errors


@njit(inline="always")
def _between(picture: np.ndarray, row: int, column: int, right: float, down: float) -> float:
    """The value of a picture between four pixels."""
    upper = picture[row, column] * (1 - right) + picture[row, column + 1] * right
    lower = picture[row + 1, column] * (1 - right) + picture[row + 1, column + 1] * right
    return upper * (1 - down) + lower * down


def _rotation(pitch: Tensor, angle: Tensor, axis: Axis) -> Tensor:
    """Matrices (pairs, 3, 3) that take a ray (right, up, ahead) of the turned camera to one of the camera before."""
    level = torch.zeros_like(pitch)
    turned = _axes(angle, pitch) if axis == "yaw" else _axes(level, pitch + angle)
    return turned @ _axes(level, pitch).transpose(1, 2)


def _axes(yaw: Tensor, pitch: Tensor) -> Tensor:
    """Rows: right, up and ahead of a camera, as the renderer has them; degrees (pairs,) to (pairs, 3, 3)."""
    a, b = yaw.deg2rad(), pitch.deg2rad()
    zero = torch.zeros_like(a)
    rows = (
        (-a.cos(), zero, -a.sin()),
        (-a.sin() * b.sin(), b.cos(), a.cos() * b.sin()),
        (-a.sin() * b.cos(), -b.sin(), a.cos() * b.cos()),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], 1)

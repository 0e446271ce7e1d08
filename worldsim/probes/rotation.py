"""By how many degrees the view turned between two frames of the block world, read off the pictures alone.

A camera that only turns maps one picture onto the next by a homography that the angle decides, whatever there is to be
seen. The angle whose homography aligns the two pictures best is the answer: a coarse search, a fine one, a parabola.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Axis = Literal["yaw", "pitch"]

REACH = 14.0  # degrees a tick that the search covers to either side; the camera's limit is 10
_FINE = 0.25
_CLIP = 0.12  # differences count up to here (white is 1): what moves by itself or comes into view decides nothing
_CHUNK = 96  # pairs at a time, for the memory


@torch.inference_mode()
def measured_turns(before: np.ndarray, after: np.ndarray, pitch: np.ndarray, axis: Axis) -> np.ndarray:
    """Degrees float64 (pairs,) that the view turned from `before` to `after`, uint8 (pairs, H, W, 3), within REACH.

    pitch: degrees (pairs,) by which the view in `before` looks down. axis: "yaw" (positive: to the right) or "pitch"
    (positive: down); the other angle is taken to be the same in both.
    """
    parts = [slice(first, first + _CHUNK) for first in range(0, len(before), _CHUNK)]
    return np.concatenate([_search(before[part], after[part], pitch[part], axis) for part in parts])


def _search(before: np.ndarray, after: np.ndarray, pitch: np.ndarray, axis: Axis) -> np.ndarray:
    grey = torch.tensor([0.299, 0.587, 0.114]) / 255
    first, second = ((torch.from_numpy(frames).float() @ grey)[:, None] for frames in (before, after))
    tilt = torch.from_numpy(np.asarray(pitch, np.float32))
    scene = scene_mask(before.shape[1], before.shape[2])
    # The mask travels with the picture, so that the hand is left out where it stood as well as where it stands.
    first = torch.cat([first, scene.expand(len(first), 1, -1, -1)], 1)

    def best(candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Of the candidate angles (count, pairs): the errors (count, pairs) and the places of the smallest (pairs,)."""
        errors = torch.stack([_misfit(first, second, scene, tilt, angles, axis) for angles in candidates])
        return errors, errors.argmin(0)

    coarse = torch.arange(-REACH, REACH + 1)[:, None].expand(-1, len(first))
    _, place = best(coarse)
    centre = coarse.gather(0, place[None])[0]
    fine = centre + torch.arange(-5, 6)[:, None] * _FINE
    errors, place = best(fine)
    place = place.clamp(1, len(fine) - 2)
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


def _misfit(first: Tensor, second: Tensor, scene: Tensor, pitch: Tensor, angle: Tensor, axis: Axis) -> Tensor:
    """Mean clipped difference (pairs,) between `second` and `first` as it would look after a turn by angle (pairs,)."""
    from worldsim.envs.blocks.render import FOV_DEGREES

    height, width = second.shape[2:]
    slope = math.tan(math.radians(FOV_DEGREES / 2))  # of the ray through the upper edge of the picture
    up = (1 - (2 * torch.arange(height) + 1) / height) * slope
    right = ((2 * torch.arange(width) + 1) / width - 1) * slope * width / height
    rays = torch.stack(torch.broadcast_tensors(right, up[:, None], torch.ones(())), -1)
    turned = rays.flatten(0, 1) @ _rotation(pitch, angle, axis)  # in the coordinates of the camera that saw `first`
    x, y = turned[..., 0] / turned[..., 2], turned[..., 1] / turned[..., 2]
    grid = torch.stack([x / (slope * width / height), -y / slope], -1).unflatten(1, (height, width))
    moved = F.grid_sample(first, grid, align_corners=False)
    weight = scene * (moved[:, 1] > 0.99)
    difference = (moved[:, 0] - second[:, 0]).abs().clamp_max(_CLIP)
    return (difference * weight).sum((1, 2)) / weight.sum((1, 2)).clamp_min(1)


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

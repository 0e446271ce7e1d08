"""Reading balls off frames of the simulators of balls: where each one is, by its colour.

Nothing is trained. What a reading of the simulator's own frames is off by is the floor of every probe that uses it.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from worldsim.envs.balls import BORDER, COLOURS
from worldsim.envs.balls_goal import MARK
from worldsim.envs.balls_lab import GROUNDS, SCREEN

_LEAST = 0.25  # of the area that the smallest ball shows: less of a colour is no ball
_SMALLEST = 0.05  # radius in box sides
_KNOWN = np.array([*COLOURS, MARK, BORDER, SCREEN, *GROUNDS.values()], np.float32)  # all that there are


def positions(frames: np.ndarray, colours: Sequence[int]) -> np.ndarray:
    """Centres in box sides, (right, up), of the balls of these colours (indices into COLOURS): float (..., balls, 2).

    frames: uint8 (..., H, W, 3). nan where no ball of the colour is seen. A ball is the largest patch of pixels that
    are nearer to its colour than half the way to any other colour there is.
    """
    flat = frames.reshape(-1, *frames.shape[-3:])
    balls = [COLOURS[colour] for colour in colours]
    found = np.stack([[centre(frame, ball) for ball in balls] for frame in flat])
    return found.reshape(*frames.shape[:-3], len(colours), 2)


def centre(frame: np.ndarray, colour: np.ndarray) -> tuple[float, float]:
    """The same of any one colour, RGB (3,), in one frame uint8 (H, W, 3): (right, up) in box sides, or nan."""
    height, width = frame.shape[:2]
    side = min(height, width)
    weight = _weights(frame, colour)
    count, patches, facts, _ = cv2.connectedComponentsWithStats((weight > 0.05).astype(np.uint8))
    if count < 2:
        return np.nan, np.nan
    largest = 1 + int(facts[1:, cv2.CC_STAT_AREA].argmax())
    weight = np.where(patches == largest, weight, 0)
    total = float(weight.sum())
    if total < _LEAST * np.pi * (_SMALLEST * side) ** 2:
        return np.nan, np.nan
    column = float((weight.sum(0) * (np.arange(width) + 0.5)).sum()) / total
    row = float((weight.sum(1) * (np.arange(height) + 0.5)).sum()) / total
    return (column - (width - side) / 2) / side, 1 - (row - (height - side) / 2) / side


def _weights(frame: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """How much of the colour each pixel has, (H, W): 1 is all, 0 half the way to another colour and beyond."""
    apart = np.linalg.norm(_KNOWN - colour, axis=1)
    reach = float(apart[apart > 0].min()) / 2
    away = np.linalg.norm(frame.astype(np.float32) - colour, axis=-1)
    return np.clip(1 - away / reach, 0, 1)


def velocity(path: np.ndarray, fps: int) -> np.ndarray:
    """Velocity (..., 2) in box sides a second of a path (..., T, 2), by the straight line that fits it best.

    nan unless the ball is seen in at least half of the frames.
    """
    return _fit(path, fps, 1)[..., 0, :]


def acceleration(path: np.ndarray, fps: int) -> np.ndarray:
    """Acceleration (..., 2) in box sides a second squared, by the parabola that fits a path (..., T, 2) best."""
    return 2 * _fit(path, fps, 2)[..., 0, :]


def _fit(path: np.ndarray, fps: int, degree: int) -> np.ndarray:
    """Coefficients, the highest power of time first, (..., degree + 1, 2)."""
    flat = path.reshape(-1, *path.shape[-2:])
    time = np.arange(path.shape[-2]) / fps
    fits = np.full((len(flat), degree + 1, 2), np.nan)
    for row, points in enumerate(flat):
        known = ~np.isnan(points[:, 0])
        if known.sum() >= max(degree + 1, len(points) / 2):
            fits[row] = np.polyfit(time[known], points[known], degree)
    return fits.reshape(*path.shape[:-2], degree + 1, 2)

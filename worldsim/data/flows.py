"""The optical flow of a recording, found where it is asked for, and once: training draws a frame many times."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from worldsim.model import PATCH
from worldsim.model.motion import POINTS
from worldsim.model.optical_flow import optical_flow


class Flows:
    """Of frames uint8 (N, H, W, 3), row by row those of a recording.

    Kept in memory, H * W / 4 bytes for each frame that was asked for: 2.5 KB at 80x128.
    """

    def __init__(self, frames: np.ndarray) -> None:
        count, height, width = frames.shape[:3]
        self._frames = frames
        points = (height * POINTS // PATCH, width * POINTS // PATCH)
        # What nothing was written to takes no memory. Half precision is right to some thousandths of a pixel.
        self._flows = np.zeros((count, *points, 2), np.float16)
        self._found = np.zeros(count, bool)

    def of(self, rows: np.ndarray) -> Tensor:
        """How frames in rows (batch, time) came about, float32 (batch, time, H / 4, W / 4, 2), see `optical_flow`.

        Each row is the one after the row before it in time, or the same again, and then nothing has moved; 0 for the
        first, of which the frame before is not asked for. ValueError for other rows.
        """
        steps = np.diff(rows, axis=1, prepend=rows[:, :1])
        if not np.isin(steps, (0, 1)).all():
            raise ValueError("optical flow is kept from each row to the next: ask for rows that follow each other")
        moved = steps == 1
        wanted = np.unique(rows[moved])
        for row in wanted[~self._found[wanted]]:
            self._flows[row] = optical_flow(self._frames[row - 1 : row + 1])[0]
            self._found[row] = True
        return torch.from_numpy(self._flows[rows].astype(np.float32) * moved[..., None, None, None])

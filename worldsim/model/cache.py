"""The cache of a stepped World: what its temporal attention remembers of the frames before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Cache:
    """Keys and values of remembered frames, a ring in which frame number p of a lane stands in slot p % length."""

    keys: list[Tensor]  # for each temporal layer (batch, tokens, heads, length, head_dim)
    values: list[Tensor]
    count: Tensor  # int64 (batch,): how many frames a lane has remembered so far

    @property
    def length(self) -> int:
        return self.keys[0].shape[3]

    def map(self, function: Callable[[Tensor], Tensor]) -> Cache:
        """A cache with `function` applied to every tensor."""
        return Cache([function(k) for k in self.keys], [function(v) for v in self.values], function(self.count))

    def visible(self, time: int) -> Tensor:
        """Which slots each of `time` new frames sees, bool (batch, time, length): the `length` frames before it."""
        slots = torch.arange(self.length, device=self.count.device)
        newest = self.count[:, None] - 1
        frame = newest - (newest - slots) % self.length  # the number of the frame that stands in each slot
        new = self.count[:, None] + torch.arange(time, device=self.count.device)
        return (frame[:, None] >= 0) & (new[..., None] - frame[:, None] <= self.length)

    def remember(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Write frames (batch, tokens, heads, frames, head_dim) of a layer to the slots that follow a lane's last one.

        `count` stays: it moves on when all layers have written.
        """
        lanes = torch.arange(len(self.count), device=self.count.device)
        for frame in range(keys.shape[3]):
            slot = (self.count + frame) % self.length
            self.keys[layer][lanes, :, :, slot] = keys[:, :, :, frame]
            self.values[layer][lanes, :, :, slot] = values[:, :, :, frame]

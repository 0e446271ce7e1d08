"""Tiles: parts of a picture, of the size that a network has learned from, which overlap.

What lies in several of them is the mean of what is said of it in each (MultiDiffusion, arXiv 2302.08113), in which the
middle of a tile counts more than its edge: so no seam is seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from worldsim.model import PATCH
from worldsim.model.tokenizer import Tokenizer


def tiles(size: tuple[int, int], tile: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the tiles, of `tile` = (height, width) or what there is, that cover a picture of that size.

    Neighbours share about a quarter of a side, rounded down, and one token at least.
    """
    rows, columns = (list(_along(length, side)) for length, side in zip(size, tile, strict=True))
    return ((row, column) for row in rows for column in columns)


def _along(length: int, side: int) -> Iterator[slice]:
    last = max(length - side, 0)
    gaps = math.ceil(last / max(side - max(side // 4, 1), 1))
    for number in range(gaps + 1):
        first = round(number * last / max(gaps, 1))
        yield slice(first, min(first + side, length))


def from_the_edge(length: int) -> Tensor:
    """1 at both ends of so many, one more at each step inwards: how much each counts, float32 (length,)."""
    steps = torch.arange(1.0, length + 1)
    return torch.minimum(steps, steps.flip(0))


def decode_in_tiles(tokenizer: Tokenizer, latents: Tensor, tile: tuple[int, int]) -> Tensor:
    """Like `Tokenizer.decode_uint8`, of latents (batch, h, w, C) that are drawn in tiles of so many tokens."""
    size = latents.shape[1], latents.shape[2]
    if size[0] <= tile[0] and size[1] <= tile[1]:
        return tokenizer.decode_uint8(latents)
    frames = len(latents) * tokenizer.config.stride
    total = torch.zeros(frames, PATCH * size[0], PATCH * size[1], 3, device=latents.device)
    weight = torch.zeros(*total.shape[1:3], 1, device=latents.device)
    for row, column in tiles(size, tile):
        drawn = tokenizer.decode(latents[:, row, column]).float()
        count = (from_the_edge(drawn.shape[1])[:, None, None] * from_the_edge(drawn.shape[2])[:, None]).to(drawn)
        here = tuple(slice(PATCH * part.start, PATCH * part.stop) for part in (row, column))
        total[:, *here] += count * drawn
        weight[here] += count
    return total.div_(weight).clamp_(0, 1).mul_(255).round_().to(torch.uint8)

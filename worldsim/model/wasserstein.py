"""How alike two pictures are as heaps of small patches, more or less wherever in them those lie.

No squared error draws what cannot be foreseen: where a leaf lies decides, and half a leaf everywhere is the best guess.
That there are leaves can be foreseen. So pictures are compared by the sliced Wasserstein distance between the patches
of their Laplacian pyramids: a measure of generators in arXiv 1710.10196, a loss for textures in 2006.07229, for whole
pictures in GPDM, 2203.11862. Unlike a discriminator it learns nothing, and cannot be outwitted for long: a blur lacks
the edges, a pattern has too much of what is there once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, reduce, repeat
from torch import Tensor

_SIDE = 8  # of a patch, in pixels; they overlap by half
_LEVELS = 3  # of the pyramid: patches of 8, 16 and 32 pixels
_WHERE = 1.0  # how far a border lies from the middle, in deviations of what is there; with more, means are asked for
_DIRECTIONS = 64  # drawn anew at every call


def patch_distance(made: Tensor, true: Tensor) -> Tensor:
    """The squared distance of each of `made` from its one of `true`, pictures (frames, H, W, c): float32 (frames,).

    Each level of the pyramid counts in units of its variance in all true pictures, whose values go from about -1 to 1,
    or 0 to 1; 0 is alike. Directions are drawn anew at each call. Only `made` is taught. H, W are multiples of 16.
    """
    pairs = torch.cat([made, true])
    bands: list[Tensor] = []
    while len(bands) + 1 < _LEVELS and min(pairs.shape[1:3]) >= 2 * _SIDE:
        coarse = reduce(pairs, "f (h p) (w q) c -> f h w c", "mean", p=2, q=2)
        bands.append(pairs - repeat(coarse, "f h w c -> f (h p) (w q) c", p=2, q=2))
        pairs = coarse
    return torch.stack([_sliced(*band.chunk(2)) for band in (*bands, pairs)]).sum(0)


def _sliced(made: Tensor, true: Tensor) -> Tensor:
    """The squared distance of the patches of each of two times so many pictures, averaged over random directions."""
    spread = true.detach().std().clamp_min(0.01)
    patches = _patches(torch.cat([made, true]) / spread)
    directions = F.normalize(torch.randn(_DIRECTIONS, patches.shape[-1], device=patches.device), dim=1)
    # Where it lies is two more numbers of a patch: a sky belongs above, and edges not all into one corner.
    down, across = (torch.linspace(-_WHERE, _WHERE, size, device=patches.device) for size in patches.shape[1:3])
    slope = torch.randn(2, _DIRECTIONS, 1, 1, device=patches.device)
    slices = rearrange(F.linear(patches, directions).float(), "f y x d -> f d y x")
    slices = slices + slope[0] * down[:, None] + slope[1] * across
    ours, theirs = slices.flatten(2).sort(-1).values.chunk(2)
    return (ours - theirs.detach()).square().mean((1, 2))


def _patches(pictures: Tensor) -> Tensor:
    """The overlapping patches of pictures (frames, h, w, c): (frames, rows, columns, _SIDE * _SIDE * c)."""
    blocks = rearrange(pictures, "f (y p) (x q) c -> f y x p q c", p=_SIDE // 2, q=_SIDE // 2)
    rows = torch.cat([blocks[:, :-1], blocks[:, 1:]], 3)
    return torch.cat([rows[:, :, :-1], rows[:, :, 1:]], 4).flatten(3)

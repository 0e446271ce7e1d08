"""The energy score: it asks for samples of what may be, where a squared error asks for the mean of it.

A network that hears noise is shown the same twice. Each of the two predictions is to be near the truth, and the two are
to be as far from each other as from it. No distribution has a better expected score than the true one (a proper score,
Gneiting and Raftery 2007), so a network becomes a sampler of one step (arXiv 2502.02483, for weather 2506.10772). The
two need not have the same past: if each has gone on alone from one common beginning, what is scored is where the two
have come to, and neither is asked to go on to a mean, however far that is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

_SIZES = (1, 2, 4)  # of the windows of tokens whose means are scored, and the mean of the whole frame
_DIRECTIONS = 96  # drawn anew at every call
# Just below 1, the proper score: with two predictions one may be anything if the other makes up for it ("almost fair",
# arXiv 2412.15832, alpha 0.95). Of a Gaussian it asks for 0.95 of the deviation.
_FAIR = 0.975


def energy_score(made: Tensor, true: Tensor) -> Tensor:
    """The score of each frame, float32 (batch / 2, time): 0 for a certain and right prediction, less is better.

    made, true (batch, time, h, w, C), float: clips 2 i and 2 i + 1 are two predictions of one and the same, which
    `true` has twice. Scored are the tokens and means of neighbouring ones, for what is right of each alone may not fit
    together; each along random directions among its channels.
    """
    directions = F.normalize(torch.randn(_DIRECTIONS, made.shape[-1], device=made.device), dim=1)

    def pooled(latents: Tensor, size: tuple[int, int]) -> Tensor:
        planes = rearrange(latents, "b t h w c -> (b t) c h w")
        planes = F.avg_pool2d(planes, size, 1)
        return rearrange(planes, "(b m t) c h w -> m b t (h w) c", m=2, t=latents.shape[1])

    def distance(one: Tensor, other: Tensor) -> Tensor:
        # The difference is projected, not each: autocast rounds to bfloat16. The slope has no jump at 0.
        return (F.linear(one - other, directions).float().square() + 1e-4).sqrt().mean((-1, -2))

    height, width = made.shape[2:4]
    score = torch.zeros(len(made) // 2, made.shape[1], device=made.device)
    for size in (*((side, side) for side in _SIZES if side < min(height, width)), (height, width)):
        (one, other), (truth, _) = pooled(made, size), pooled(true, size)
        near = (distance(one, truth) + distance(other, truth)) / 2
        score = score + near - _FAIR / 2 * distance(one, other)
    return score

"""Wears recorded frames as long stepping wears a World's own, so that it learns to mend them.

What a World makes is moved and drawn anew at every step, and grows softer by it; far from the truth nothing says how it
ought to look. So clips of the recording are shown blurred, and are to become the sharp ones that they were. Stepping
then mends a little of what it wears out, again and again, as cold diffusion (arXiv 2208.09392) makes pictures from
blurs. Noise on the context is the same idea (GameNGen, arXiv 2408.14837); but noise is not what stepping leaves.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from worldsim.model import PATCH
from worldsim.model.motion import Motion

_BLUR = 8.0  # the most, in pixels


@torch.no_grad()
def worn(motion: Motion, latents: Tensor, share: float) -> Tensor:
    """Clips of latents (batch, time, h, w, C), a share of them worn, the same way in all frames of a clip.

    motion draws them and reads what was blurred; share: from 0 to 1, of the clips. Has no gradient.
    """
    (batch, _, height, width, _), device = latents.shape, latents.device
    picked = torch.rand(batch, device=device) < share
    pictures = motion.drawn(latents)
    blur = _BLUR * torch.rand(batch, device=device) ** 1.5  # most only a little
    down, across = (_blurring(size, blur) for size in pictures.shape[2:4])
    blurred = torch.einsum("b x p, b t p q c -> b t x q c", down, pictures)
    blurred = torch.einsum("b y q, b t x q c -> b t x y c", across, blurred)
    patches = rearrange(blurred, "b t (h p) (w q) c -> b t h w (p q c)", p=PATCH, q=PATCH)
    # Not everywhere alike: what came into the picture long ago is worn, what came now is not.
    where = torch.randn(batch, 1, height, width, 1, device=device) + torch.randn(batch, 1, 1, 1, 1, device=device) + 1
    where = (4 * where).sigmoid() * picked[:, None, None, None, None]
    return latents + where * (motion.read(patches.to(latents.dtype)) - latents)


def _blurring(size: int, deviation: Tensor) -> Tensor:
    """What a line of so many pixels is multiplied with to blur it, (batch, size, size)."""
    places = torch.arange(size, device=deviation.device)
    away = (places[:, None] - places).square() / deviation.clamp_min(0.05)[:, None, None] ** 2
    return (-away / 2).softmax(2)

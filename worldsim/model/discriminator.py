"""The discriminator: tells frames that a World made from recorded ones, so that it learns to make them as sharp.

The squared error of a frame that cannot be foreseen is least for a blur; stepped on from blurs, a World fades to mush.
An adversarial loss beside it (pix2pix, arXiv 1611.07004; on a World's own frames as in Self Forcing, 2506.08009) asks
for frames that look like true ones, also far from the truth. Only training needs it; a World does not contain it.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_NOISE = 0.1  # deviation of the noise on pictures from -1 to 1 in the penalty; its square is the penalty's weight


class Discriminator(nn.Module):
    """Pictures (frames, H, W, 3) to a logit for each of their 16x16 patches, above 0 where they look recorded."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        widths = [3, channels, 2 * channels, 4 * channels, 4 * channels]
        self.layers = nn.ModuleList(nn.Linear(16 * narrow, wide) for narrow, wide in pairwise(widths))
        self.judge = nn.Linear(widths[-1], 1, bias=False)  # only differences count

    def forward(self, pictures: Tensor, *, frozen: bool = False) -> Tensor:
        """Logits (frames, H / 16, W / 16); frozen: without a gradient for the weights."""
        weights = {name: p.detach() if frozen else p for name, p in self.named_parameters()}
        x = pictures
        for i in range(len(self.layers)):
            x = F.leaky_relu(F.linear(_windows(x), weights[f"layers.{i}.weight"], weights[f"layers.{i}.bias"]), 0.2)
        return F.linear(x, weights["judge.weight"])[..., 0].float()

    def losses(self, made: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        """The generator's loss of each frame and the discriminator's, both (frames,).

        made, true: pictures (frames, H, W, 3), each pair of one place if that can be had. Judged is which of two looks
        more like a recording (relativistic pairing, arXiv 1807.00734 and 2501.05441): what a scene looks like cancels.
        The discriminator pays for judging true pictures otherwise when they have a little noise: an approximate
        gradient penalty (arXiv 2501.08316), which keeps its judgement smooth.
        """
        real = self(true)
        generator = F.softplus(real.detach() - self(made, frozen=True))
        rough = self(true + _NOISE * torch.randn_like(true))
        discriminator = F.softplus(self(made.detach()) - real) + (real - rough).square()
        return generator.mean((1, 2)), discriminator.mean((1, 2))


def _windows(x: Tensor) -> Tensor:
    """The 4x4 windows around every other pixel, (frames, h, w, c) to (frames, h / 2, w / 2, 16 c).

    With a linear layer a convolution: that of PyTorch took a third of a training step on a CPU, backward in bfloat16.
    """
    height, width = x.shape[1:3]
    padded = F.pad(x, (0, 0, 1, 1, 1, 1))
    return torch.cat([padded[:, i : i + height : 2, j : j + width : 2] for i in range(4) for j in range(4)], -1)

"""The discriminator: tells frames that a tokenizer's decoder drew from recorded ones, so that it learns textures.

Latents do not tell all of a texture, and the squared error of what they do not tell is least for a blur. An adversarial
loss beside it (pix2pix, arXiv 1611.07004) asks for frames that look like true ones. Only training needs it; a World
does not contain it.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

_NOISE = 0.1  # deviation of the noise on pictures from -1 to 1 in the penalty


class Discriminator(nn.Module):
    """Pictures (frames, H, W, 3), from -1 to 1, to a logit for each of their 16x16 patches, seeing 46 pixels.

    Logits are the higher the more a patch looks recorded.
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        widths = [3, channels, 2 * channels, 4 * channels, 4 * channels]
        self.layers = nn.ModuleList(nn.Linear(16 * narrow, wide) for narrow, wide in pairwise(widths))
        self.judge = nn.Linear(widths[-1], 1, bias=False)  # only differences count

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (frames, H / 16, W / 16)."""
        x = pictures
        for layer in self.layers:
            x = F.leaky_relu(layer(_windows(x)), 0.2)
        return self.judge(x)[..., 0].float()

    def losses(self, made: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        """The generator's loss of each frame and the discriminator's, both (frames,).

        made, true: pictures (frames, H, W, 3), each pair of one place if that can be had. Judged is which of two looks
        more like a recording (relativistic pairing, arXiv 1807.00734 and 2501.05441): what a scene looks like cancels.
        The discriminator pays for judging true pictures otherwise when they have a little noise: an approximate
        gradient penalty (arXiv 2501.08316), which keeps its judgement smooth.
        """
        frozen = {name: parameter.detach() for name, parameter in self.named_parameters()}
        real, rough = self(true), self(true + _NOISE * torch.randn_like(true))
        generator = F.softplus(real.detach() - functional_call(self, frozen, (made,)))
        discriminator = F.softplus(self(made.detach()) - real) + (real - rough).square()
        return generator.mean((1, 2)), discriminator.mean((1, 2))


def _windows(x: Tensor) -> Tensor:
    """The 4x4 windows around every other pixel, (frames, h, w, c) to (frames, h / 2, w / 2, 16 c).

    With a linear layer a convolution: that of PyTorch took a third of a training step on a CPU, backward in bfloat16.
    """
    height, width = x.shape[1:3]
    padded = F.pad(x, (0, 0, 1, 1, 1, 1))
    return torch.cat([padded[:, i : i + height : 2, j : j + width : 2] for i in range(4) for j in range(4)], -1)

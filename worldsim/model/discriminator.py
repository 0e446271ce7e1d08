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
from torch.func import functional_call

from worldsim.model.layers import PLACE_FEATURES, place_features

_NOISE = 0.1  # deviation of the noise on pictures from -1 to 1 in the penalty
# Weight of the penalty for patches, and for the whole picture, which has more pixels to differ in: with 1 its logits
# of made and true were 8 apart within two minutes, and moving on.
_SMOOTH = (1.0, 10.0)


class Discriminator(nn.Module):
    """Judges each 16x16 patch of pictures, seeing 46 pixels, and each picture as a whole.

    Patches alone know a texture, but not that a sky belongs above and that a picture has more than one colour.
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        widths = [3, channels, 2 * channels, 4 * channels, 4 * channels]
        self.layers = nn.ModuleList(nn.Linear(16 * narrow, wide) for narrow, wide in pairwise(widths))
        self.judge = nn.Linear(widths[-1], 1, bias=False)  # only differences count
        wide = 8 * channels
        self.place = nn.Linear(widths[-1] + PLACE_FEATURES, wide)
        self.gather = nn.Linear(wide, wide)
        self.judge_whole = nn.Linear(wide, 1, bias=False)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (frames, H, W, 3) from -1 to 1 to logits (frames, H / 16, W / 16) and (frames, 1, 1)."""
        x = pictures
        for layer in self.layers:
            x = F.leaky_relu(layer(_windows(x)), 0.2)
        height, width = x.shape[1:3]
        places = place_features(height, width, x.device).to(x.dtype).view(height, width, -1)
        placed = F.leaky_relu(self.place(torch.cat([x, places.expand(len(x), -1, -1, -1)], -1)), 0.2)
        whole = self.judge_whole(F.leaky_relu(self.gather(placed.mean((1, 2))), 0.2))
        return self.judge(x)[..., 0].float(), whole[:, None].float()

    def losses(self, made: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        """The generator's loss of each frame and the discriminator's, both (frames,).

        made, true: pictures (frames, H, W, 3), each pair of one place if that can be had. Judged is which of two looks
        more like a recording (relativistic pairing, arXiv 1807.00734 and 2501.05441): what a scene looks like cancels.
        The discriminator pays for judging true pictures otherwise when they have a little noise: an approximate
        gradient penalty (arXiv 2501.08316), which keeps its judgement smooth.
        """
        frozen = {name: parameter.detach() for name, parameter in self.named_parameters()}
        judgements = zip(
            self(true),
            self(true + _NOISE * torch.randn_like(true)),
            self(made.detach()),
            functional_call(self, frozen, (made,)),
            strict=True,
        )
        generator = discriminator = torch.zeros((), device=made.device)
        for smooth, (real, rough, fake, asked) in zip(_SMOOTH, judgements, strict=True):
            generator = generator + F.softplus(real.detach() - asked).mean((1, 2))
            judged = F.softplus(fake - real) + smooth * (real - rough).square()
            discriminator = discriminator + judged.mean((1, 2))
        return generator, discriminator


def _windows(x: Tensor) -> Tensor:
    """The 4x4 windows around every other pixel, (frames, h, w, c) to (frames, h / 2, w / 2, 16 c).

    With a linear layer a convolution: that of PyTorch took a third of a training step on a CPU, backward in bfloat16.
    """
    height, width = x.shape[1:3]
    padded = F.pad(x, (0, 0, 1, 1, 1, 1))
    return torch.cat([padded[:, i : i + height : 2, j : j + width : 2] for i in range(4) for j in range(4)], -1)

"""How much detail there is in each part of a picture, by scale and direction, wherever in that part it lies.

No squared error draws what cannot be foreseen: where a leaf lies decides, and half a leaf everywhere is the best guess.
That there are leaves can be foreseen. So pictures are compared by the strength of what is fine in them: the spectral
magnitudes of overlapping windows, as losses for speech do in one dimension (multi-resolution STFT, arXiv 1910.11480).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

_SIDE = 16  # of a window, in pixels; they overlap by half
_FLOOR = 1e-5  # added to powers, so that the slope of their root stays finite


def octaves(pictures: Tensor) -> Tensor:
    """The amplitude of each octave of pictures (frames, H, W, c): float32 (frames, windows * c, 9).

    The octaves are 0 to 1, 2 to 3 and 4 to 8 waves a window, down by across; H and W are multiples of 8.
    """
    blocks = rearrange(pictures, "f (y p) (x q) c -> f c y x p q", p=_SIDE // 2, q=_SIDE // 2)
    rows = torch.cat([blocks[:, :, :-1], blocks[:, :, 1:]], -2)
    windows = rearrange(torch.cat([rows[:, :, :, :-1], rows[:, :, :, 1:]], -1), "f c y x p q -> f (c y x) (p q)")
    waves, groups = _WAVES.to(pictures.device), _GROUPS.to(pictures.device)
    real, imaginary = F.linear(windows - windows.mean(-1, keepdim=True), waves).float().chunk(2, -1)
    with torch.autocast(pictures.device.type, enabled=False):  # else what differs by less than 0.4% would be equal
        return (F.linear(real.square() + imaginary.square(), groups) + _FLOOR).sqrt()


def _basis() -> tuple[Tensor, Tensor]:
    """What a window is multiplied with, (2 * 144, 256), and which of the 144 powers make up each octave, (9, 144)."""
    side = torch.arange(_SIDE)
    waves = torch.polar(torch.ones(_SIDE, _SIDE), -2 * math.pi * side[:, None] * side / _SIDE)
    half = waves[: _SIDE // 2 + 1]  # the spectrum of real numbers is symmetric
    fade = torch.hann_window(_SIDE).sqrt()
    both = torch.einsum("u p, v q -> u v p q", waves * fade, half * fade).flatten(2).flatten(0, 1) / _SIDE
    octave = torch.bucketize(torch.minimum(side, _SIDE - side), torch.tensor([2, 4]), right=True)
    kinds = F.one_hot(3 * octave[:, None] + octave[: len(half)], 9).float()
    twice = torch.full((len(half), 1), 2.0)  # for the half that is left out
    twice[0] = twice[-1] = 1.0
    return torch.cat([both.real, both.imag]), (kinds * twice).flatten(0, 1).T.contiguous()


_WAVES, _GROUPS = _basis()  # here, because the compiler would make them at every call

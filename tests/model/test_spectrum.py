"""How strong fine things are, wherever they lie."""

import torch

from worldsim.model.spectrum import octaves
from worldsim.model.tokenizer import blurred


def wave(waves: float, shift: float = 0.0) -> torch.Tensor:
    """A picture of so many waves across every 16 pixels."""
    return torch.sin(2 * torch.pi * waves * (torch.arange(64) + shift) / 16).expand(48, 64)[None, ..., None]


def test_a_wave_is_found_in_its_octave_wherever_it_lies() -> None:
    for waves, octave in ((1, 0), (2.5, 1), (6, 2)):
        amplitudes = octaves(wave(waves)).mean((0, 1))
        assert amplitudes.argmax() == octave
        torch.testing.assert_close(octaves(wave(waves, 1.7)).mean((0, 1)), amplitudes, atol=0.2, rtol=0)
    across, down = octaves(wave(6)), octaves(wave(6).transpose(1, 2))
    torch.testing.assert_close(down.mean((0, 1))[6], across.mean((0, 1))[2])


def test_all_octaves_together_are_the_variance_of_the_windows() -> None:
    torch.manual_seed(0)
    noise = torch.randn(4, 48, 64, 3)
    power = octaves(noise).square().sum(-1).mean()
    # A Hann window has a mean of a half along each axis.
    torch.testing.assert_close(power, torch.tensor(16 * 16 / 4.0), atol=1.0, rtol=0)


def test_a_blur_takes_the_finest_octave_first() -> None:
    torch.manual_seed(0)
    noise = torch.rand(4, 48, 64, 3)
    left = (octaves(blurred(noise, torch.ones(4))).mean((0, 1)) / octaves(noise).mean((0, 1))).view(3, 3)
    assert left[2, 2] < 0.1 < 0.3 < left[1, 1] < 0.5 < 0.8 < left[0, 0]

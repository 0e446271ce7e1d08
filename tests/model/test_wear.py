"""Frames that are worn as long stepping wears them."""

import torch

from worldsim.model.motion import Motion
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig
from worldsim.model.wear import worn


def clips() -> tuple[Motion, torch.Tensor]:
    """A motion that draws as a tokenizer does, and clips (8, 3, 3, 4, 48) of that tokenizer."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(TokenizerConfig(latent_channels=48, channels=64, fine_channels=64, layers=1, fine_layers=1))
    frames = (torch.rand(24, 12, 16, 1) > 0.5).float().repeat(1, 1, 1, 3)
    frames = frames.repeat_interleave(4, 1).repeat_interleave(4, 2)
    tokenizer.fit((255 * frames).byte())
    motion = Motion(48, 32, 32)
    motion.start_from(tokenizer)
    return motion, tokenizer.encode(frames).unflatten(0, (8, 3))


def test_what_is_worn_lost_detail_and_kept_its_colours() -> None:
    motion, latents = clips()
    soft = worn(motion, latents, 1.0)
    ours, true = motion.drawn(soft), motion.drawn(latents)

    def edges(x: torch.Tensor) -> torch.Tensor:
        return x.diff(dim=3).square().mean((1, 2, 3, 4))

    assert (edges(ours) < edges(true)).all()
    assert edges(ours).mean() < 0.7 * edges(true).mean()
    torch.testing.assert_close(ours.mean((2, 3, 4)), true.mean((2, 3, 4)), atol=0.1, rtol=0)


def test_a_share_of_clips_is_worn_all_frames_of_a_clip_alike_and_the_others_are_not() -> None:
    motion, latents = clips()
    latents = latents[:, :1].expand(-1, 3, -1, -1, -1)
    assert worn(motion, latents, 0.0).equal(latents)
    changed = worn(motion, latents, 0.5)
    torch.testing.assert_close(changed, changed[:, :1].expand_as(changed), atol=1e-5, rtol=0)
    same = (changed == latents).flatten(1).all(1)
    assert 0 < same.sum() < len(same)

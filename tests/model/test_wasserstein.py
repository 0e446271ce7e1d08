"""How alike two pictures are as heaps of patches."""

import torch

from worldsim.model.tokenizer import blurred
from worldsim.model.wasserstein import patch_distance


def leaves(frames: int) -> torch.Tensor:
    """Pictures of a few light squares on dark ground, nowhere twice the same: (frames, 96, 128, 3)."""
    torch.manual_seed(0)
    squares = (torch.rand(frames, 16, 22, 1) > 0.8).float().expand(-1, -1, -1, 3)
    return squares.repeat_interleave(6, 1).repeat_interleave(6, 2)[:, :, 1:129]


def test_a_picture_is_nearest_to_itself_then_to_another_like_it_then_to_mush() -> None:
    pictures = leaves(4)
    assert patch_distance(pictures, pictures).max() == 0
    like, mush = (patch_distance(x, pictures).mean() for x in (pictures.roll(1, 0), 0 * pictures + pictures.mean()))
    assert 0 < 2 * like < mush
    soft = [float(patch_distance(blurred(pictures, torch.full((4,), x)), pictures).mean()) for x in (0.5, 1.0, 2.0)]
    assert 0 < soft[0] < soft[1] < soft[2] < mush


def test_a_pattern_as_strong_as_the_truth_is_still_unlike_it() -> None:
    pictures = leaves(4)
    stripes = (torch.arange(128) // 6 % 5 == 0).float().expand(4, 96, 128)[..., None].expand(-1, -1, -1, 3)
    assert patch_distance(stripes, pictures).mean() > 2 * patch_distance(pictures.roll(1, 0), pictures).mean()


def test_what_belongs_above_is_missed_below() -> None:
    sky = torch.linspace(1, 0, 48)[None, :, None, None].expand(2, -1, 64, 3)
    assert patch_distance(sky.flip(1), sky).mean() > 0.1


def test_going_downhill_a_blur_becomes_sharp() -> None:
    pictures = leaves(2)
    ours = blurred(pictures, torch.full((2,), 2.0)).requires_grad_()
    optimizer = torch.optim.Adam([ours], 0.02)

    def edges(x: torch.Tensor) -> float:
        x = x.detach()
        return float(x.diff(dim=2).square().mean() / pictures.diff(dim=2).square().mean())

    before = edges(ours)
    for _ in range(60):
        optimizer.zero_grad()
        patch_distance(ours, pictures).mean().backward()
        optimizer.step()
    assert before < 0.4 < 0.7 < edges(ours) < 1.3

"""The discriminator: who is taught by which of its losses."""

from collections.abc import Callable

import torch

from worldsim.model.discriminator import Discriminator


def test_it_judges_every_patch_and_the_whole() -> None:
    patches, whole = Discriminator(8)(torch.randn(2, 80, 128, 3))
    assert patches.shape == (2, 5, 8)
    assert whole.shape == (2, 1, 1)


def test_the_generator_and_the_discriminator_are_taught_apart() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(8)
    made, true = torch.randn(3, 32, 48, 3, requires_grad=True), torch.randn(3, 32, 48, 3)
    generator, judge = discriminator.losses(made, true)
    (generator * torch.tensor([1.0, 0.0, 1.0])).sum().backward()
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    assert made.grad is not None
    assert [bool(frame.any()) for frame in made.grad] == [True, False, True], "each frame has a loss of its own"
    made.grad = None
    judge.mean().backward()
    assert made.grad is None
    assert all(parameter.grad.abs().sum() > 0 for parameter in discriminator.parameters())


def textures(count: int) -> torch.Tensor:
    return torch.rand(count, 4, 6, 3).repeat_interleave(8, 1).repeat_interleave(8, 2) * 2 - 1


def learn(discriminator: Discriminator, pair: Callable[[], tuple[torch.Tensor, torch.Tensor]], steps: int) -> None:
    optimizer = torch.optim.AdamW(discriminator.parameters(), 2e-3, betas=(0.5, 0.98))
    for _ in range(steps):
        optimizer.zero_grad()
        discriminator.losses(*pair())[1].mean().backward()
        optimizer.step()


def test_it_learns_to_tell_a_blur_from_the_recording() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(8)

    def pair() -> tuple[torch.Tensor, torch.Tensor]:
        true = textures(16)
        return true.roll(4, 1) * 0.3 + true.roll(-4, 1) * 0.3 + true * 0.4, true

    learn(discriminator, pair, 80)
    made, true = pair()
    for fake, real in zip(discriminator(made), discriminator(true), strict=True):
        assert (real > fake).float().mean() > 0.9
    assert discriminator.losses(made, true)[0].mean() > 2 * discriminator.losses(true, true)[0].mean()


def test_the_whole_knows_what_belongs_above() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(8)

    def pair() -> tuple[torch.Tensor, torch.Tensor]:
        # Light above, dark below; between them and beyond more than a patch can see.
        grey, light = torch.zeros(16, 48, 48, 3), textures(16).abs()
        true = torch.cat([grey, light, grey, -light, grey], 1)
        return true.flip(1), true

    learn(discriminator, pair, 80)
    (_, fake), (_, real) = (discriminator(pictures) for pictures in pair())
    assert (real > fake).float().mean() > 0.9

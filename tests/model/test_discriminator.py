"""The discriminator: who is taught by which of its losses."""

import torch

from worldsim.model.discriminator import Discriminator


def test_it_judges_every_patch() -> None:
    assert Discriminator(8)(torch.randn(2, 80, 128, 3)).shape == (2, 5, 8)


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


def test_it_learns_to_tell_a_blur_from_the_recording() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(8)

    def pair() -> tuple[torch.Tensor, torch.Tensor]:
        true = textures(16)
        return true.roll(4, 1) * 0.3 + true.roll(-4, 1) * 0.3 + true * 0.4, true

    optimizer = torch.optim.AdamW(discriminator.parameters(), 2e-3, betas=(0.5, 0.98))
    for _ in range(80):
        optimizer.zero_grad()
        discriminator.losses(*pair())[1].mean().backward()
        optimizer.step()
    made, true = pair()
    assert (discriminator(true) > discriminator(made)).float().mean() > 0.9
    assert discriminator.losses(made, true)[0].mean() > 2 * discriminator.losses(true, true)[0].mean()

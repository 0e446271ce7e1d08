"""The tokenizer: a linear encoder in closed form, a decoder that starts as its inverse, any size."""

import pytest
import torch
from torch import Tensor

from worldsim.model.discriminator import Discriminator
from worldsim.model.tokenizer import ReconstructionConfig, Tokenizer, TokenizerConfig, _nearer, blurred

SMALL = TokenizerConfig(latent_channels=24, channels=32, layers=1, fine_channels=16, fine_layers=1, head_dim=16)


def smooth_frames(count: int, height: int, width: int) -> torch.Tensor:
    """Frames of soft random colours, uint8 (count, height, width, 3), such as a few components can tell."""
    coarse = torch.rand(count, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(count))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (fine.permute(0, 2, 3, 1) * 255).to(torch.uint8)


def psnr(output: torch.Tensor, frames: torch.Tensor) -> float:
    return float(-10 * (output.detach() - frames / 255).square().mean().log10())


@pytest.fixture(scope="module")
def fitted() -> Tokenizer:
    torch.manual_seed(0)
    tokenizer = Tokenizer(SMALL)
    tokenizer.fit(smooth_frames(200, 32, 48))
    return tokenizer


def test_more_channels_keep_more_of_the_picture() -> None:
    frames, held_out = smooth_frames(200, 32, 48), smooth_frames(20, 32, 48)
    quality = []
    for channels in (4, 12, 36):
        tokenizer = Tokenizer(SMALL.model_copy(update={"latent_channels": channels}))
        tokenizer.fit(frames)
        quality.append(psnr(tokenizer.decode(tokenizer.encode(held_out)), held_out))
    assert quality[0] + 3 < quality[1] < quality[2] - 3


def test_latents_have_mean_zero_and_variance_one_on_average(fitted: Tokenizer) -> None:
    latents = fitted.encode(smooth_frames(200, 32, 48))
    assert latents.mean().abs() < 0.05
    assert latents.var(dim=(0, 1, 2)).mean() == pytest.approx(1, rel=0.05)
    deviations = latents.std(dim=(0, 1, 2))
    assert deviations[0] > deviations[-1], "coarse components come first and carry more"


@pytest.mark.parametrize("size", [(16, 16), (48, 32), (80, 128)])
def test_any_size_of_whole_patches(fitted: Tokenizer, size: tuple[int, int]) -> None:
    frames = smooth_frames(3, *size)
    latents = fitted.encode(frames)
    assert latents.shape == (3, size[0] // 16, size[1] // 16, SMALL.latent_channels)
    decoded = fitted.decode_uint8(latents)
    assert decoded.shape == frames.shape
    assert decoded.dtype == torch.uint8
    assert psnr(decoded / 255, frames) > 25


def test_uint8_and_float_frames_encode_alike(fitted: Tokenizer) -> None:
    frames = smooth_frames(4, 32, 32)
    torch.testing.assert_close(fitted.encode(frames), fitted.encode(frames / 255), atol=1e-4, rtol=1e-4)


def test_training_the_decoder_improves_on_the_linear_inverse(fitted: Tokenizer) -> None:
    torch.manual_seed(1)
    hard = (torch.rand(64, 32, 32, 3) > 0.5).float()  # a checkered world: 24 linear components of 768 cannot tell it
    hard = (hard.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :32, :32] * 255).to(torch.uint8)
    tokenizer = Tokenizer(SMALL)
    tokenizer.fit(hard)
    still = ReconstructionConfig(latent_noise=0.0)
    before = float(tokenizer.loss(hard, still)["loss"])
    optimizer = torch.optim.AdamW(tokenizer.parameters(), 3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        tokenizer.loss(hard, still)["loss"].backward()
        optimizer.step()
    assert float(tokenizer.loss(hard, still)["loss"]) < 0.9 * before


def test_a_blur_spreads_each_picture_by_its_own_deviation() -> None:
    dot = torch.zeros(3, 32, 48, 3)
    dot[:, 16, 24] = 1
    deviation = torch.tensor([0.0, 1.0, 2.0])
    spread = blurred(dot, deviation)
    torch.testing.assert_close(spread.sum((1, 2)), torch.ones(3, 3))
    torch.testing.assert_close(spread[0], dot[0])
    for axis, length, middle in ((1, 32, 16), (2, 48, 24)):
        share = spread[..., 0].sum(3 - axis)
        variance = (share * (torch.arange(length) - middle) ** 2).sum(1)
        torch.testing.assert_close(variance.sqrt(), deviation, atol=0.05, rtol=0)


def taught(frames: torch.Tensor, config: ReconstructionConfig, steps: int) -> Tokenizer:
    """A tokenizer fitted to frames, and its decoder trained on all of them so many times."""
    tokenizer = Tokenizer(SMALL)
    tokenizer.fit(frames)
    optimizer = torch.optim.AdamW(tokenizer.parameters(), 3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        tokenizer.loss(frames, config)["loss"].backward()
        optimizer.step()
    return tokenizer


def test_a_decoder_taught_with_blur_sharpens() -> None:
    torch.manual_seed(1)
    boxes = (torch.rand(64, 4, 6, 3) * 255).to(torch.uint8).repeat_interleave(8, 1).repeat_interleave(8, 2)
    soft = blurred(boxes / 255, torch.full((64,), 2.0))
    errors = []
    for blur in (0.0, 2.0):
        tokenizer = taught(boxes, ReconstructionConfig(blur=blur), 60)
        errors.append(float((tokenizer.decode(tokenizer.encode(soft)).detach() - boxes / 255).square().mean()))
    assert errors[1] < 0.7 * errors[0]


def test_before_a_discriminator_a_decoder_draws_the_texture_that_it_cannot_know() -> None:
    torch.manual_seed(1)
    noise = (torch.rand(256, 32, 32, 3) * 255).to(torch.uint8)
    details = []
    for adversarial in (0.0, 0.1):
        tokenizer, discriminator = Tokenizer(SMALL), Discriminator(8)
        tokenizer.fit(noise)
        groups = [{"params": tokenizer.parameters()}, {"params": discriminator.parameters(), "betas": (0.5, 0.98)}]
        optimizer = torch.optim.AdamW(groups, 3e-3)
        for _ in range(100):
            optimizer.zero_grad()
            some = noise[torch.randperm(256)[:32]]
            tokenizer.loss(some, ReconstructionConfig(adversarial=adversarial), discriminator)["loss"].backward()
            optimizer.step()
        details.append(float(tokenizer.decode(tokenizer.encode(noise)).detach().std()))
    true = float((noise / 255).std())
    assert details[0] < 0.5 * true
    assert details[1] > 0.6 * true


def test_asked_for_patches_a_decoder_draws_the_texture_that_it_cannot_know() -> None:
    torch.manual_seed(1)
    noise = (torch.rand(64, 64, 96, 3) * 255).to(torch.uint8)
    details = []
    for weight in (0.0, 1.0):
        tokenizer = taught(noise, ReconstructionConfig(patches=weight), 60)
        details.append(float(tokenizer.decode(tokenizer.encode(noise)).detach().std()))
    true = float((noise / 255).std())
    assert details[0] < 0.5 * true
    assert details[1] > 0.6 * true


def test_what_a_dynamics_made_is_to_be_the_truth_where_it_is_near(fitted: Tokenizer) -> None:
    torch.manual_seed(1)
    frames, truth = smooth_frames(4, 32, 32), smooth_frames(2, 32, 32).flip(1)
    still = ReconstructionConfig(latent_noise=0.0)
    latents = fitted.encode(truth)

    def loss(made: torch.Tensor, travelled: float) -> float:
        away = torch.full((2,), travelled)
        return float(fitted.loss(frames, still, made=made, truth=truth, travelled=away)["loss"].detach())

    plain = float(fitted.loss(torch.cat([frames, truth]), still)["loss"].detach())
    assert loss(latents, 0.0) == pytest.approx(plain, rel=1e-3)
    wrong = latents + 1
    assert loss(wrong, 0.0) > 2 * plain
    assert loss(wrong, 0.25) - loss(wrong, 50.0) == pytest.approx((loss(wrong, 0.0) - loss(wrong, 50.0)) / 2, rel=1e-3)


def test_an_error_that_all_tokens_have_in_common_counts(fitted: Tokenizer) -> None:
    torch.manual_seed(1)
    frames = smooth_frames(4, 32, 32)
    mixes = ReconstructionConfig(latent_noise=0.0), ReconstructionConfig(latent_noise=0.0, gridless=5.0)
    pattern = 0.1 * torch.randn(8 * 8 * 3)
    added = []
    for strength in (0.0, 1.0):
        with torch.no_grad():
            fitted.to_pixels[1].bias.copy_(strength * pattern)  # drawn into every token
        one, other = (float(fitted.loss(frames, mix)["loss"].detach()) for mix in mixes)
        added.append(other - one)
    assert added[1] > 5 * added[0]


def carrying() -> Tokenizer:
    torch.manual_seed(0)
    tokenizer = Tokenizer(SMALL.model_copy(update={"carries": True}))
    tokenizer.fit(smooth_frames(200, 32, 48))
    return tokenizer


def test_what_has_moved_is_kept_exactly_where_it_was_in_view() -> None:
    tokenizer = carrying()
    frames, others = smooth_frames(3, 32, 48), smooth_frames(4, 32, 48)[:3]
    moved = torch.cat([others / 255, torch.ones(3, 32, 48, 1)], -1)
    moved[:, :, 20:, 3] = 0
    latents = tokenizer.encode(frames)
    shown, drawn = tokenizer.decode_uint8(latents, moved), tokenizer.decode_uint8(latents)
    assert torch.equal(shown[:, :, :20], others[:, :, :20]), "untrained it keeps all there is"
    assert torch.equal(shown[:, :, 20:], drawn[:, :, 20:])
    assert psnr(drawn / 255, frames) > 25


def learned(tokenizer: Tokenizer, frames: Tensor, before: Tensor, **given: Tensor) -> Tensor:
    """What is shown after training on what is given: at the left what has moved there, at the right what is drawn."""
    optimizer = torch.optim.Adam(tokenizer.parameters(), 3e-3)
    for _ in range(60):
        values = tokenizer.loss(frames, ReconstructionConfig(latent_noise=0.3), **given)
        optimizer.zero_grad()
        values["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        shown = tokenizer.decode(tokenizer.encode(frames), before / 255)
    kept = (shown - before[..., :3] / 255).abs().amax(-1) == 0
    assert kept[:, :, :16].float().mean() > 0.9
    assert kept[:, :, 32:].float().mean() < 0.3
    return shown


def test_it_learns_what_to_keep_and_what_to_draw() -> None:
    """What has moved is right at the left, and of another picture at the right."""
    tokenizer = carrying()
    frames = smooth_frames(64, 32, 48)
    wrong = frames.roll(1, 0)
    before = torch.cat(
        [torch.where(torch.arange(48)[:, None] < 24, frames, wrong), torch.full_like(frames[..., :1], 255)], -1
    )
    shown = learned(tokenizer, frames, before, moved=before)
    assert psnr(shown, frames) > psnr(before[..., :3] / 255, frames) + 6


def test_far_from_the_truth_what_is_kept_is_what_would_be_kept_there() -> None:
    """What has moved is like the truth nowhere; but at the left, where it is dark, the true frame before would fit."""
    tokenizer = carrying()
    frames = smooth_frames(64, 32, 48)
    left = torch.arange(48)[:, None] < 24
    before = torch.cat([torch.where(left, 20, torch.full_like(frames, 235)), torch.full_like(frames[..., :1], 255)], -1)
    none = torch.zeros_like(before)
    learned(
        tokenizer,
        frames,
        before,
        made=tokenizer.encode(frames),
        truth=frames,
        travelled=torch.zeros(len(frames)),
        moved=torch.cat([none, before]),
        true_moved=torch.cat([none[..., :3], torch.where(left, frames, frames.roll(1, 0))]),
    )


def test_of_what_has_come_into_view_a_discriminator_judges_the_texture_and_the_truth_the_colours() -> None:
    tokenizer, discriminator = carrying(), Discriminator(8)
    frames, truth = smooth_frames(4, 32, 48), smooth_frames(4, 32, 48).flip(1)
    chequered = (torch.arange(32)[:, None, None] + torch.arange(48)[:, None]) % 2 * 60  # of mean 30 in each 8x8 block
    right = torch.arange(48)[:, None] >= 24
    moved = torch.cat([truth, torch.where(right, 0, torch.full_like(truth[..., :1], 255))], -1)
    judged = ReconstructionConfig(latent_noise=0.0, adversarial=1e-9)

    def error(shown: Tensor, truth: Tensor) -> float:
        parts = tokenizer.loss(
            frames, judged, discriminator, made=tokenizer.encode(shown), truth=truth, travelled=torch.zeros(4),
            moved=torch.cat([torch.zeros_like(moved), moved]),
        )  # fmt: skip
        return float((parts["loss"] - parts["discriminator"]).detach())

    plain = (truth.int() // 2 + 30).to(torch.uint8)
    texture = (truth.int() // 2 + torch.where(right, chequered, 30)).to(torch.uint8)
    everywhere = (truth.int() // 2 + chequered).to(torch.uint8)
    brighter = (truth.int() // 2 + torch.where(right, 60, 30)).to(torch.uint8)
    own = error(plain, plain)
    assert error(plain, texture) < own + 0.0005, "any texture will do where nothing was known"
    assert error(plain, everywhere) > own + 0.002
    assert error(plain, brighter) > own + 0.002


@pytest.mark.parametrize(
    ("moved", "drawn", "kept"),
    [
        (0.02, 0.0, True),  # hardly off, where what is drawn is right
        (0.08, 0.06, True),  # a little farther from the truth: what is drawn fades to a mean
        (0.2, 0.02, False),
        (0.35, 0.3, False),  # a block that is gone, and was drawn faintly
        (0.3, 0.4, True),  # what is drawn is worse
    ],
)
def test_what_has_moved_is_kept_where_it_is_nearly_as_near(moved: float, drawn: float, kept: bool) -> None:
    truth = torch.full((1, 16, 16, 3), 0.5)
    # Each counts twice, near and far.
    off = [truth + amount / 2 for amount in (moved, drawn)]
    assert (_nearer(*off, truth)[:, 4:-4, 4:-4] == float(kept)).all()


def test_with_a_stride_frames_that_follow_each_other_are_one_latent() -> None:
    torch.manual_seed(0)
    films = smooth_frames(240, 32, 48).view(60, 4, 32, 48, 3)
    films[:, 1:] = films[:, :1]  # stills, but for a light that goes up
    light = torch.tensor([0, 20, 40, 60])[None, :, None, None, None]
    frames = (films // 2 + light).to(torch.uint8).flatten(0, 1)
    tokenizer = Tokenizer(SMALL.model_copy(update={"stride": 4}))
    tokenizer.fit(frames)
    latents = tokenizer.encode(frames)
    assert latents.shape == (60, 2, 3, SMALL.latent_channels)
    drawn = tokenizer.decode_uint8(latents)
    assert drawn.shape == frames.shape
    assert psnr(drawn / 255, frames) > 25
    # Streamed decoding equals whole decoding, but for rounding: a batch of one may be multiplied in another order.
    streamed = torch.cat([tokenizer.decode_uint8(latents[n : n + 1]) for n in range(5)])
    assert (streamed.int() - drawn[:20].int()).abs().max() <= 1
    assert tokenizer.loss(frames[:16])["loss"].isfinite()


def test_a_stride_and_carrying_do_not_go_together() -> None:
    with pytest.raises(ValueError, match="stride 2 does not go with it"):
        TokenizerConfig(stride=2, carries=True)


@pytest.mark.parametrize("sizes", [{"fine_channels": 48}, {"channels": 80}, {"head_dim": 2}])
def test_widths_are_whole_numbers_of_heads(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="multiples of head_dim"):
        TokenizerConfig(**{"channels": 96, "fine_channels": 64, "head_dim": 32} | sizes)

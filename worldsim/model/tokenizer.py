"""The tokenizer: frames <-> latents, 16x smaller in height and width; one frame at a time, or a few that follow each
other (`TokenizerConfig.stride`), for films.

One that carries draws a frame from its latents and from the frame before, moved to where its things are now.

Encoding is linear: the leading principal components of 16x16 patches, found in closed form. Decoding starts from their
linear inverse, to which a small vision transformer adds what the components lack (edges, texture, seams).

Why linear: on the block world 48 principal components gave 28.6 dB after a second, a two-stage vision transformer
encoder and decoder 24.8 dB after twelve minutes on one core. When the picture shifts, linear latents shift smoothly,
which is what the dynamics must learn first; and the encoder costs next to nothing. Positions are rotary and centred,
so any height and width that are multiples of 16 work.
"""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from worldsim.model import PATCH
from worldsim.model.discriminator import Discriminator
from worldsim.model.layers import Block, Linear, RMSNorm, linear, rms_norm, rotation_in_space
from worldsim.model.wasserstein import patch_distance

# Heights that the picture moves until the error of a frame that a dynamics made, and its patches, count half: what is
# detailed stays so for longer than it stays where it was.
_ERROR_FADE, _PATCHES_FADE = 0.25, 1.0
_LOOSELY = 0.2  # how much details of what was not in view are to be those of the latents
_FIT_WEIGHT = 0.01  # of the loss of whether what has moved fits
# So much farther from the truth may be what has moved, and be kept, as what is drawn anew fades to a mean; but not more
# than this: a block that is gone is gone, however faintly it was drawn.
_MARGIN, _FACTOR, _MOST = 0.03, 1.5, 0.2


class TokenizerConfig(BaseModel):
    """Sizes of a tokenizer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latent_channels: int = 64
    channels: int = 256  # width of the decoder's layers over 16-pixel patches
    layers: int = 3
    fine_channels: int = 128  # width of its layers over 8-pixel patches
    fine_layers: int = 2
    head_dim: int = 64
    stride: int = Field(default=1, ge=1, description="frames that one latent stands for")
    carries: bool = Field(default=False, description="draws a frame also from the one before, once that has been moved")

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.head_dim % 4 or self.channels % self.head_dim or self.fine_channels % self.head_dim:
            raise ValueError(
                f"channels ({self.channels}) and fine_channels ({self.fine_channels}) must be multiples of head_dim "
                f"({self.head_dim}), and that of 4"
            )
        return self

    @model_validator(mode="after")
    def _carries_single_frames(self) -> Self:
        if self.carries and self.stride > 1:
            raise ValueError(f"a tokenizer that carries goes frame by frame: stride {self.stride} does not go with it")
        return self


class ReconstructionConfig(BaseModel):
    """How the tokenizer is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latent_noise: float = Field(default=0.1, ge=0, description="the most noise on the latents, in their deviations")
    blur: float = Field(default=0.0, ge=0, description="the most blur of the frames that are encoded, in pixels")
    adversarial: float = Field(default=0.0, ge=0, description="loss weight of what a discriminator says")
    patches: float = Field(default=0.0, ge=0, description="loss weight of how far the patches are from the true ones")
    gridless: float = Field(default=0.0, ge=0, description="loss weight of the error that all tokens have in common")


class Tokenizer(nn.Module):
    """Frames (batch * stride, H, W, 3), uint8 or float in [0, 1], to latents (batch, H/16, W/16, C) and back.

    With a stride of more than 1, so many frames in a row, of the same clip, become one latent and one becomes them
    again, knowing of no other: a film can be drawn as it comes, and but for rounding it is the same as drawn at once.

    `fit` finds the encoder from frames; then the decoder can be trained. The variance of latents is 1 on average, and
    that of a channel goes with the square root of the variance that it explains: halfway between pixels, where the
    coarse components would be all that counts, and whitened latents, where the faintest would count as much.
    """

    mean: Tensor
    analysis: Tensor
    synthesis: Tensor

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        latent, wide, fine = config.latent_channels, config.channels, config.fine_channels
        pixels = config.stride * PATCH * PATCH * 3

        def stack(channels: int, count: int) -> nn.ModuleList:
            return nn.ModuleList(Block(channels, channels // config.head_dim) for _ in range(count))

        self.register_buffer("mean", torch.zeros(pixels))
        self.register_buffer("analysis", torch.zeros(pixels, latent))
        self.register_buffer("synthesis", torch.zeros(latent, pixels))
        self.from_latent = Linear(latent, wide)
        self.wide = stack(wide, config.layers)
        self.split = Linear(wide, 4 * fine)
        self.fine = stack(fine, config.fine_layers)
        self.to_pixels = nn.Sequential(RMSNorm(fine), Linear(fine, pixels // 4))
        for parameter in self.to_pixels[1].parameters():
            nn.init.zeros_(parameter)  # the untrained decoder is the linear one
        if config.carries:
            self.from_moved = Linear(pixels // 4, fine)
            self.to_fit = Linear(fine, pixels // 12)
            for layer, bias in ((self.from_moved, 0.0), (self.to_fit, 1.0)):  # at first all that is in view is kept
                nn.init.zeros_(layer.weight)
                nn.init.constant_(layer.bias, bias)

    @torch.no_grad()
    def fit(self, frames: Tensor) -> None:
        """Find the linear encoder and decoder from frames, uint8 as for `encode`; some hundred frames are enough."""
        patches = self._patches(frames.float() / 127.5 - 1).flatten(0, 1).double()
        mean = patches.mean(0)
        centred = patches - mean
        variances, components = torch.linalg.eigh(centred.T @ centred / len(centred))
        order = variances.argsort(descending=True)[: self.config.latent_channels]
        deviations = variances[order].clamp_min(1e-8).sqrt()
        scale = deviations.rsqrt() / deviations.mean().sqrt()  # latent deviations: sqrt(deviation / their mean)
        self.mean.copy_(mean)
        self.analysis.copy_(components[:, order] * scale)
        self.synthesis.copy_((components[:, order] / scale).T)

    def _patches(self, values: Tensor) -> Tensor:
        """Frames (batch * stride, H, W, 3) to their 16x16 patches (batch, tokens, stride * 768), row by row."""
        return rearrange(values, "(b s) (h p) (w q) c -> b (h w) (s p q c)", s=self.config.stride, p=PATCH, q=PATCH)

    def _blocks(self, layers: nn.ModuleList, x: Tensor, height: int, width: int) -> Tensor:
        rotation = rotation_in_space(height, width, self.config.head_dim, device=x.device)
        for layer in layers:
            x = layer(x, rotation)
        return x

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (batch * stride, H, W, 3) uint8 or float [0, 1] to latents (batch, H/16, W/16, C)."""
        values = frames.to(self.mean.dtype) / 127.5 - 1 if frames.dtype == torch.uint8 else frames * 2 - 1
        latents = linear(self._patches(values) - self.mean, self.analysis.T)
        return rearrange(latents, "b (h w) c -> b h w c", h=frames.shape[1] // PATCH)

    def decode(self, latents: Tensor, moved: Tensor | None = None) -> Tensor:
        """Latents (batch, h, w, C) to frames (batch * stride, 16 h, 16 w, 3), float, about [0, 1], not clipped.

        moved (batch, 16 h, 16 w, 4): what was shown before, moved, see `worldsim.model.shown`; for a tokenizer that
        carries. Each pixel then is what has moved there or what is drawn anew, as the network decides: what stays in
        view need not go through the latents, which would blur it a little in every frame. (As video codecs do; SAVP,
        arXiv 1804.01523, takes a mean, and frame after frame means of what does not quite fit are a blur.)
        """
        assert moved is None or self.config.carries, "this tokenizer does not carry"
        drawn, fits = self._draw(latents, moved)
        if moved is None or fits is None:
            return drawn
        return torch.where(fits > 0, moved[..., :3], drawn)

    def linear_inverse(self, latents: Tensor) -> Tensor:
        """Latents (batch, h, w, C) to pictures (batch * stride, 16 h, 16 w, 3), about [-1, 1]."""
        base = linear(latents, self.synthesis.T, self.mean)
        return rearrange(base, "b h w (s p q c) -> (b s) (h p) (w q) c", p=PATCH, q=PATCH, c=3)

    def _draw(self, latents: Tensor, moved: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Frames drawn anew, about [0, 1], and whether instead what has moved there fits, a logit a pixel."""
        height, width = latents.shape[1:3]
        flat = rearrange(latents, "b h w c -> b (h w) c")
        base = self.linear_inverse(latents)
        x = self._blocks(self.wide, self.from_latent(flat), height, width)
        x = rearrange(self.split(x), "b (h w) (p q c) -> b (h p w q) c", h=height, p=2, q=2)
        if self.config.carries:
            moved = base.new_zeros(*base.shape[:3], 4) if moved is None else moved
            there = moved[..., 3:] > 0
            before = torch.where(there, 2 * moved[..., :3].to(base.dtype) - 1, base)
            x = x + self.from_moved(rearrange(before, "b (h p) (w q) c -> b (h w) (p q c)", p=8, q=8))
        x = self._blocks(self.fine, x, 2 * height, 2 * width)
        detail = rearrange(self.to_pixels(x), "b (h w) (s p q c) -> (b s) (h p) (w q) c", h=2 * height, p=8, q=8, c=3)
        drawn = (base + detail + 1) / 2
        if not self.config.carries:
            return drawn, None
        fits = rearrange(self.to_fit(rms_norm(x)), "b (h w) (p q) -> b (h p) (w q) 1", h=2 * height, p=8, q=8)
        return drawn, torch.where(there, fits, -1.0)

    def decode_uint8(self, latents: Tensor, moved: Tensor | None = None) -> Tensor:
        """Like `decode`, but uint8."""
        return (self.decode(latents, moved).float().clamp(0, 1) * 255).round().to(torch.uint8)

    def loss(
        self,
        frames: Tensor,
        config: ReconstructionConfig = ReconstructionConfig(),  # noqa: B008  # frozen
        discriminator: Discriminator | None = None,
        made: Tensor | None = None,
        truth: Tensor | None = None,
        travelled: Tensor | None = None,
        moved: Tensor | None = None,
        true_moved: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Reconstruction loss of frames, uint8 as for `encode`; the entry "loss" is minimised.

        Noise and blur teach the decoder to forgive what a dynamics does. The L1 error of the pictures' gradients keeps
        edges sharp; the patches, and the discriminator, needed if `adversarial` is above 0, ask for textures; the loss
        of the discriminator is part of "loss". The entry "psnr" is that of `frames`, in dB.
        Of a tokenizer that carries, errors and edges are of what is drawn anew; patches and the discriminator look at
        what is shown. With `adversarial`, of what has come into view of frames that a dynamics made, only means over
        8x8 pixels are compared, also with those of the latents' linear inverse, and that at any distance.
        made (more, h, w, C): latents that a dynamics made, to be drawn too; truth (more, H, W, 3) uint8: what they are
        to be; travelled (more,): how far the picture has moved on the way, in heights. The further, the less counts the
        distance from the truth, which would ask for a blur there, and further on how detailed it is.
        moved (batch + more, H, W, 4) uint8, in 255ths: the frame before each, as for `decode`; 0 where there is none.
        true_moved (batch + more, H, W, 3) uint8, in 255ths: the true frame before, moved likewise. What the dynamics
        made may long have parted from the truth: there it is to keep what would fit the truth.
        """
        target = frames.float() / 255
        shown = target
        if config.blur:
            shown = blurred(target, config.blur * torch.rand(len(target), device=target.device).square())
        latents = self.encode(shown)
        amount = config.latent_noise * torch.rand(len(latents), 1, 1, 1, device=latents.device)
        latents = latents + amount * torch.randn_like(latents)
        away = torch.zeros(len(target), device=latents.device)
        if made is not None:
            assert truth is not None, "which true frames belong to the made ones?"
            assert travelled is not None, "how far have the made frames come?"
            latents, target = torch.cat([latents, made]), torch.cat([target, truth.float() / 255])
            away = torch.cat([away, travelled])
        before = None if moved is None else moved.float() / 255
        drawn, fits = self._draw(latents, before)
        output = drawn.float()
        off, held = output - target, torch.zeros((), device=output.device)
        if made is not None and before is not None and config.adversarial:
            # What comes into view of a frame that was made may be anything that goes with the colours there: to ask for
            # the truth would be to ask for the mean. Whether it looks like a world is for the discriminator to say.
            of_made = torch.arange(len(off), device=off.device)[:, None, None, None] >= len(frames)
            new = of_made & (before[..., 3:] == 0)
            off = torch.where(new, _coarse(off), off)
            # Far from the truth nothing else would hold the colours: they are to be those that the dynamics says.
            said = (self.linear_inverse(latents).float() + 1) / 2
            # And loosely its details, which nothing else would keep from being coloured glitter.
            apart = output - said
            held = (torch.where(new, _coarse(apart), 0).square() + _LOOSELY * (new * apart).square()).mean()
        squared = off.square().mean((1, 2, 3))
        edges = sum(off.diff(dim=axis).abs().mean((1, 2, 3)) for axis in (1, 2))
        loss = (torch.exp2(-away / _ERROR_FADE) * (squared + 0.05 * edges)).mean() + held
        values = {"psnr": -10 * squared[: len(frames)].mean().log10()}
        if before is not None and fits is not None:
            would = before[..., :3] if true_moved is None else true_moved.float() / 255
            right = _nearer(would, output, target)
            unsure = F.binary_cross_entropy_with_logits(fits.float(), right, reduction="none") * before[..., 3:]
            fade = torch.exp2(-away / _ERROR_FADE) if true_moved is None else 1.0
            loss = loss + _FIT_WEIGHT * (fade * unsure.mean((1, 2, 3))).mean()
            values |= {"unsure": unsure.mean(), "kept": (fits > 0).float().mean()}
            output = torch.where(fits > 0, before[..., :3], output)
        if config.patches:
            distance = patch_distance(output, target)
            loss = loss + config.patches * (torch.exp2(-away / _PATCHES_FADE) * distance).mean()
            values["patches"] = distance.mean()
        if config.gridless:
            # The same pattern in all tokens would be the cheapest way to be detailed.
            common = self._patches(output - target).mean(1).square().mean()
            loss = loss + config.gridless * common
            values["common"] = common
        if config.adversarial:
            assert discriminator is not None, "there is no discriminator"
            generator, judge = (x.mean() for x in discriminator.losses(2 * output - 1, 2 * target - 1))
            loss = loss + config.adversarial * generator + judge
            values |= {"generator": generator, "discriminator": judge}
        return {"loss": loss} | {key: value.detach() for key, value in values.items()}


@torch.compiler.disable
@torch.no_grad()
def _nearer(moved: Tensor, drawn: Tensor, truth: Tensor) -> Tensor:
    """Where what has moved is nearer to the truth than what is drawn, or nearly as near: 1.0 or 0.0, (batch, H, W, 1).

    As one sees it: means over neighbours, near and far, are compared, for what is sharp and half a pixel off is better
    than a blur.
    """

    def away(pictures: Tensor) -> Tensor:
        error = rearrange(pictures - truth, "b h w c -> b c h w")
        far = F.avg_pool2d(error, 4)
        far = F.interpolate(F.avg_pool2d(far, 3, 1, 1), scale_factor=4, mode="bilinear")
        near = F.avg_pool2d(error, 3, 1, 1)
        return rearrange((near.abs() + far.abs()).mean(1, keepdim=True), "b c h w -> b h w c")

    old, new = away(moved), away(drawn)
    return ((old < new) | (old < (_FACTOR * new + _MARGIN).clamp_max(_MOST))).float()


def _coarse(pictures: Tensor) -> Tensor:
    """Means over 8x8 pixels of pictures (batch, H, W, 3), and between them bilinearly."""
    means = F.avg_pool2d(rearrange(pictures, "b h w c -> b c h w"), 8)
    return rearrange(F.interpolate(means, scale_factor=8, mode="bilinear"), "b c h w -> b h w c")


def blurred(pictures: Tensor, deviation: Tensor) -> Tensor:
    """Pictures (batch, H, W, 3), each with a Gaussian blur of its own deviation (batch,) in pixels, cut at 6 pixels."""
    places = torch.arange(-6, 7, device=pictures.device)
    weights = (-0.5 * (places / deviation.clamp_min(0.05)[:, None]) ** 2).softmax(1)
    x = rearrange(pictures, "b h w c -> b c h w")
    for _ in range(2):  # along the width, then along the height
        padded = F.pad(x, (6, 6, 0, 0), mode="replicate").unfold(3, 13, 1)
        x = torch.einsum("b c h w k, b k -> b c w h", padded, weights)
    return rearrange(x, "b c h w -> b h w c")

"""The painter: what comes into view of a World that is stepped is drawn by diffusion, to go with what is known.

The dynamics says in one step where things move; of what was not in view before it can only say the mean of all that
may be, and a mean of places is none. The painter, an open dynamics of single frames that is told which pixels are known
already, draws one of them, in a few steps from noise: as SceneScape warps and inpaints (arXiv 2302.01133), in latents.
Where nothing is known it paints whole frames from text.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from worldsim.model import PATCH
from worldsim.model.dynamics import KNOWN_CELLS, Dynamics
from worldsim.model.filming import guided, predict
from worldsim.model.forcing import mix
from worldsim.model.text import Text
from worldsim.model.tokenizer import Tokenizer

_ALMOST = 0.1  # of a picture is left in what is all but noise, at most


class PaintingConfig(BaseModel):
    """How a painter is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level_mean: float = Field(default=0.6, description="of the normal whose sigmoid a noise level is")
    level_deviation: float = Field(default=1.2, gt=0, description="of that normal")
    first: float = Field(
        default=0.3, ge=0, le=1, description="share of frames that are all but noise: there colours are decided"
    )
    least_level: float = Field(default=0.2, gt=0, le=1, description="where errors stop to count more, as for films")
    known_weight: float = Field(default=0.1, ge=0, le=1, description="loss weight of a token all of which is known")
    drop_text: float = Field(default=0.5, ge=0, le=1, description="share of frames without their text")


def filled_in(colours: Tensor, known: Tensor) -> Tensor:
    """Colours (frames, H, W, 3), and where known (frames, H, W, 1) is 0 those around, 0 where nothing is known.

    By coarser and coarser means of what is known (push-pull, Gortler et al. 1996), along rows first: what lies beside
    the sky is more sky.
    """
    rows = rearrange(torch.cat([colours * known, known], -1), "f h w c -> f c h w")
    levels = [F.avg_pool2d(rows, 4)]  # coarse from the beginning, and in half of the passes
    while levels[-1].shape[-1] > 1:
        levels.append(F.avg_pool2d(levels[-1], (1, 2), ceil_mode=True))
    while levels[-1].shape[-2] > 1:
        levels.append(F.avg_pool2d(levels[-1], (2, 1), ceil_mode=True))
    found = levels[-1][:, :3] / levels[-1][:, 3:].clamp_min(1e-6)
    for level in reversed(levels[:-1]):
        share = level[:, 3:]
        around = F.interpolate(found, level.shape[-2:], mode="bilinear", align_corners=False)
        found = torch.where(share > 0, level[:, :3] / share.clamp_min(1e-6), around)
    around = F.interpolate(found, rows.shape[-2:], mode="bilinear", align_corners=False)
    return torch.where(known > 0, colours, rearrange(around, "f c h w -> f h w c"))


def guess(tokenizer: Tokenizer, known: Tensor) -> Tensor:
    """What a painter is told of known pixels, float (frames, 16 h, 16 w, 4): (frames, 1, h, w, C + 16).

    Colours are in [0, 1], the last channel is 1 where they are known, and 0 elsewhere. The latents of the picture with
    the rest filled in by the colours around it, and how much of each sixteenth of a token is known.
    """
    picture = (filled_in(2 * known[..., :3] - 1, known[..., 3:]) + 1) / 2
    latents = tokenizer.encode(picture.to(tokenizer.mean.dtype))
    side = PATCH // KNOWN_CELLS
    parts = F.avg_pool2d(known[:, None, ..., 3], side)[:, 0]
    told = rearrange(parts, "f (h p) (w q) -> f h w (p q)", p=KNOWN_CELLS, q=KNOWN_CELLS)
    return torch.cat([latents, told.to(latents.dtype)], -1)[:, None]


def unknown(known: Tensor) -> Tensor:
    """The share of each token that is not known, (frames, h, w), of known pixels (frames, 16 h, 16 w, 4)."""
    return 1 - rearrange(known[..., 3], "f (h p) (w q) -> f h w (p q)", p=PATCH, q=PATCH).mean(-1)


def painting_loss(
    model: Dynamics, config: PaintingConfig, latents: Tensor, known: Tensor, new: Tensor, text: Tensor
) -> dict[str, Tensor]:
    """The training loss of frames; the entry "loss" is minimised, "clean" is the squared error of tokens to be painted.

    latents (batch, h, w, C); known: see `guess`; new (batch, h, w): see `unknown`; text (batch, length), see
    `worldsim.model.text`. The error counts as that of the velocity would, see
    `worldsim.model.filming.film_loss`.
    """
    batch, device = len(latents), latents.device
    level = torch.sigmoid(config.level_mean + config.level_deviation * torch.randn(batch, 1, device=device))
    almost = 1 - _ALMOST * torch.rand(batch, 1, device=device)
    level = torch.where(torch.rand(batch, 1, device=device) < config.first, almost, level)
    told = torch.rand(batch, 1, device=device) >= config.drop_text
    noisy = mix(latents[:, None], torch.randn_like(latents)[:, None], level)
    said = predict(model, noisy, level, model.encode_text(torch.where(told, text, 0)), known)[:, 0]
    error = (said - latents).square().mean(-1)
    weight = torch.where(new > 0, 0.5 + 0.5 * new, config.known_weight)
    counted = error / level.clamp_min(config.least_level).square()[..., None]
    return {
        "loss": (weight * counted).sum() / weight.sum(),
        "clean": ((new * error).sum() / new.sum().clamp_min(1e-6)).detach(),
    }


@torch.no_grad()
def paint_on(
    painter: Dynamics,
    noisy: Tensor,
    done: Tensor,
    steps: int,
    known: Tensor,
    text: Text,
    *,
    guidance_scale: float = 1.0,
    nothing: Text | None = None,
    cap: float = 1.0,
) -> Tensor:
    """One more denoising step of latents (lanes, h, w, C), float32, that have had `done` (lanes,) of `steps`.

    known: see `guess`. guidance_scale: how many times as far as without its text a frame goes (classifier-free
    guidance, arXiv 2207.12598); nothing: a text that says nothing, for that. cap: the noise level that they began with.
    """
    left = (steps - done).to(noisy.dtype)[:, None]
    said = guided(painter, noisy[:, None], cap * left / steps, text, guidance_scale, nothing, known)[:, 0]
    return said + (noisy - said) * ((left - 1) / left)[..., None, None]


def paint(
    painter: Dynamics,
    known: Tensor,
    gaussian: Tensor,
    text: Text,
    *,
    steps: int,
    guidance_scale: float = 1.0,
    nothing: Text | None = None,
    latents: Tensor | None = None,
    cap: float = 1.0,
) -> Tensor:
    """Latents (lanes, h, w, C), float32, that go with what is known, see `guess`; the rest as for `paint_on`.

    gaussian (lanes, h, w, C): what decides. latents: frames to be painted anew to the degree `cap` in (0, 1] (SDEdit,
    arXiv 2108.01073).
    """
    noisy = gaussian.float()
    if latents is not None:
        noisy = mix(latents.float()[:, None], noisy[:, None], noisy.new_full((len(noisy), 1), cap))[:, 0]
    for index in range(steps):
        done = torch.full((len(noisy),), index, device=noisy.device)
        noisy = paint_on(
            painter, noisy, done, steps, known, text, guidance_scale=guidance_scale, nothing=nothing, cap=cap
        )
    return noisy

"""Films: clips whose frames are made all at once, each from its own cap of noise, by an open dynamics.

One sampler for all that can be done to a film: frames with a cap of 0 are given and stay, with 1 they are made from
noise, between they are made anew to that degree. What is given may lie before, after, on both sides or anywhere. Films
longer than what was trained are made in windows that overlap, whose predictions are averaged in each denoising step
(MultiDiffusion, arXiv 2302.08113, along time), so that the end can fit a beginning that is made at the same time.

"Frames" are those that the dynamics sees here: each stands for as many pictures as the tokenizer's stride.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Self

import torch
from einops import rearrange
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from worldsim.model.dynamics import Dynamics
from worldsim.model.forcing import mix
from worldsim.model.text import Text
from worldsim.model.tiles import from_the_edge, tiles

Place = tuple[int, slice, slice, slice]  # a film, and its frames, rows and columns of tokens


class FilmConfig(BaseModel):
    """How an open dynamics is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shared: float = Field(default=0.4, ge=0, le=1, description="share of clips with one noise level for all frames")
    given: float = Field(default=0.4, ge=0, le=1, description="share of clips in which some frames are almost clean")
    level_mean: float = Field(
        default=0.6, description="of the normal whose sigmoid a noise level is (arXiv 2403.03206)"
    )
    level_deviation: float = Field(default=1.0, gt=0, description="of that normal")
    least_level: float = Field(default=0.2, gt=0, le=1, description="where errors stop to count more, see `film_loss`")
    noise_memory: float = Field(
        default=0.9, ge=0, lt=1, description="correlation of the noise of a frame with that of the one before"
    )
    given_noise: float = Field(default=0.05, ge=0, lt=1, description="the most noise on frames that are given")
    drop_text: float = Field(default=0.12, ge=0, le=1, description="share of clips without their text, for guidance")
    pictures: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the batches of clips instead of which single frames are shown, as many",
    )

    @model_validator(mode="after")
    def _are_shares(self) -> Self:
        if self.shared + self.given > 1:
            raise ValueError(f"shared {self.shared} and given {self.given} are shares of the same clips: at most 1")
        return self


def film_levels(batch: int, time: int, config: FilmConfig, device: torch.device) -> tuple[Tensor, Tensor]:
    """Draw the noise level of every frame, float32 (batch, time) in [0, 1], and which of them are given, bool.

    Given are the first frames, the last, both ends, or any; their number is random, and one frame at least is not.
    """

    def draw(*shape: int) -> Tensor:
        return torch.sigmoid(config.level_mean + config.level_deviation * torch.randn(shape, device=device))

    pattern = torch.rand(batch, 1, device=device)
    level = torch.where(pattern < config.shared + config.given, draw(batch, 1), draw(batch, time))
    frame = torch.arange(time, device=device)
    count, other = ((torch.rand(batch, 1, device=device) * limit).long() for limit in (time, 1 + time // 2))
    head, tail = frame < count, frame >= time - count
    ends = (frame < count.clamp_max(time // 2)) | (frame >= time - other.clamp_max((time - 1) // 2))
    some = torch.rand(batch, time, device=device).argsort(1).argsort(1) < count
    kind = (torch.rand(batch, 1, device=device) * 4).long()
    chosen = torch.where(kind == 0, head, torch.where(kind == 1, tail, torch.where(kind == 2, ends, some)))
    given = chosen & (pattern >= config.shared) & (pattern < config.shared + config.given)
    return torch.where(given, config.given_noise * torch.rand(batch, time, device=device), level), given


@torch.compiler.disable  # a compiler would draw each number anew for every frame that it is part of
def remembered_noise(gaussian: Tensor, memory: float, cuts: Sequence[int] = ()) -> Tensor:
    """Independent noise (films, time, h, w, C), correlated from each frame to the next by `memory` in [0, 1).

    As in PYoCo (arXiv 2305.10474): what noise decides is then about the same in neighbouring frames, as in a film,
    and only how it moves is left to be learned. Each frame's is still standard normal; before cuts it begins anew.
    """
    time = gaussian.shape[1]
    mixing = torch.eye(time)
    for frame in range(1, time):
        if frame not in cuts:
            mixing[frame] = memory * mixing[frame - 1] + (1 - memory**2) ** 0.5 * mixing[frame]
    return torch.einsum("t s, b s h w c -> b t h w c", mixing.to(gaussian), gaussian)


def film_loss(model: Dynamics, config: FilmConfig, latents: Tensor, text: Tensor) -> dict[str, Tensor]:
    """The training loss of clips: latents (batch, time, h, w, C); text (batch, length), see `worldsim.model.text`.

    The network says clean latents, and the error counts as that of the velocity would (as in arXiv 2511.13720): divided
    by the level's square, but by no less than `least_level`'s. Frames that are given do not count. The entry "loss" is
    minimised, "clean" is the plain squared error of what does count.
    """
    batch, time = latents.shape[:2]
    level, given = film_levels(batch, time, config, latents.device)
    told = torch.rand(batch, 1, device=text.device) >= config.drop_text
    noisy = mix(latents, remembered_noise(torch.randn_like(latents), config.noise_memory), level)
    said = predict(model, noisy, level, model.encode_text(torch.where(told, text, 0)))
    error = (said - latents).square().mean((2, 3, 4))
    count = (~given).sum()
    loss = (~given * error / level.clamp_min(config.least_level).square()).sum() / count
    return {"loss": loss, "clean": ((~given * error).sum() / count).detach()}


def predict(model: Dynamics, noisy: Tensor, level: Tensor, text: Text, known: Tensor | None = None) -> Tensor:
    """Clean latents, float32, of frames for which there are no actions, by a network of any number format.

    known: for a painter, see `worldsim.model.painting.guess`.
    """
    noisy = noisy.to(model.no_action.dtype)
    none = noisy.new_zeros(*level.shape, model.config.action_dim)
    without = torch.zeros_like(level, dtype=torch.bool)
    said = model(noisy, level, torch.zeros_like(level), none, without, text, None, None, known=known)
    return said.latents.float()


@torch.no_grad()
def denoising_error(
    model: Dynamics, latents: Tensor, gaussian: Tensor, level: Tensor, texts: Text, at_once: int = 64
) -> Tensor:
    """How far from a clip each of K texts leads, on average over noise: float32 (K,).

    latents (1, time, h, w, C); gaussian (draws, time, h, w, C) and level (draws, 1): the noise, the same for all texts.
    """
    level = level.to(latents.device).expand(-1, latents.shape[1])
    noisy = mix(latents.expand_as(gaussian), gaussian, level)
    pairs = [(text, draw) for text in range(len(texts.mask)) for draw in range(len(gaussian))]
    found = []
    for first in range(0, len(pairs), at_once):
        number, draw = torch.tensor(pairs[first : first + at_once], device=latents.device).T
        said = predict(model, noisy[draw], level[draw], _pick(texts, number))
        found.append((said - latents).square().mean((1, 2, 3, 4)))
    return torch.cat(found).view(len(texts.mask), -1).mean(1)


def windows(frames: int, length: int, cuts: Sequence[int] = ()) -> list[list[int]]:
    """The windows in which so many frames are made: lists of `length` frame numbers, or fewer between two cuts.

    They overlap by half, and none reaches over a cut, the number of a frame that has nothing to do with the one before.
    """
    edges = [0, *sorted(cuts), frames]
    found = []
    for first, last in pairwise(edges):
        starts = list(range(first, max(last - length, first), max(length // 2, 1)))
        starts.append(max(last - length, first))
        found += [list(range(start, min(start + length, last))) for start in starts]
    return found


@torch.no_grad()
def sample_film(
    dynamics: Dynamics,
    latents: Tensor,
    caps: Tensor,
    gaussian: Tensor,
    texts: Text,
    shares: Tensor,
    *,
    window: int,
    steps: int,
    tile: tuple[int, int] | None = None,
    guidance_scale: float = 1.0,
    unwanted: Text | None = None,
    cuts: Sequence[int] = (),
    context_noise: float = 0.02,
    at_once: int = 16,
    on_step: Callable[[int, Tensor], object] | None = None,
) -> Tensor:
    """Make the frames of films together, each from its own cap.

    latents, gaussian float32 (films, time, h, w, C); caps (time,) in [0, 1]; texts: K of them; shares (K, time), which
    add up to 1: how much each text has to say of a frame. window: how many frames the dynamics sees together. steps: of
    denoising. tile: (height, width) of what it sees of them, in tokens; all unless given. guidance_scale: how many
    times as far as without its text a frame goes (classifier-free guidance, arXiv 2207.12598), away from `unwanted`,
    one text, which may say nothing; 1 is no guidance, and so is None. cuts: frames before which the film jumps.
    at_once: windows a pass, for the memory they take. on_step(number, latents): called after each step.
    Returns latents (films, time, h, w, C); those with a cap of 0 are what was given.
    """
    films, kept = len(latents), caps == 0
    if not (~kept).any():
        return latents
    keep = rearrange(kept, "t -> 1 t 1 1 1")
    shown = torch.where(kept, context_noise, caps)
    noisy = mix(latents, gaussian, shown.expand(films, -1))
    context = noisy
    parts = list(tiles((latents.shape[2], latents.shape[3]), tile or (latents.shape[2], latents.shape[3])))
    passes = _passes(windows(latents.shape[1], window, cuts), parts, kept, shares, films, at_once)
    weight = torch.zeros_like(latents[..., :1])
    for places, _, counts in passes:
        for place, count in zip(places, counts, strict=True):
            weight[place] += count
    for step in range(steps):
        level = torch.where(kept, shown, caps * (1 - step / steps))
        total = torch.zeros_like(latents)
        for places, text, counts in passes:
            seen = torch.stack([noisy[place] for place in places])
            levels = torch.stack([level[frames] for _, frames, _, _ in places])
            said = guided(dynamics, seen, levels, _pick(texts, text), guidance_scale, unwanted)
            # One after the other: the sum is then the same each time.
            for place, count, clean_part in zip(places, counts, said, strict=True):
                total[place] += count * clean_part
        clean = total / weight.clamp_min(1e-6)
        left = (steps - step - 1) / (steps - step)  # the next level as a share of this one
        noisy = torch.where(keep, context, clean + (noisy - clean) * left)
        if on_step is not None:
            on_step(step + 1, torch.where(keep, latents, clean))
    return torch.where(keep, latents, noisy)


def _passes(
    found: list[list[int]], parts: list[tuple[slice, slice]], kept: Tensor, shares: Tensor, films: int, at_once: int
) -> list[tuple[list[Place], Tensor, Tensor]]:
    """What is asked of the dynamics in each step: windows and tiles of one size, at most `at_once` together.

    Where each lies, its text (n,), and how much each of its tokens counts (n, length, h, w, 1).
    """
    jobs = [
        (film, index, part, text)
        for index in found
        if not kept[index].all()
        for text in range(len(shares))
        if shares[text, index].any()
        for part in parts
        for film in range(films)
    ]
    passes = []
    rows, columns = (from_the_edge(part.stop - part.start).to(kept.device) for part in parts[0])
    for length in sorted({len(index) for _, index, _, _ in jobs}):
        of_length = [job for job in jobs if len(job[1]) == length]
        # What lies at the edge of a window is known less well there than in the next one.
        weights = torch.einsum("t, h, w -> t h w", from_the_edge(length).to(kept.device), rows, columns)[..., None]
        for first in range(0, len(of_length), at_once):
            some = of_length[first : first + at_once]
            places: list[Place] = [(film, slice(index[0], index[-1] + 1), *part) for film, index, part, _ in some]
            numbers = torch.tensor([text for *_, text in some], device=kept.device)
            share = torch.stack([shares[text, index] for _, index, _, text in some])
            passes.append((places, numbers, rearrange(share, "n t -> n t 1 1 1") * weights))
    return passes


def _pick(texts: Text, number: Tensor) -> Text:
    return texts.map(lambda tensor: tensor[number])


def guided(
    dynamics: Dynamics,
    noisy: Tensor,
    level: Tensor,
    text: Text,
    scale: float,
    unwanted: Text | None,
    known: Tensor | None = None,
) -> Tensor:
    """What the dynamics says of windows (n, time, h, w, C), guided (classifier-free); unwanted: one text."""
    if scale == 1 or unwanted is None:
        return predict(dynamics, noisy, level, text, known)
    twice = known if known is None else known.repeat(2, 1, 1, 1, 1)
    said, without = predict(
        dynamics, noisy.repeat(2, 1, 1, 1, 1), level.repeat(2, 1), text.followed_by(unwanted), twice
    ).chunk(2)
    return without + scale * (said - without)

"""A film in the making: stretches that are given or made, put together, and made by one run of the sampler.

What `worldsim.simulation` is to a World that is stepped, this is to one that makes films.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from worldsim.clip import fitted
from worldsim.model import PATCH
from worldsim.model.filming import remembered_noise, sample_film
from worldsim.model.tiles import decode_in_tiles
from worldsim.spec import check_size
from worldsim.world import World

# So many times as high or wide as what was learned from, a picture is still made as it is, and a larger one in tiles.
# A higher one is made small first, then enlarged, and so much of it made anew: each tile would have its own horizon.
_LARGER, _DETAIL = 1.25, 0.5


@dataclass
class Reel:
    """What a film is made of, in units of the tokenizer's stride, here called latents.

    latents float32 (T, h, w, C), anything where a frame is made from noise; caps (T,) in [0, 1]; texts: prompts, and
    shares (texts, T), how much each has to say of a latent, None if there is but one; given: frames that are shown as
    they are, uint8 (stride, H, W, 3), by the number of their latent; cuts: numbers of latents before which it jumps.
    """

    latents: Tensor
    caps: Tensor
    texts: list[str | None]
    shares: Tensor | None = None
    given: dict[int, np.ndarray] = field(default_factory=dict)
    cuts: Sequence[int] = ()


def blank(world: World, latents: int, size: tuple[int, int], prompt: str | None = None) -> Reel:
    """So many latents that are made from noise."""
    height, width = check_size(size)
    shape = (latents, height // PATCH, width // PATCH, world.tokenizer.config.latent_channels)
    return Reel(torch.zeros(shape), torch.ones(latents), [prompt])


def taken(world: World, frames: np.ndarray, prompt: str | None = None) -> Reel:
    """Frames (T, H, W, 3), T a multiple of the stride, that stay. ValueError for a size that no World has."""
    check_size((frames.shape[1], frames.shape[2]))
    pictures = torch.from_numpy(np.ascontiguousarray(frames)).to(world.device)
    latents = world.tokenizer.encode(pictures).float().cpu()
    stride = world.tokenizer.config.stride
    given = {number: frames[number * stride : (number + 1) * stride] for number in range(len(latents))}
    return Reel(latents, torch.zeros(len(latents)), [prompt], given=given)


def joined(*parts: Reel) -> Reel:
    """Reels of one text each, one after the other; all are then of the first one's."""
    given: dict[int, np.ndarray] = {}
    first = 0
    for part in parts:
        given |= {first + number: frames for number, frames in part.given.items()}
        first += len(part.caps)
    return Reel(
        torch.cat([part.latents for part in parts]),
        torch.cat([part.caps for part in parts]),
        parts[0].texts,
        given=given,
    )


def end_of(world: World, frames: np.ndarray) -> np.ndarray:
    """The last frames, as many whole latents as are of use to what follows; the first one repeated if they are few."""
    stride, most = world.tokenizer.config.stride, max(world.spec.context_length // 2, 1)
    count = stride * min(max(len(frames) // stride, 1), most)
    kept = frames[-count:]
    return np.concatenate([np.repeat(kept[:1], count - len(kept), 0), kept])


def beginning_of(world: World, frames: np.ndarray) -> np.ndarray:
    """The first frames, likewise."""
    return end_of(world, frames[::-1])[::-1]


def latents_for(world: World, frames: int) -> int:
    """How many latents so many frames need."""
    return -(-frames // world.tokenizer.config.stride)


def make(
    world: World,
    reel: Reel,
    seeds: Sequence[int],
    *,
    steps: int | None = None,
    guidance_scale: float | None = None,
    unwanted: str | None = None,
    on_step: Callable[[int, Tensor], object] | None = None,
) -> Tensor:
    """The latents of a film for each seed, float32 (films, T, h, w, C); what is given is in them as it was.

    What is higher than the World's own size is made at that height first, then enlarged and made anew in part, each
    time to twice the size at most (as in Cascaded Diffusion, arXiv 2106.15282, but by the same network), by its texts
    without guidance. Frames with a cap of 0.5 or less keep what they show, at the full size.

    steps, guidance_scale: the World's own unless given; unwanted: text from which guidance leads away. on_step: called
    after each denoising step at the full size with its number and the latents as far as they have come. ValueError for
    less than a step.
    """
    steps = world.spec.steps if steps is None else steps
    scale = world.spec.guidance_scale if guidance_scale is None else guidance_scale
    if steps < 1:
        raise ValueError(f"num_inference_steps must be at least 1, got {steps}")
    device = world.device
    shape = reel.latents.shape
    latents, caps = reel.latents.expand(len(seeds), *shape), reel.caps
    tile = _tile(world, shape[1], shape[2])
    if shape[1] > _LARGER * tile[0] and (caps > _DETAIL).any():
        small = make(world, _smaller(world, reel), seeds, steps=steps, guidance_scale=scale, unwanted=unwanted)
        is_new = rearrange(caps > _DETAIL, "t -> t 1 1 1")
        latents = torch.where(is_new, _enlarged(world, small, (shape[1], shape[2])), latents)
        caps, scale = caps.clamp_max(_DETAIL), 1.0  # guided again and again, colours would become glaring
    noise = torch.stack(
        [torch.randn(shape, generator=torch.Generator().manual_seed(int(seed) % (1 << 63))) for seed in seeds]
    )
    noise = remembered_noise(noise, world.spec.noise_memory, reel.cuts)
    texts = list(dict.fromkeys(reel.texts))  # each once, for each is a pass of its own
    shares = torch.ones(1, len(reel.caps))
    if reel.shares is not None:
        shares = torch.zeros(len(texts), len(reel.caps))
        shares.index_add_(0, torch.tensor([texts.index(text) for text in reel.texts]), reel.shares)
    away_from = world.dynamics.encode_prompts([unwanted]) if scale != 1 and (unwanted or any(texts)) else None
    return sample_film(
        world.dynamics, latents.to(device), caps.to(device), noise.to(device), world.dynamics.encode_prompts(texts),
        shares.to(device), window=world.spec.context_length, steps=steps, tile=tile, guidance_scale=scale,
        unwanted=away_from, cuts=reel.cuts, on_step=on_step,
    )  # fmt: skip


def _tile(world: World, height: int, width: int) -> tuple[int, int]:
    """What is seen together of a picture of so many tokens: all of it, or as much as the World has learned from."""
    own = _learned(world, height, width)
    high, wide = (many if many <= _LARGER * few else few for many, few in zip((height, width), own, strict=True))
    return high, wide


def _learned(world: World, height: int, width: int) -> tuple[int, int]:
    """Of the sizes that the World has learned from the one most like it in shape, and then in area, in tokens."""

    def unlike(size: tuple[int, int]) -> tuple[float, float]:
        taller, wider = math.log(size[0] / height), math.log(size[1] / width)
        return round(abs(taller - wider), 6), abs(taller + wider)

    return min(((high // PATCH, wide // PATCH) for high, wide in (world.size, *world.spec.sizes)), key=unlike)


def _smaller(world: World, reel: Reel) -> Reel:
    """The same at half the size, or at a height that it learned if that is more; edges repeated to whole tokens."""
    height, width = reel.latents.shape[1:3]
    times = min(2.0, height / _learned(world, height, width)[0])
    small = math.ceil(height / times - 1e-6), math.ceil(width / times - 1e-6)
    latents = torch.zeros(len(reel.caps), *small, reel.latents.shape[-1])
    known = reel.caps < 1
    if known.any():
        side = max(height / small[0], width / small[1])
        more = [round(PATCH * (side * few - many)) for few, many in zip(small, (height, width), strict=True)]
        around = [(0, 0), *((extra // 2, extra - extra // 2) for extra in more), (0, 0)]
        frames = np.pad(drawn(world, reel.latents[known][None].to(world.device), {})[0], around, "edge")
        latents[known] = _encoded(world, frames, small)
    return replace(reel, latents=latents, given={})


def _enlarged(world: World, latents: Tensor, size: tuple[int, int]) -> Tensor:
    """Latents (films, T, h, w, C) at that size in tokens, cropped where they are of another shape."""
    return torch.stack([_encoded(world, frames, size) for frames in drawn(world, latents, {})])


def _encoded(world: World, frames: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Frames (T, H, W, 3), fitted to that size in tokens, as latents float32 on the CPU."""
    pixels = PATCH * size[0], PATCH * size[1]
    pictures = torch.from_numpy(np.stack([fitted(frame, pixels) for frame in frames]))
    return world.tokenizer.encode(pictures.to(world.device)).float().cpu()


def check_strength(strength: float) -> None:
    """ValueError unless it is above 0 and at most 1."""
    if not 0 < strength <= 1:
        raise ValueError(f"strength says how much is made new: above 0 and at most 1, not {strength}")


def anew(world: World, frames: np.ndarray, prompt: str, strength: float) -> Reel:
    """Frames (T, H, W, 3), T a multiple of the stride, to be made anew by a prompt to the degree `strength` in (0, 1].

    Noise (SDEdit, arXiv 2108.01073) hides how bright a picture is on the whole last of all, when nothing else of it is
    left: night would stay night. So each row of tokens first gets the mean that it has in a picture of the prompt
    (as styles are taken over in AdaIN, arXiv 1703.06868), always the same one; weaker than half, not all of it.
    """
    reel = taken(world, frames, prompt)
    like = make(world, blank(world, 1, (frames.shape[1], frames.shape[2]), prompt), [0])[0].cpu()
    means = reel.latents.mean((0, 2), keepdim=True), like.mean((0, 2), keepdim=True)
    reel.latents = reel.latents + min(1.0, 2 * strength) * (means[1] - means[0])
    return Reel(reel.latents, torch.full_like(reel.caps, strength), reel.texts)


@torch.no_grad()
def drawn(world: World, latents: Tensor, given: dict[int, np.ndarray]) -> np.ndarray:
    """Latents (films, T, h, w, C) as frames uint8 (films, T * stride, H, W, 3); what is given is in them as it is."""
    stride, films = world.tokenizer.config.stride, []
    tile = _tile(world, latents.shape[2], latents.shape[3])
    for film in latents:
        parts = [decode_in_tiles(world.tokenizer, part.to(world.dtype), tile).cpu().numpy() for part in film.split(32)]
        frames = np.concatenate(parts)
        for number, kept in given.items():
            frames[number * stride : (number + 1) * stride] = kept
        films.append(frames)
    return np.stack(films)

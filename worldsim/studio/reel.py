"""A film in the making: stretches that are given or made, put together, and made by one pass of the sampler."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from worldsim.model import PATCH
from worldsim.model.dynamics import Text
from worldsim.model.filming import sample_film
from worldsim.model.text import encode_words
from worldsim.spec import check_size
from worldsim.studio.options import Options, seeds_of
from worldsim.world import World


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
    """Reels one after the other; those of one text have what the first one's text says."""
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


def make(world: World, reel: Reel, options: Options) -> np.ndarray:
    """The frames of the film, uint8 (variations, T * stride, H, W, 3); what is given is in it bit for bit."""
    seeds, device = seeds_of(options), world.device
    steps = options.get("num_inference_steps") or world.spec.steps
    scale = options.get("guidance_scale") or world.spec.guidance_scale
    if steps < 1:
        raise ValueError(f"num_inference_steps must be at least 1, got {steps}")
    noise = [torch.randn(reel.latents.shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    latents = reel.latents.expand(len(seeds), *reel.latents.shape).to(device)
    texts, shares = reel.texts, reel.shares
    if shares is None or len(set(texts)) == 1:
        texts, shares = texts[:1], torch.ones(1, len(reel.caps))
    unwanted = options.get("negative_prompt")
    guided = scale != 1 and (unwanted or any(texts))
    newest, tick = latents, options.get("callback_on_step_end")
    with tqdm(total=steps, desc="steps", disable=not options.get("progress", False)) as bar:

        def on_step(number: int, clean: Tensor) -> None:
            nonlocal newest
            newest = clean
            bar.update()
            if tick is not None:
                tick(number, clean)

        try:
            made = sample_film(
                world.dynamics, latents, reel.caps.to(device), torch.stack(noise).to(device), _encoded(world, texts),
                shares.to(device), window=world.spec.context_length, steps=steps, guidance_scale=scale if guided else 1,
                unwanted=_encoded(world, [unwanted]) if guided else None, cuts=reel.cuts, on_step=on_step,
            )  # fmt: skip
        except KeyboardInterrupt:
            print("\nstopped: the film is kept as far as it has come out of the noise", file=sys.stderr)
            made = newest
    return _drawn(world, made, reel.given)


def _encoded(world: World, texts: Sequence[str | None]) -> Text:
    return world.dynamics.encode_text(encode_words(list(texts), world.device))


@torch.no_grad()
def _drawn(world: World, latents: Tensor, given: dict[int, np.ndarray]) -> np.ndarray:
    """Latents (films, T, h, w, C) as frames."""
    stride, films = world.tokenizer.config.stride, []
    for film in latents:
        drawn = [world.tokenizer.decode_uint8(part.to(world.dtype)).cpu().numpy() for part in film.split(32)]
        frames = np.concatenate(drawn)
        for number, kept in given.items():
            frames[number * stride : (number + 1) * stride] = kept
        films.append(frames)
    return np.stack(films)

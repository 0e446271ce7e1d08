"""The operations: each puts a reel together, has it made, and cuts the Clips out of it.

All but `generate` and `extend` want a World that makes films, such as blocks_film.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from worldsim.clip import Clip, fitted
from worldsim.reel import (
    Reel,
    anew,
    beginning_of,
    blank,
    check_strength,
    drawn,
    end_of,
    joined,
    latents_for,
    make,
    taken,
)
from worldsim.spec import check_size
from worldsim.studio.describing import describe
from worldsim.studio.options import Options, check_rate, frames_in, repeatable, seeds_of
from worldsim.studio.provenance import Operation, clips_of
from worldsim.studio.streams import extend_stream, generate_stream
from worldsim.world import World

Picture = str | Path | np.ndarray


def generate(
    world: World,
    prompt: str | None = None,
    *,
    image: Picture | None = None,
    seconds: float = 4.0,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    actions: np.ndarray | None = None,
    **options: Unpack[Options],
) -> list[Clip]:
    """Clips from words, from a picture, or from nothing: as many as `variations`, `seconds` long.

    A World that is stepped begins from words or a picture, else from one of its start contexts; its own policy moves,
    by each variation's seed, and that is how they differ where a World shows but one thing that may come. A World that
    makes films takes words and a picture together.

    image: a file or uint8 (height, width, 3), cropped about its centre and scaled to the size; the first frame is then
    exactly that. frames: instead of seconds, 1 for a picture. size: (height, width) in pixels, multiples of 16; the
    World's own unless given. actions: for a World that is stepped, flat float32 (T - 1, A) for all, in the action
    space's units, instead of its policy's. options: see `Options`.

    ValueError for arguments that do not fit, FileNotFoundError for an image that is not there.
    """
    if frames is not None and frames < 1:
        raise ValueError(f"a clip has at least one frame, not {frames}")
    count = frames_in(seconds if frames is None else frames / world.spec.fps, world)
    size = size or world.size
    if not world.spec.film:
        if prompt is not None and image is not None:
            raise ValueError("begin from a prompt or from an image, not from both")
        return generate_stream(world, prompt, image, count, size, actions, options)
    if actions is not None:
        raise ValueError(f"the World {world.spec.name} makes films and takes no actions: try the World blocks")
    stride = world.tokenizer.config.stride
    if image is None:
        made, whole = _film(world, blank(world, latents_for(world, count), size, prompt), options)
        made = made[:, :count]
    else:
        # The picture is given as so many stills, of which one is shown.
        stills = np.repeat(fitted(image, check_size(size))[None], stride, 0)
        reel = joined(taken(world, stills, prompt), blank(world, latents_for(world, count - 1), size))
        made, whole = _film(world, reel, options)
        made = made[:, stride - 1 : stride - 1 + count]
    arguments = {"prompt": prompt, "image": image, "size": size, "frames": count}
    return _clips(world, "generate", made, whole, prompt, arguments, options)


def extend(
    world: World,
    clip: Clip,
    *,
    after: float = 0.0,
    before: float = 0.0,
    prompt: str | None = None,
    actions: np.ndarray | None = None,
    **options: Unpack[Options],
) -> list[Clip]:
    """The Clip, longer by `after` seconds at its end and by `before` at its beginning; its own frames stay bit for bit.

    A World that is stepped extends forwards only. It sees as many of the last frames as it remembers, and their actions
    where the Clip knows them; `actions` as for `generate`. A World that makes films sees half a window of frames at
    either side, and goes on by the Clip's prompt unless another is given. ValueError for a Clip whose size is no
    multiple of 16 or whose frame rate is not the World's.
    """
    if not after and not before:
        raise ValueError("by how much is the clip to become longer? Give after or before, in seconds")
    if not world.spec.film:
        if before:
            raise ValueError(
                f"the World {world.spec.name} is stepped, and cannot say what was before: use one that makes films"
            )
        if prompt is not None:
            raise ValueError(f"the World {world.spec.name} goes on as it began: a new prompt is for films")
        return extend_stream(world, clip, frames_in(after, world), actions, options)
    _check(world, clip)
    made, whole = _extended(world, clip, before, after, prompt, options)
    arguments = {"clip": clip, "after": after, "before": before, "prompt": prompt}
    return _clips(world, "extend", made, whole, _said(prompt, clip), arguments, options)


def loop(
    world: World, clip: Clip, *, seconds: float = 1.0, prompt: str | None = None, **options: Unpack[Options]
) -> list[Clip]:
    """The Clip and `seconds` more that lead from its end back to its beginning: played again and again, it goes on."""
    _check(world, clip)
    between, whole = _between(world, clip, clip, frames_in(seconds, world), prompt, options)
    made = np.concatenate([np.repeat(clip.frames[None], len(between), 0), between], 1)
    arguments = {"clip": clip, "seconds": seconds, "prompt": prompt}
    return _clips(world, "loop", made, whole, _said(prompt, clip), arguments, options)


def connect(
    world: World,
    clip: Clip,
    other: Clip,
    *,
    seconds: float = 2.0,
    prompt: str | None = None,
    **options: Unpack[Options],
) -> list[Clip]:
    """One Clip, `seconds` that lead over to the other, and the other; both are kept bit for bit.

    prompt: of what is between; unless given, the prompts of the two, the one fading into the other.
    """
    _check(world, clip, other)
    between, whole = _between(world, clip, other, frames_in(seconds, world), prompt, options)
    first, last = (np.repeat(part.frames[None], len(between), 0) for part in (clip, other))
    made = np.concatenate([first, between, last], 1)
    arguments = {"clip": clip, "other": other, "seconds": seconds, "prompt": prompt}
    return _clips(world, "connect", made, whole, _said(prompt, clip, other), arguments, options)


def blend(
    world: World,
    clip: Clip,
    other: Clip,
    *,
    strength: float = 0.7,
    prompt: str | None = None,
    **options: Unpack[Options],
) -> list[Clip]:
    """One Clip turns into the other while both go on; it begins and ends with their own frames.

    It is as long as the shorter, or up to a stride shorter.

    Between, their latents are mixed and made anew, most in the middle, there to the degree `strength` in (0, 1].
    """
    _check(world, clip, other)
    check_strength(strength)
    stride = world.tokenizer.config.stride
    count = min(len(clip), len(other)) // stride
    if count < 3:
        raise ValueError(f"clips that turn into another need {3 * stride} frames, the shorter one has {stride * count}")
    one, two = (taken(world, part.frames[: count * stride]) for part in (clip, other))
    edge = max(1, count // 6)  # what stays at either end
    share = ((torch.arange(count) - edge + 1) / (count - 2 * edge + 1)).clamp(0, 1)
    weight = share[:, None, None, None]
    reel = Reel(
        torch.lerp(one.latents, two.latents, weight),
        strength * torch.sin(torch.pi * share).where((share > 0) & (share < 1), 0),
        [_said(prompt, clip), _said(prompt, other)],
        torch.stack([1 - share, share]),
    )
    reel.given = {n: (one if share[n] == 0 else two).given[n] for n in range(count) if share[n] in (0, 1)}
    made, whole = _film(world, reel, options)
    arguments = {"clip": clip, "other": other, "strength": strength, "prompt": prompt}
    return _clips(world, "blend", made, whole, _said(prompt, clip, other), arguments, options)


def remix(world: World, clip: Clip, prompt: str, *, strength: float = 0.6, **options: Unpack[Options]) -> list[Clip]:
    """The Clip made anew by another prompt, to the degree `strength` in (0, 1]: 1 keeps nothing of it.

    See `worldsim.reel.anew`; the colours that it takes on are the same for all seeds.
    """
    _check(world, clip)
    check_strength(strength)
    stride = world.tokenizer.config.stride
    rest = -len(clip) % stride
    frames = np.concatenate([clip.frames, np.repeat(clip.frames[-1:], rest, 0)])
    reel = anew(world, frames, prompt, strength)
    made, whole = _film(world, reel, options)
    made = made[:, : len(clip)]
    return _clips(world, "remix", made, whole, prompt, {"clip": clip, "prompt": prompt, "strength": strength}, options)


def recut(
    world: World, clip: Clip, *, keep: tuple[float, float], prompt: str | None = None, **options: Unpack[Options]
) -> list[Clip]:
    """The Clip, of which only the stretch `keep` = (from, to), in seconds, stays; what was before and after is new.

    What stays is the same bit for bit. ValueError if it is empty or lies outside the Clip.
    """
    _check(world, clip)
    if not 0 <= keep[0] < keep[1] <= len(clip) / clip.fps or round(keep[0] * clip.fps) == round(keep[1] * clip.fps):
        raise ValueError(f"keep must lie within the clip's {len(clip) / clip.fps:g} s, and not be empty, got {keep}")
    first, last = (round(second * clip.fps) for second in keep)
    before, after = first / clip.fps, (len(clip) - last) / clip.fps
    if not before and not after:
        raise ValueError("all of the clip is to be kept: nothing is left to be made")
    kept = Clip(clip.frames[first:last], fps=clip.fps, prompt=clip.prompt)
    made, whole = _extended(world, kept, before, after, prompt, options)
    arguments = {"clip": clip, "keep": keep, "prompt": prompt}
    return _clips(world, "recut", made, whole, _said(prompt, clip), arguments, options)


@dataclass(frozen=True)
class Card:
    """What a storyboard says of a moment: from `at` seconds on the film is of `text`; at that time it shows `image`.

    Without a text, that of the card before stays. use: whether the image is shown, or put into words of which the film
    then is (by `describe`, which one can also ask first, to change what it says), or both. Words that are given replace
    those of the image. cut: the camera jumps here. ValueError for what these cannot be.
    """

    at: float
    text: str | None = None
    image: Picture | None = None
    cut: bool = False
    use: Literal["image", "text", "both"] = "image"

    def __post_init__(self) -> None:
        if not isinstance(self.at, int | float) or not 0 <= self.at < math.inf:
            raise ValueError(f"a card's time is a number of seconds from 0 on, not {self.at!r}")
        if self.text is not None and not isinstance(self.text, str):
            raise ValueError(f"a card's text is a string, not {self.text!r}")
        if self.use not in ("image", "text", "both"):
            raise ValueError(f"a card's use is image, text or both, not {self.use!r}")


def storyboard(
    world: World,
    cards: list[Card],
    *,
    seconds: float,
    size: tuple[int, int] | None = None,
    **options: Unpack[Options],
) -> list[Clip]:
    """A film by cards: `seconds` long, each card from its time on. A card's picture is kept bit for bit, a moment long.

    Times are rounded to the frames that the World makes as one. ValueError if there are no cards, or two at one time.
    """
    _check(world)
    size = check_size(size or world.size)
    count, stride = frames_in(seconds, world), world.tokenizer.config.stride
    reel = blank(world, latents_for(world, count), size)
    cards = sorted(cards, key=lambda card: card.at)
    numbers = [round(card.at * world.spec.fps / stride) for card in cards]
    if not cards or numbers[-1] >= len(reel.caps) or len(set(numbers)) < len(numbers):
        raise ValueError(
            f"a storyboard of {seconds:g} s needs cards at different times within it, at least "
            f"{stride / world.spec.fps:g} s apart; got {[card.at for card in cards]}"
        )
    texts: list[str | None] = [None]
    shares = torch.zeros(1 + len(cards), len(reel.caps))
    shares[0] = 1
    for number, card in zip(numbers, cards, strict=True):
        text = card.text
        if text is None and card.image is not None and card.use != "image":
            text = describe(world, card.image)
        texts.append(texts[-1] if text is None else text)
        shares[:, number:] = 0
        shares[len(texts) - 1, number:] = 1
        if card.image is not None and card.use != "text":
            still = taken(world, np.repeat(fitted(card.image, size)[None], stride, 0))
            reel.latents[number], reel.caps[number] = still.latents[0], 0
            reel.given[number] = still.given[0]
    reel.texts, reel.shares = texts, shares
    reel.cuts = [number for number, card in zip(numbers, cards, strict=True) if card.cut and number]
    made, whole = _film(world, reel, options)
    arguments = {"cards": [vars(card) for card in cards], "seconds": seconds, "size": size}
    return _clips(world, "storyboard", made[:, :count], whole, None, arguments, options)


def _between(
    world: World, clip: Clip, other: Clip, count: int, prompt: str | None, options: Options
) -> tuple[np.ndarray, bool]:
    """So many frames that lead from one Clip's end to the beginning of the other, and whether they are finished."""
    first, last = end_of(world, clip.frames), beginning_of(world, other.frames)
    new = latents_for(world, count)
    reel = joined(taken(world, first), blank(world, new, clip.size), taken(world, last))
    before, after = (len(part) // world.tokenizer.config.stride for part in (first, last))
    share = torch.cat([torch.zeros(before), torch.arange(1, new + 1) / (new + 1), torch.ones(after)])
    reel.texts, reel.shares = [_said(prompt, clip), _said(prompt, other)], torch.stack([1 - share, share])
    made, whole = _film(world, reel, options)
    made = made[:, len(first) : -len(last)]
    # What is too much, for the last latent is whole, is left out here and there: at an end it would be a jump.
    return made[:, np.linspace(0, made.shape[1] - 1, count).round().astype(int)], whole


def _extended(
    world: World, clip: Clip, before: float, after: float, prompt: str | None, options: Options
) -> tuple[np.ndarray, bool]:
    """The Clip with so many seconds more at either side, (variations, T, H, W, 3), and whether they are finished."""
    made, whole, said = np.repeat(clip.frames[None], len(seeds_of(options)), 0), True, _said(prompt, clip)
    if after:
        count, kept = frames_in(after, world), end_of(world, clip.frames)
        reel = joined(taken(world, kept, said), blank(world, latents_for(world, count), clip.size))
        new, whole = _film(world, reel, options)
        made = np.concatenate([made, new[:, len(kept) : len(kept) + count]], 1)
    if before and whole:
        count, kept = frames_in(before, world), beginning_of(world, clip.frames)
        reel = joined(blank(world, latents_for(world, count), clip.size, said), taken(world, kept))
        new, whole = _film(world, reel, options)
        made = np.concatenate([new[:, : -len(kept)][:, -count:], made], 1)
    return made, whole


def _said(prompt: str | None, *clips: Clip) -> str | None:
    """The prompt that is given, or what the Clips say of themselves, if they say the same."""
    own = {clip.prompt for clip in clips}
    return prompt if prompt is not None else own.pop() if len(own) == 1 else None


def _film(world: World, reel: Reel, options: Options) -> tuple[np.ndarray, bool]:
    """The frames of a reel, uint8 (variations, T * stride, H, W, 3), and whether they were made to the end."""
    steps, tick = options.get("num_inference_steps"), options.get("callback_on_step_end")
    newest: Tensor | None = None
    whole = True
    total = world.spec.steps if steps is None else steps
    with tqdm(total=total, desc="steps", disable=not options.get("progress", False)) as bar:

        def on_step(number: int, latents: Tensor) -> None:
            nonlocal newest
            newest = latents
            bar.update()
            if tick is not None:
                tick(number, latents)

        try:
            newest = make(
                world, reel, seeds_of(options), steps=steps, guidance_scale=options.get("guidance_scale"),
                unwanted=options.get("negative_prompt"), on_step=on_step,
            )  # fmt: skip
        except KeyboardInterrupt:
            if newest is None:  # nothing has come of it
                raise
            whole = False
            print("\nstopped: the film is kept as far as it has come out of the noise", file=sys.stderr)
    return drawn(world, newest, reel.given), whole


def _check(world: World, *clips: Clip) -> None:
    """ValueError if the World makes no films, or the Clips do not go with it or with one another."""
    if not world.spec.film:
        raise ValueError(
            f"the World {world.spec.name} is stepped, a frame after the other; this takes one that makes films, "
            "such as blocks_film"
        )
    for clip in clips:
        check_rate(clip, world)
        check_size(clip.size)
    if len({clip.size for clip in clips}) > 1:
        raise ValueError(f"the clips differ in size: {' and '.join(str(clip.size) for clip in clips)}")


def _clips(
    world: World,
    operation: Operation,
    made: np.ndarray,
    whole: bool,
    prompt: str | None,
    arguments: dict[str, Any],
    options: Options,
) -> list[Clip]:
    """The Clips of an operation; what was stopped on its way has no provenance, for it would become another film."""
    again = arguments | repeatable(options) if whole else None
    return clips_of(world, operation, made, None, seeds_of(options), prompt, again)

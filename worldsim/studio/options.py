"""What all operations of the studio take, in the words of the diffusion libraries."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypedDict

from worldsim.clip import Clip
from worldsim.world import World

Callback = Callable[[int, Any], Any]
_MOST_SECONDS = 86_400.0


class Options(TypedDict, total=False):
    """How a Clip is made, whatever is made of what.

    variations: how many Clips (1). seed: of the first, the others count up from it (0). num_inference_steps: denoising
    steps, of each frame where a World is stepped and of the film as a whole where it makes films; the World's own
    number unless given. progress: show a progress bar (no). callback_on_step_end: called after each step with its
    number and what there is by then: the new frames, uint8 (variations, H, W, 3), of a World that is stepped, and the
    latents of the whole film, float32 (variations, T, h, w, C), of one that makes films. Ctrl-C keeps what is done: the
    frames so far, or the film as far as it has come out of the noise.

    Of films only: guidance_scale: how many times as far as without its prompt a film goes (classifier-free guidance;
    the World's own unless given, 1 is none); negative_prompt: what it is to go away from.
    """

    variations: int
    seed: int
    num_inference_steps: int | None
    guidance_scale: float | None
    negative_prompt: str | None
    callback_on_step_end: Callback | None
    progress: bool


def frames_in(seconds: float, world: World) -> int:
    """How many frames that is; ValueError if it is none, or more than a day's."""
    if not seconds <= _MOST_SECONDS:
        raise ValueError(f"the duration must be at most {_MOST_SECONDS:g} s, got {seconds} s")
    if round(seconds * world.spec.fps) < 1:
        raise ValueError(f"the duration must be at least one frame, 1/{world.spec.fps} s, got {seconds} s")
    return round(seconds * world.spec.fps)


def seeds_of(options: Options) -> list[int]:
    """The seed of each variation. TypeError for an option that there is not, ValueError for one that cannot be."""
    if unknown := sorted(options.keys() - Options.__annotations__.keys()):
        known = ", ".join(Options.__annotations__)
        raise TypeError(f"the studio has no option {', '.join(unknown)}; there are {known}")
    variations, scale = int(options.get("variations", 1)), options.get("guidance_scale")
    if variations < 1:
        raise ValueError(f"variations must be at least 1, got {variations}")
    if scale is not None and not 0 < scale < math.inf:
        raise ValueError(f"guidance_scale must be above 0 and finite, got {scale}")
    if options.get("negative_prompt") and scale == 1:
        raise ValueError("a negative prompt is what guidance leads away from: give a guidance_scale other than 1")
    return [int(options.get("seed", 0)) + number for number in range(variations)]


def repeatable(options: Options) -> dict[str, Any]:
    """Those options that decide what is made, beside the seed."""
    names = ("num_inference_steps", "guidance_scale", "negative_prompt")
    return {name: value for name, value in options.items() if name in names and value is not None}


def check_rate(clip: Clip, world: World) -> None:
    """ValueError if a Clip's frame rate is not the World's."""
    fps = world.spec.fps
    if clip.fps != fps:
        raise ValueError(
            f"the clip has {clip.fps} frames a second and the World {fps}: change its rate first, for example by "
            f"ffmpeg -i IN -r {fps} OUT"
        )

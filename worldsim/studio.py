"""The studio: Clips that a World makes, from words, from a picture, from a start of its own; and Clips that go on.

All of it streams: a Simulation is stepped, a frame after the other. What has to look back from a future that is given
(to begin earlier, to loop, to connect) is not here: no World was trained for it yet.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from tqdm import tqdm

from worldsim.clip import Clip, fitted
from worldsim.simulation import Simulation
from worldsim.video import MARK
from worldsim.world import WORLDS, World, load

Callback = Callable[[int, np.ndarray], Any]
_MOST_SECONDS = 86_400.0


class Provenance(BaseModel):
    """How a Clip was made; with its actions, which stand beside this, it can be made again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    operation: Literal["generate", "extend"]
    world: str
    digest: str
    dtype: str
    seed: int
    num_inference_steps: int | None
    prompt: str | None = None
    image: str | None = None
    size: tuple[int, int] | None = None
    clip: str | None = None


def generate(
    world: World,
    prompt: str | None = None,
    *,
    image: str | Path | np.ndarray | None = None,
    seconds: float = 4.0,
    size: tuple[int, int] | None = None,
    variations: int = 1,
    seed: int = 0,
    num_inference_steps: int | None = None,
    actions: np.ndarray | None = None,
    callback_on_step_end: Callback | None = None,
    progress: bool = False,
) -> list[Clip]:
    """As many Clips as `variations`, `seconds` long, that begin from words, a picture, or a start of the World's own.

    image: a file or uint8 (height, width, 3), cropped about its centre and scaled to the size; the first frame is then
    exactly that. size: (height, width) in pixels, multiples of 16; the World's own unless given. seed: of the first
    variation; the others count up from it. num_inference_steps: denoising steps a frame, the World's own number unless
    given. actions: flat float32 (T - 1, A) for all, in the action space's units; unless given, the World's own policy
    moves, by each variation's seed, and that is how they differ where a World shows but one thing that may come.
    callback_on_step_end(frame number, frames uint8 (variations, H, W, 3)): called after each frame. progress: show a
    progress bar. Ctrl-C ends the Clips where they are.

    ValueError for arguments that do not fit, FileNotFoundError for an image that is not there.
    """
    if prompt is not None and image is not None:
        raise ValueError("begin from a prompt or from an image, not from both")
    count, seeds = _frames(seconds, world), _seeds(seed, variations)
    size = size or world.size
    context = None if image is None else fitted(image, size)[None]
    run = world.start(variations, seeds, prompt=prompt, context=context, size=size, steps=num_inference_steps)
    frames, taken = _film(run, count - 1, actions, callback_on_step_end, progress)
    again = None
    if not isinstance(image, np.ndarray):
        again = {"prompt": prompt, "image": image and str(Path(image).resolve()), "size": size}
    return _clips(world, "generate", frames, taken, seeds, num_inference_steps, prompt, again)


def extend(
    world: World,
    clip: Clip,
    *,
    after: float,
    variations: int = 1,
    seed: int = 0,
    num_inference_steps: int | None = None,
    actions: np.ndarray | None = None,
    callback_on_step_end: Callback | None = None,
    progress: bool = False,
) -> list[Clip]:
    """The Clip, made longer by `after` seconds, as many ways as `variations`; its own frames are kept bit for bit.

    The World sees as many of its last frames as it remembers, and their actions where the Clip knows them. Arguments
    as for `generate`. ValueError for a Clip whose size is no multiple of 16 or whose frame rate is not the World's.
    """
    fps, dim = world.spec.fps, world.spec.action_dim
    if clip.fps != fps:
        raise ValueError(
            f"the clip has {clip.fps} frames a second and the World {fps}: change its rate first, for example by "
            f"ffmpeg -i IN -r {fps} OUT"
        )
    count, seeds = _frames(after, world), _seeds(seed, variations)
    known = clip.actions is not None and clip.actions.shape[1] == dim
    before = clip.actions if known else np.full((len(clip) - 1, dim), np.nan, np.float32)
    run = world.start(variations, seeds, context=clip.frames, actions=before, steps=num_inference_steps)
    frames, taken = _film(run, count, actions, callback_on_step_end, progress)
    frames = np.concatenate([np.repeat(clip.frames[None, :-1], variations, 0), frames], 1)
    taken = np.concatenate([np.repeat(np.asarray(before)[None], variations, 0), taken], 1)
    again = None if clip.path is None else {"clip": str(Path(clip.path).resolve())}
    return _clips(world, "extend", frames, taken, seeds, num_inference_steps, clip.prompt, again)


def replay(path: str | Path, world: World | None = None, progress: bool = False) -> Clip:
    """Make a Clip again, by the JSON file that `Clip.save` wrote beside it.

    world: that World; loaded unless given. On the same machine and device the frames are the same. ValueError for a
    file of another kind, or if the World has changed since.
    """
    path = Path(path)
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        made, actions = Provenance.model_validate(said[MARK]), np.array(said["actions"], np.float32)
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise ValueError(f"{path} does not say how a clip was made ({error!r}): give the JSON beside one") from None
    if actions.ndim != 2 or not len(actions):
        raise ValueError(f"{path} does not say by which actions the clip was made")
    world = world or load(made.world, dtype=made.dtype)
    if world.digest != made.digest:
        raise ValueError(f"the World {made.world} is another one now than when {path} was written")
    same: dict[str, Any] = {
        "seed": made.seed, "num_inference_steps": made.num_inference_steps, "progress": progress,
    }  # fmt: skip
    if made.operation == "generate":
        seconds = (len(actions) + 1) / world.spec.fps
        return generate(world, made.prompt, image=made.image, size=made.size, seconds=seconds, actions=actions, **same)[
            0
        ]
    begun = Clip.load(made.clip or "")
    actions = actions[len(begun) - 1 :]
    return extend(world, begun, after=len(actions) / world.spec.fps, actions=actions, **same)[0]


def _frames(seconds: float, world: World) -> int:
    """How many frames that is; ValueError if it is none, or more than a day's."""
    if not seconds <= _MOST_SECONDS:
        raise ValueError(f"the duration must be at most {_MOST_SECONDS:g} s, got {seconds} s")
    if round(seconds * world.spec.fps) < 1:
        raise ValueError(f"the duration must be at least one frame, 1/{world.spec.fps} s, got {seconds} s")
    return round(seconds * world.spec.fps)


def _seeds(seed: int, variations: int) -> list[int]:
    if variations < 1:
        raise ValueError(f"variations must be at least 1, got {variations}")
    return [seed + number for number in range(variations)]


def _film(
    run: Simulation, steps: int, actions: np.ndarray | None, tick: Callback | None, progress: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The present and what follows, uint8 (lanes, T, H, W, 3), and the actions (lanes, T - 1, A) that led on."""
    dim = run.world.spec.action_dim
    if actions is not None and (np.shape(actions) != (steps, dim) or not np.isfinite(actions).all()):
        raise ValueError(f"{steps} steps need actions of shape ({steps}, {dim}), all finite, got {np.shape(actions)}")
    frames, taken = [run.frames.cpu().numpy()], [np.zeros((run.lanes, 0, dim), np.float32)]
    try:
        for step in tqdm(range(steps), "frames", disable=not progress):
            flat = run.policy_actions() if actions is None else torch.as_tensor(actions[step]).expand(run.lanes, -1)
            made = run.step(flat).frames.cpu().numpy()
            frames.append(made)
            taken.append(flat.float().cpu().numpy()[:, None])
            if tick is not None:
                tick(step + 1, made)
    except KeyboardInterrupt:
        print(f"\nstopped: {len(frames)} of {steps + 1} frames are kept", file=sys.stderr)
    whole = min(len(frames), len(taken))  # Ctrl-C may come between the two
    return np.stack(frames[:whole], 1), np.concatenate(taken[:whole], 1)


def _clips(
    world: World, operation: Literal["generate", "extend"], frames: np.ndarray, taken: np.ndarray, seeds: list[int],
    steps: int | None, prompt: str | None, again: dict[str, Any] | None,
) -> list[Clip]:  # fmt: skip
    """A Clip of each lane. again: what else makes it again; None if it came from what is in no file."""
    clips = []
    for lane, seed in enumerate(seeds):
        made = None
        if again is not None and world.path is not None and world.digest is not None:
            name = world.path.name if world.path.parent == WORLDS else str(world.path)
            made = Provenance(
                operation=operation, world=name, digest=world.digest, dtype=str(world.dtype).removeprefix("torch."),
                seed=seed, num_inference_steps=steps, **again,
            ).model_dump(mode="json")  # fmt: skip
        clips.append(
            Clip(
                frames[lane], taken[lane], world.spec.fps, prompt=prompt, seed=seed, world=world.spec.name,
                provenance=made,
            )
        )  # fmt: skip
    return clips

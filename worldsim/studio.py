"""The studio: Clips that a World makes, from words, from a picture, from a start of its own; and Clips that go on.

All of it streams: a Simulation is stepped, a frame after the other, so a Clip may be of any length. What has to look
back from a future that is given (to begin earlier, to loop, to connect) is not here: no World was trained for it yet.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from worldsim.clip import Clip, fitted
from worldsim.simulation import Simulation
from worldsim.world import WORLDS, World, load

Callback = Callable[[int, np.ndarray], Any]


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
    show: bool = False,
) -> list[Clip]:
    """As many Clips as `variations`, `seconds` long, that begin from words, a picture, or a start of the World's own.

    image: a file or uint8 (height, width, 3), cropped about its centre and scaled to the size; the first frame is then
    exactly that. size: (height, width) in pixels, multiples of 16; the World's own unless given. seed: of the first
    variation; the others count up from it. num_inference_steps: denoising steps a frame, the World's own number unless
    given. actions: flat float32 (T - 1, A) for all, in the action space's units; unless given, the World's own policy
    moves, by each variation's seed, and that is how they differ where a World shows but one thing that may come.
    callback_on_step_end(frame number, frames uint8 (variations, H, W, 3)): called after each frame. show: a progress
    bar. Ctrl-C ends the Clips where they are.

    ValueError for arguments that do not fit, FileNotFoundError for an image that is not there.
    """
    if prompt is not None and image is not None:
        raise ValueError("begin from a prompt or from an image, not from both")
    if variations < 1:
        raise ValueError(f"variations must be at least 1, got {variations}")
    count = _frames(seconds, world)
    context = None if image is None else fitted(image, size or world.size)[None]
    seeds = [seed + number for number in range(variations)]
    run = world.start(
        variations, seeds, prompt=prompt, context=context, size=size or world.size, steps=num_inference_steps
    )
    frames, taken = _film(run, count - 1, actions, callback_on_step_end, show)
    again = None
    if not isinstance(image, np.ndarray):
        again = {"prompt": prompt, "image": None if image is None else str(image), "seconds": seconds, "size": size}
    return _clips(world, "generate", frames, taken, seeds, num_inference_steps, prompt, actions, again)


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
    show: bool = False,
) -> list[Clip]:
    """The Clip, made longer by `after` seconds, as many ways as `variations`; its own frames are kept bit for bit.

    The World sees as many of its last frames as it remembers, and their actions where the Clip knows them. Arguments
    as for `generate`. ValueError for a Clip whose size is no multiple of 16 or whose frame rate is not the World's.
    """
    if clip.fps != world.spec.fps:
        raise ValueError(
            f"the clip has {clip.fps} frames a second and the World {world.spec.fps}: change its rate first"
        )
    if variations < 1:
        raise ValueError(f"variations must be at least 1, got {variations}")
    count = _frames(after, world)
    before = clip.actions
    if before is None or before.shape[1] != world.spec.action_dim:
        before = np.full((len(clip) - 1, world.spec.action_dim), np.nan, np.float32)  # not known
    seeds = [seed + number for number in range(variations)]
    run = world.start(variations, seeds, context=clip.frames, actions=before, steps=num_inference_steps)
    frames, taken = _film(run, count, actions, callback_on_step_end, show)
    kept = np.repeat(clip.frames[None, :-1], variations, 0)
    frames = np.concatenate([kept, frames], 1)
    taken = np.concatenate([np.repeat(before[None], variations, 0), taken], 1)
    again = None if clip.path is None else {"clip": clip.path, "after": after}
    return _clips(world, "extend", frames, taken, seeds, num_inference_steps, clip.prompt, actions, again)


def replay(path: str | Path, world: World | None = None, show: bool = False) -> Clip:
    """Make a Clip again by the JSON file that `Clip.save` wrote beside it.

    world: that World; loaded unless given. The frames are the same on the same machine with the same World (and number
    format: what `load` takes by itself may differ from day to day). ValueError for a file of another kind, or if the
    World's weights have changed since.
    """
    path = Path(path)
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
        operation, asked = made["operation"], dict(made["arguments"])
        name, weights, dtype = made["world"], made["weights"], made["dtype"]
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} does not say how a clip was made ({error!r}): give the JSON beside one") from None
    world = world or load(name, dtype=dtype)
    if world.path is None or _digest(world.path) != weights:
        raise ValueError(f"the World {name} has other weights now than when {path} was written")
    if asked.get("actions") is not None:
        asked["actions"] = np.array(asked["actions"], np.float32)
    if operation == "extend":
        return extend(world, Clip.load(asked.pop("clip")), show=show, **asked)[0]
    asked["size"] = asked["size"] and tuple(asked["size"])
    return generate(world, asked.pop("prompt"), show=show, **asked)[0]


def _frames(seconds: float, world: World) -> int:
    """How many frames that is; ValueError if it is none."""
    if not 0 < seconds < 1e6 or round(seconds * world.spec.fps) < 1:
        raise ValueError(f"the duration must be at least one frame, 1/{world.spec.fps} s, got {seconds} s")
    return round(seconds * world.spec.fps)


def _film(
    run: Simulation, steps: int, actions: np.ndarray | None, tick: Callback | None, show: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The present and what follows, uint8 (lanes, T, H, W, 3), and the actions (lanes, T - 1, A) that led on."""
    if actions is not None and np.shape(actions) != (steps, run.world.spec.action_dim):
        raise ValueError(
            f"{steps} steps need actions of shape ({steps}, {run.world.spec.action_dim}), got {np.shape(actions)}"
        )
    frames, taken = [run.frames.cpu().numpy()], []
    try:
        for step in tqdm(range(steps), "frames", disable=not show):
            flat = run.policy_actions() if actions is None else torch.tensor(actions[step]).expand(run.lanes, -1)
            result = run.step(flat)
            frames.append(result.frames.cpu().numpy())
            taken.append(flat.float().cpu().numpy())
            if tick is not None:
                tick(step + 1, frames[-1])
    except KeyboardInterrupt:
        print(f"\nstopped: {len(frames)} of {steps + 1} frames are kept", file=sys.stderr)
        frames, taken = frames[: len(taken) + 1], taken[: len(frames) - 1]
    none = np.zeros((run.lanes, 0, run.world.spec.action_dim), np.float32)
    return np.stack(frames, 1), np.stack(taken, 1) if taken else none


def _clips(
    world: World, operation: str, frames: np.ndarray, taken: np.ndarray, seeds: list[int], steps: int | None,
    prompt: str | None, actions: np.ndarray | None, again: dict[str, Any] | None,
) -> list[Clip]:  # fmt: skip
    """A Clip of each lane. again: further arguments that make it again, None if it came from what is in no file."""
    clips = []
    for lane, seed in enumerate(seeds):
        made = None
        if again is not None and world.path is not None:
            arguments = again | {"seed": seed, "num_inference_steps": steps}
            arguments["actions"] = None if actions is None else np.asarray(actions).tolist()
            name = world.path.name if world.path.parent == WORLDS else str(world.path)
            made = {
                "operation": operation, "arguments": arguments, "world": name, "weights": _digest(world.path),
                "dtype": str(world.dtype).removeprefix("torch."),
            }  # fmt: skip
        known = taken[lane] if np.isfinite(taken[lane]).all() else None
        clips.append(
            Clip(frames[lane], known, world.spec.fps, prompt=prompt, seed=seed, world=world.spec.name, made=made)
        )
    return clips


def _digest(world: Path) -> str:
    """What the weights in a World's directory are known by."""
    with (world / "weights.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]

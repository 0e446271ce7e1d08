"""Clips of a World that is stepped: a Simulation makes one frame after the other, as long as one likes."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from worldsim.clip import Clip, fitted
from worldsim.simulation import Simulation
from worldsim.studio.options import Options, check_rate, repeatable, seeds_of
from worldsim.studio.provenance import clips_of
from worldsim.world import World


def generate_stream(
    world: World,
    prompt: str | None,
    image: Any,
    frames: int,
    size: tuple[int, int],
    actions: np.ndarray | None,
    options: Options,
) -> list[Clip]:
    """See `worldsim.studio.generate`."""
    seeds = seeds_of(options)
    context = None if image is None else fitted(image, size)[None]
    steps = _steps(options)
    run = world.start(len(seeds), seeds, prompt=prompt, context=context, size=size, steps=steps)
    made, taken = _step(run, frames - 1, actions, options)
    arguments = {"prompt": prompt, "image": image, "size": size, "frames": made.shape[1], **repeatable(options)}
    return clips_of(world, "generate", made, taken, seeds, prompt, arguments)


def extend_stream(world: World, clip: Clip, frames: int, actions: np.ndarray | None, options: Options) -> list[Clip]:
    """See `worldsim.studio.extend`."""
    check_rate(clip, world)
    seeds, dim = seeds_of(options), world.spec.action_dim
    known = clip.actions is not None and clip.actions.shape[1] == dim
    before = clip.actions if known else np.full((len(clip) - 1, dim), np.nan, np.float32)
    run = world.start(len(seeds), seeds, context=clip.frames, actions=before, steps=_steps(options))
    made, taken = _step(run, frames, actions, options)
    made = np.concatenate([np.repeat(clip.frames[None, :-1], len(seeds), 0), made], 1)
    taken = np.concatenate([np.repeat(np.asarray(before)[None], len(seeds), 0), taken], 1)
    after = (made.shape[1] - len(clip)) / world.spec.fps
    arguments = {"clip": clip, "after": after, **repeatable(options)}
    return clips_of(world, "extend", made, taken, seeds, clip.prompt, arguments)


def _steps(options: Options) -> int | None:
    """Denoising steps a frame; ValueError for options that only films have."""
    for name in ("guidance_scale", "negative_prompt"):
        if options.get(name) is not None:
            raise ValueError(f"{name} is for Worlds that make films, such as blocks_film")
    return options.get("num_inference_steps")


def _step(run: Simulation, steps: int, actions: np.ndarray | None, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """The present and what follows, uint8 (lanes, T, H, W, 3), and the actions (lanes, T - 1, A) that led on."""
    dim, tick = run.world.spec.action_dim, options.get("callback_on_step_end")
    if actions is not None and (np.shape(actions) != (steps, dim) or not np.isfinite(actions).all()):
        raise ValueError(f"{steps} steps need actions of shape ({steps}, {dim}), all finite, got {np.shape(actions)}")
    frames, taken = [run.frames.cpu().numpy()], [np.zeros((run.lanes, 0, dim), np.float32)]
    try:
        for step in tqdm(range(steps), "frames", disable=not options.get("progress", False)):
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

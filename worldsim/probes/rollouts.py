"""What a World shows beside the truth: by the true actions, by none, and one step on from every true frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.probes.heldout import Stretch, idle_flat
from worldsim.simulation import Simulation
from worldsim.world import World

STEPS = 64  # frames predicted in a row without the true actions, and by them unless the stretch is longer
POSITIONS = 16  # true frames from which one step is taken


@dataclass(frozen=True)
class Rollouts:
    """Frames of a World, uint8 (lanes, T, H, W, 3).

    acted: by the true actions; idled: by idle ones, T = STEPS + 1. Entry t is t steps after the context, entry 0 the
    last frame of the context. next_acted, next_idled, T = POSITIONS: one step from the true frame;
    entry t is t + 1 steps after the context. next_coded: the truth of these through the tokenizer and back.
    """

    acted: np.ndarray
    idled: np.ndarray
    next_acted: np.ndarray
    next_idled: np.ndarray
    next_coded: np.ndarray


def roll(world: World, truth: Stretch, tick: Callable[[int], Any]) -> Rollouts:
    """Run the World on the lanes of `truth`, which has STEPS steps or more; tick is told of frames as they are made."""
    run = truth.start(world)
    begin = run.snapshot()
    first = [run.frames.cpu().numpy()]
    acted = first + _frames(run, [truth.taken(step) for step in range(1, truth.steps + 1)], tick)
    run.restore(begin)
    idled = first + _frames(run, [idle_flat(world.spec, truth.taken(0))] * STEPS, tick)
    run.restore(begin)
    next_acted, next_idled, next_coded = [], [], []
    for step in range(1, POSITIONS + 1):
        here = run.snapshot()
        next_idled += _frames(run, [idle_flat(world.spec, truth.taken(step - 1))], tick)
        run.restore(here)
        next_acted += _frames(run, [truth.taken(step)], tick)
        run.set_frames(truth.after(step))  # the next step starts from what was true
        next_coded.append(_decode(world, run.latents))
    return Rollouts(*(np.stack(part, 1) for part in (acted, idled, next_acted, next_idled, next_coded)))


def _frames(run: Simulation, actions: list[np.ndarray], tick: Callable[[int], Any]) -> list[np.ndarray]:
    frames: list[np.ndarray] = []
    for flat in actions:
        frames.append(run.step(flat).frames.cpu().numpy())
        tick(run.lanes)
    return frames


def frames_made(steps: int) -> int:
    """How many frames `roll` makes for a lane with `steps` steps."""
    return steps + STEPS + 2 * POSITIONS


def coded(world: World, frames: np.ndarray) -> np.ndarray:
    """Frames uint8 (lanes, H, W, 3) through the tokenizer and back: the best that latents alone can tell."""
    return _decode(world, _encode(world, frames))


@torch.inference_mode()
def _encode(world: World, frames: np.ndarray) -> Tensor:
    return world.tokenizer.encode(torch.from_numpy(frames).to(world.device))


@torch.inference_mode()
def _decode(world: World, latents: Tensor) -> np.ndarray:
    return world.tokenizer.decode_uint8(latents).cpu().numpy()


def psnr(frames: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Peak signal to noise ratio in dB, float64 (...), of frames uint8 (..., H, W, 3) over height, width and channels.

    Equal frames have 58.9 dB, that of the error of rounding to whole numbers.
    """
    squared = (frames.astype(np.float32) - truth.astype(np.float32)) ** 2
    return -10 * np.log10(np.maximum(squared.mean((-3, -2, -1), dtype=np.float64), 1 / 12) / 255**2)

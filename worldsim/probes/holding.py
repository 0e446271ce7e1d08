"""What stays when the player does nothing, and when the player looks away and back. For Worlds of the block world."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldsim.probes.intervals import mean_interval
from worldsim.probes.places import Action, StandingTwin
from worldsim.probes.rollouts import psnr
from worldsim.probes.walking import change

STILL = 200  # steps of doing nothing
_STILL = 0.0005  # a change below this share of white is as good as none: nothing moves but a cloud
ANGLES = (50, 90, 180)  # degrees to the right, and back
RATE = 10  # degrees a tick, the most that the camera takes
_TURNED = 6.0  # dB that the picture may be more like the start than the truth is, and still have turned away


def holding(twin: StandingTwin) -> dict[str, Any]:
    """Stand still for STILL steps, then turn away by each of ANGLES and back; returns figures by place.

    change_world, change_truth: mean absolute change of brightness a step; change: their ratio, all places together;
    change_still: that of the World in grey levels of 255, where the simulator's is below _STILL. psnr: of the World's
    last frame against the simulator's.
    away: for each angle the PSNR against the start of the left half of the picture, all of which was out of sight (the
    view is 96 degrees wide): after the return, and after as many steps of doing nothing ("idle"); of the World and of
    the simulator. returned: the first, of the World; loss: the second minus the first. within: the start is still in
    the World's context.
    """
    truth, shown = twin.play([{}] * STILL)
    away = []
    for angle in ANGLES:
        ticks = angle // RATE
        there: Action = {"camera": (RATE, 0)}
        back: Action = {"camera": (-RATE, 0)}
        true, returned = twin.play([there] * ticks + [back] * ticks)
        world, world_idle = same_left(returned, -1), same_left(shown, 2 * ticks)
        away.append(
            {
                "degrees": angle,
                "steps": 2 * ticks,
                "within": 2 * ticks <= twin.world.spec.context_length,
                "world": world.tolist(),
                "world_idle": world_idle.tolist(),
                "truth": same_left(true, -1).tolist(),
                "truth_idle": same_left(truth, 2 * ticks).tolist(),
                "returned": mean_interval(world),
                "loss": mean_interval(world_idle - world),
            }
        )
    change_world, change_truth = change(shown).mean(1), change(truth).mean(1)
    return {
        "steps": STILL,
        "change_world": change_world.tolist(),
        "change_truth": change_truth.tolist(),
        "change": float(change_world.sum() / max(change_truth.sum(), 1e-9)),
        "change_still": mean_interval(255 * change_world[change_truth < _STILL]),
        "psnr": mean_interval(psnr(shown[:, -1], truth[:, -1])),
        "away": away,
    }


def same_left(frames: np.ndarray, step: int) -> np.ndarray:
    """PSNR (places,) of the left half of frames (places, T, H, W, 3) at a step against that at the first."""
    half = frames.shape[3] // 2
    return psnr(frames[:, step, :, :half], frames[:, 0, :, :half])


def turned_away(shown: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Whether frames (places, H, W, 3) show another place than the start, bool (places,), about as much as truth does.

    truth: the simulator's frames at the start and then, (places, 2, H, W, 3).
    """
    return psnr(shown, truth[:, 0]) < psnr(truth[:, 1], truth[:, 0]) + _TURNED


def frames_made(places: int) -> int:
    """How many frames of the World `holding` makes."""
    return places * (STILL + 2 * sum(angle // RATE for angle in ANGLES))

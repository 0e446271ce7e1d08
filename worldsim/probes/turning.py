"""Does the camera action turn the picture by that many degrees? For Worlds of the block world.

From held-out places where the player stands still, a World is given a constant turn, and the angle between each two
frames is read off the pictures. The same is read off the simulator's frames: steps where that misses the true angle
(a view of blank sky or of a plain wall) decide nothing, and are left out for the World too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from worldsim.probes.places import Action, StandingTwin
from worldsim.probes.rotation import Axis, measured_turns

RATES = (-8.0, -4.0, -2.0, 2.0, 4.0, 8.0)  # degrees a tick
TICKS = 8
AXES: tuple[Axis, Axis] = ("yaw", "pitch")
_READ = (0.1, 0.15)  # the truth is read right within this share of the angle, and this many degrees besides


def turning(twin: StandingTwin, earlier: dict[str, Any] | None = None) -> dict[str, Any]:
    """Turn the simulator and the World alike and compare; returns raw angles and their summary, by axis.

    earlier: what this returned at the same places, whose true angles need not be read again; ValueError if at others.
    """
    pitch = np.array([place.pitch for place in twin.starts])
    report: dict[str, Any] = {"rates": list(RATES), "ticks": TICKS, "seeds": [place.seed for place in twin.starts]}
    if earlier is not None and earlier["seeds"] != report["seeds"]:
        raise ValueError("these are other places than those of the earlier report")
    for axis in AXES:
        angles: dict[str, list[np.ndarray]] = {"truth": [], "world": []}
        for rate in RATES:
            camera = (rate, 0.0) if axis == "yaw" else (0.0, rate)
            tilts = pitch[:, None] + np.arange(TICKS) * camera[1]
            steps: list[Action] = [{"camera": camera}] * TICKS
            films = {"world": twin.shown(steps)} | ({"truth": twin.truth(steps)} if earlier is None else {})
            for name, frames in films.items():
                before, after = (part.reshape(-1, *part.shape[2:]) for part in (frames[:, :-1], frames[:, 1:]))
                turned = measured_turns(before, after, tilts.reshape(-1), axis)
                angles[name].append(turned.reshape(-1, TICKS))
        # (rates, places, ticks)
        truth = np.stack(angles["truth"]) if earlier is None else np.array(earlier[axis]["truth"])
        learned = np.stack(angles["world"])
        report[axis] = summary(truth, learned) | {"truth": truth.tolist(), "world": learned.tolist()}
    return report


def frames_made(count: int) -> int:
    """How many frames of the World `turning` makes at `count` places."""
    return len(AXES) * len(RATES) * TICKS * count


def read_right(truth: np.ndarray, commanded: np.ndarray) -> np.ndarray:
    """Where the simulator's own turn is read off its frames as it was commanded, bool."""
    return np.abs(truth - commanded) < _READ[0] * np.abs(commanded) + _READ[1]


def summary(truth: np.ndarray, learned: np.ndarray) -> dict[str, Any]:
    """Gains (measured angle by commanded angle) from angles (rates, places, ticks)."""
    commanded = np.broadcast_to(np.array(RATES)[:, None, None], truth.shape)
    readable = read_right(truth, commanded)
    true, turned = (np.where(readable, x, np.nan) for x in (truth, learned))
    wanted = np.where(readable, commanded, np.nan)
    whole, whole_wanted = np.nansum(turned, 2), np.nansum(wanted, 2)  # of each turn, over its readable ticks
    some = whole_wanted != 0
    return {
        "readable": float(readable.mean()),
        "truth_gain": float(np.nansum(true * wanted) / np.nansum(wanted**2)),
        "gain": float(np.nansum(turned * wanted) / np.nansum(wanted**2)),
        "gain_by_rate": [float(x) for x in np.nansum(turned, (1, 2)) / np.nansum(wanted, (1, 2))],
        "error_per_tick": float(np.nanmean(np.abs(turned / wanted - 1))),
        "error_per_turn": float(np.abs(whole[some] / whole_wanted[some] - 1).mean()),
    }

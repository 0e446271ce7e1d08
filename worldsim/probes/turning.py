"""Does the camera action turn the picture by that many degrees? For Worlds of the block world.

From held-out places where the player stands still, a World is given a constant turn, and the angle between each two
frames is read off the pictures. The same is read off the simulator's frames: steps where that misses the true angle
(a view of blank sky or of a plain wall) decide nothing, and are left out for the World too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim.probes.heldout import CONTEXT, Stretch, idle, wander
from worldsim.probes.rotation import Axis, measured_turns
from worldsim.spec import WorldSpec
from worldsim.world import World

SIMULATOR = "worldsim/BlocksSim-v0"
RATES = (-8.0, -4.0, -2.0, 2.0, 4.0, 8.0)  # degrees a tick
TICKS = 8
AXES: tuple[Axis, Axis] = ("yaw", "pitch")
_SETTLE = 30  # ticks within which the player must have come to rest
_TRIES = 50  # seeds that are tried for each place that is wanted
_LEVEL = 20.0  # degrees of pitch from which no turn ends at the zenith or the nadir
_READ = (0.1, 0.15)  # the truth is read right within this share of the angle, and this many degrees besides


@dataclass(frozen=True)
class Standing:
    """A place where the player stands still: context frames and actions, the simulator's state, pitch, last action."""

    frames: np.ndarray  # uint8 (CONTEXT, H, W, 3)
    actions: np.ndarray  # float32 (CONTEXT - 1, A)
    snapshot: Any
    pitch: float
    last: Any
    seed: int


def standing_places(env: gym.Env, spec: WorldSpec, seed: int, count: int) -> list[Standing]:
    """The first `count` places from `seed` on where the player comes to rest, on dry ground and looking about level.

    ValueError if there are too few.
    """
    places: list[Standing] = []
    for tried in range(seed, seed + _TRIES * count):
        if len(places) == count:
            break
        place = _come_to_rest(env, spec, tried)
        places += [place] if place else []
    if len(places) < count:
        raise ValueError(
            f"only {len(places)} of {count} places to turn at were found from seed {seed} on: in {_TRIES * count} "
            "tries the player hardly ever came to rest on dry ground, looking about level; choose another seed"
        )
    return places


def _come_to_rest(env: gym.Env, spec: WorldSpec, seed: int) -> Standing | None:
    frame, action, info = next(wander(env, seed))
    action = idle(env.action_space, action)
    ticks = 0
    while np.abs(info["velocity"]).max() > 1e-6 or not info["on_ground"]:
        if ticks == _SETTLE:
            return None
        frame, _, _, _, info = env.step(action)
        ticks += 1
    if info["in_water"] or abs(info["pose"][4]) > _LEVEL:
        return None
    frames = [frame]
    for _ in range(CONTEXT - 1):
        frames.append(env.step(action)[0])
    actions = np.repeat(spec.flatten(action)[None], CONTEXT - 1, 0)
    snapshot = env.unwrapped.snapshot()  # type: ignore[attr-defined]
    return Standing(np.stack(frames), actions, snapshot, float(info["pose"][4]), action, seed)


def turning(world: World, env: gym.Env, seed: int, count: int, tick: Callable[[int], Any]) -> dict[str, Any]:
    """Turn the simulator and the World alike and compare; returns raw angles and their summary, by axis.

    env: the World's simulator, BlocksSim. count: how many places. tick: told of frames as they are made.
    """
    places = standing_places(env, world.spec, seed, count)
    stretch = Stretch(
        np.stack([place.frames for place in places]),
        np.stack([place.actions for place in places]),
        [place.seed for place in places],
    )
    run = stretch.start(world)
    begin = run.snapshot()
    pitch = np.array([place.pitch for place in places])
    report: dict[str, Any] = {"rates": list(RATES), "ticks": TICKS, "seeds": stretch.seeds}
    for axis in AXES:
        angles: dict[str, list[np.ndarray]] = {"truth": [], "world": []}
        for rate in RATES:
            camera = np.array([rate, 0.0] if axis == "yaw" else [0.0, rate], np.float32)
            actions = [{**place.last, "camera": camera} for place in places]
            true = np.stack([_turn(env, place, action) for place, action in zip(places, actions, strict=True)], 1)
            flat = np.stack([world.spec.flatten(action) for action in actions])
            run.restore(begin)
            shown = np.stack([run.frames.cpu().numpy(), *(run.step(flat).frames.cpu().numpy() for _ in range(TICKS))])
            tilts = pitch + (np.arange(TICKS)[:, None] * rate if axis == "pitch" else np.zeros((TICKS, 1)))
            for name, frames in (("truth", true), ("world", shown)):
                before, after = (part.reshape(-1, *part.shape[2:]) for part in (frames[:-1], frames[1:]))
                turned = measured_turns(before, after, tilts.reshape(-1), axis)
                angles[name].append(turned.reshape(TICKS, -1).T)
            tick(TICKS * len(places))
        truth, learned = (np.stack(angles[name]) for name in ("truth", "world"))  # (rates, places, ticks)
        report[axis] = summary(truth, learned) | {"truth": truth.tolist(), "world": learned.tolist()}
    return report


def frames_made(count: int) -> int:
    """How many frames of the World `turning` makes at `count` places."""
    return len(AXES) * len(RATES) * TICKS * count


def _turn(env: gym.Env, place: Standing, action: Any) -> np.ndarray:
    """The simulator's frames of one turn, uint8 (TICKS + 1, H, W, 3)."""
    first = env.unwrapped.restore(place.snapshot)  # type: ignore[attr-defined]
    return np.stack([first, *(env.step(action)[0] for _ in range(TICKS))])


def summary(truth: np.ndarray, learned: np.ndarray) -> dict[str, Any]:
    """Gains (measured angle by commanded angle) from angles (rates, places, ticks)."""
    commanded = np.broadcast_to(np.array(RATES)[:, None, None], truth.shape)
    readable = np.abs(truth - commanded) < _READ[0] * np.abs(commanded) + _READ[1]
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

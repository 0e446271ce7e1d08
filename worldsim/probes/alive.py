"""Are the animals and the weather still there, and moving, after seconds of looking on? For Worlds of the block world.

The simulator shows each place twice: as it is, and as it would be without the animals, or under a clear sky. A World is
started from both, so what is different between its two pictures is what it makes of the animals, or of the weather; no
detector is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import gymnasium as gym
import numpy as np

from worldsim.probes.edits import towards
from worldsim.probes.heldout import CONTEXT
from worldsim.probes.intervals import mean_interval
from worldsim.probes.places import Standing, standing_places
from worldsim.probes.twin import Twin
from worldsim.probes.walking import change
from worldsim.world import World

STEPS = 100
LANES = 8  # places of each kind
_LOOKED_AT = 12  # places that are looked at for each that is wanted
_VISIBLE = 40  # difference in one channel, of 255, from which on a pixel shows an animal
_LAST = 10  # steps whose changes tell whether it still moves


def alive(world: World, env: gym.Env, seed: int, tick: Callable[[int], Any]) -> dict[str, Any]:
    """Look on for STEPS steps at places with animals, and at places with weather; returns figures by place.

    animals: patches of animals in the last frame, "truth", "world", and "other", in a simulator whose animals decide
    otherwise; how far off the last two and a World without animals are, "error", "other_error" and "none_error";
    "moving", by how much they change within _LAST steps by how much the simulator's do, all places together.
    weather: "kept", the share of places whose last frame is nearer to the true weather than to a clear sky; "moving",
    the change a step over the last _LAST steps by that of the simulator, all places together.
    None where there is no place of the kind. tick: told of frames as the World makes them.
    """
    simulator: Any = env.unwrapped
    animals, weather = [], []
    for place in standing_places(env, world.spec, seed, _LOOKED_AT * LANES):
        simulator.restore(place.snapshot)
        view = simulator.attributes()
        if view["animals"]:
            animals.append(place)
        if view["weather"] != "clear":
            weather.append(place)

    def look_on(places: list[Standing]) -> tuple[np.ndarray, np.ndarray]:
        return Twin(world, env, places, tick).play([{}] * STEPS)

    return {
        "steps": STEPS,
        "animals": _animals(look_on, env, animals[:LANES]) if animals else None,
        "weather": _weather(look_on, env, weather[:LANES]) if weather else None,
    }


LookOn = Callable[[list[Standing]], tuple[np.ndarray, np.ndarray]]


def _animals(look_on: LookOn, env: gym.Env, places: list[Standing]) -> dict[str, Any]:
    here = [_after(env, place) for place in places]
    true, shown = look_on(here)
    true_empty, shown_empty = look_on([_after(env, place, herd=place.snapshot.herd[:0]) for place in places])
    other, _ = look_on([replace(one, snapshot=replace(one.snapshot, stream=one.snapshot.stream + 1)) for one in here])
    animals = {"truth": true - 1.0 * true_empty, "other": other - 1.0 * true_empty, "world": shown - 1.0 * shown_empty}
    counts = {name: np.array([_patches(frame) for frame in frames[:, -1]]) for name, frames in animals.items()}
    moved = {name: np.abs(frames[:, -1] - frames[:, -1 - _LAST]).sum() for name, frames in animals.items()}
    return {name: count.tolist() for name, count in counts.items()} | {
        "error": mean_interval(np.abs(counts["world"] - counts["truth"])),
        "other_error": mean_interval(np.abs(counts["other"] - counts["truth"])),
        "none_error": mean_interval(counts["truth"]),
        "moving": float(moved["world"] / max(moved["truth"], 1e-9)),
    }


def _weather(look_on: LookOn, env: gym.Env, places: list[Standing]) -> dict[str, Any]:
    true, shown = look_on([_after(env, place) for place in places])
    true_clear, _ = look_on([_after(env, place, weather=0) for place in places])
    seen, share = towards(shown[:, -1], true_clear[:, -1], true[:, -1])
    moved = [float(change(frames[:, -1 - _LAST :]).sum()) for frames in (shown, true)]
    return {
        "towards": share[seen].tolist(),
        "kept": mean_interval(share[seen] > 0.5),
        "moving": moved[0] / max(moved[1], 1e-9),
    }


def _after(env: gym.Env, place: Standing, **state: Any) -> Standing:
    """The place a context later, with parts of the simulator's state as they are given."""
    simulator: Any = env.unwrapped
    frames = [simulator.restore(replace(place.snapshot, **state))]
    frames += [env.step(place.last)[0] for _ in range(CONTEXT - 1)]
    return replace(place, frames=np.stack(frames), snapshot=simulator.snapshot())


def _patches(difference: np.ndarray) -> int:
    """How many connected patches of (H, W, 3) are not about zero."""
    differs = (np.abs(difference).max(-1) > _VISIBLE).astype(np.uint8)
    _, _, facts, _ = cv2.connectedComponentsWithStats(differs)
    enough = max(2, differs.size // 1500)  # pixels, from which on the simulator says that an animal can be seen
    return int((facts[1:, cv2.CC_STAT_AREA] >= enough).sum())  # the first is all the rest


def frames_made() -> int:
    """How many frames of the World `alive` makes, if there are enough places."""
    return 5 * LANES * STEPS

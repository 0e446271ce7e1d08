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
from worldsim.probes.intervals import mean_interval, share_interval
from worldsim.probes.places import Action, Standing, StandingTwin, later, standing_places
from worldsim.probes.walking import change
from worldsim.spec import WorldSpec
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
    "moving": pixels of animals that come and go within _LAST steps by those of the simulator, all places together.
    weather: how far the last frame lies on the way from a true clear sky (0) to the true weather (1), of a World that
    was shown the weather, "weather", and of one that was shown a clear sky, "clear"; "right", the share of places
    where the first lies beyond the middle and the second does not; "moving", the change a step over the last _LAST
    steps by that of the simulator, all places together.
    tick: told of frames as the World makes them. ValueError if there is no place with animals, or none with weather.
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

    def twin(places: list[Standing]) -> StandingTwin:
        return StandingTwin(env, world, places, tick)

    if not animals or not weather:
        raise ValueError(
            f"of {_LOOKED_AT * LANES} places from seed {seed} on {len(animals)} show animals and {len(weather)} "
            "weather, and both are needed: choose another seed"
        )
    return {
        "steps": STEPS,
        "animals": _animals(twin, env, world.spec, animals[:LANES]),
        "weather": _weather(twin, env, world.spec, weather[:LANES]),
    }


TwinAt = Callable[[list[Standing]], StandingTwin]


def _animals(twin: TwinAt, env: gym.Env, spec: WorldSpec, places: list[Standing]) -> dict[str, Any]:
    idle: list[Action] = [{}] * STEPS
    here = [later(env, spec, place) for place in places]
    true, shown = twin(here).play(idle)
    true_empty, shown_empty = twin([later(env, spec, place, herd=place.snapshot.herd[:0]) for place in places]).play(
        idle
    )
    others = [replace(one, snapshot=replace(one.snapshot, stream=one.snapshot.stream + 1)) for one in here]
    other = twin(others).truth(idle)
    seen = {
        "truth": _visible(true, true_empty),
        "other": _visible(other, true_empty),
        "world": _visible(shown, shown_empty),
    }
    counts = {name: np.array([_patches(mask) for mask in masks[:, 1]]) for name, masks in seen.items()}
    moved = {name: int((masks[:, 0] ^ masks[:, 1]).sum()) for name, masks in seen.items()}
    return {name: count.tolist() for name, count in counts.items()} | {
        "error": mean_interval(np.abs(counts["world"] - counts["truth"])),
        "other_error": mean_interval(np.abs(counts["other"] - counts["truth"])),
        "none_error": mean_interval(counts["truth"]),
        "moving": moved["world"] / max(moved["truth"], 1),
    }


def _visible(frames: np.ndarray, without: np.ndarray) -> np.ndarray:
    """Where two films (places, T, H, W, 3) differ, _LAST steps before the end and at it, bool (places, 2, H, W)."""
    moments = [-1 - _LAST, -1]
    return np.abs(frames[:, moments].astype(np.int16) - without[:, moments]).max(-1) > _VISIBLE


def _patches(mask: np.ndarray) -> int:
    """How many connected patches of a mask (H, W) are large enough for an animal."""
    _, _, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    enough = max(2, mask.size // 1500)  # pixels, from which on the simulator says that an animal can be seen
    return int((facts[1:, cv2.CC_STAT_AREA] >= enough).sum())  # the first is all the rest


def _weather(twin: TwinAt, env: gym.Env, spec: WorldSpec, places: list[Standing]) -> dict[str, Any]:
    idle: list[Action] = [{}] * STEPS
    true, shown = twin([later(env, spec, place) for place in places]).play(idle)
    true_clear, shown_clear = twin([later(env, spec, place, weather=0) for place in places]).play(idle)
    seen, weather = towards(shown[:, -1], true_clear[:, -1], true[:, -1])
    _, clear = towards(shown_clear[:, -1], true_clear[:, -1], true[:, -1])
    weather, clear = weather[seen], clear[seen]
    moved = [float(change(frames[:, -1 - _LAST :]).sum()) for frames in (shown, true)]
    return {
        "weather": weather.tolist(),
        "clear": clear.tolist(),
        "right": share_interval((weather > 0.5) & (clear <= 0.5)),
        "moving": moved[0] / max(moved[1], 1e-9),
    }


def frames_made() -> int:
    """How many frames of the World `alive` makes, if there are enough places."""
    return 4 * LANES * STEPS

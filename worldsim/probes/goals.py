"""What a World of the block world is wanted to do, measured, row by row beside the goal: `worldsim eval --full`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim.probes import alive, drift, edits, holding, keys, variety
from worldsim.probes.places import StandingTwin, looking_down, standing_places
from worldsim.world import World

_PLACES = 16  # where the player stands still; a lane each
# From the first seed of the evaluation to theirs.
_PLACE_SEEDS, _DRIFT_SEEDS, _ALIVE_SEEDS, _VARIETY_SEEDS = 600_000, 700_000, 800_000, 900_000


@dataclass(frozen=True)
class Row:
    """One measure: its value, nan where there is none, perhaps with a 95% interval, and the goal, perhaps open."""

    aim: str
    measure: str
    value: float
    interval: tuple[float, float] | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def goal(self) -> str:
        """The goal in words, "" where there is none."""
        if self.at_least is not None and self.at_most is not None:
            return f"{self.at_least:g} to {self.at_most:g}"
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return f"at most {self.at_most:g}" if self.at_most is not None else ""

    @property
    def verdict(self) -> str:
        """ "reached", "missed" or "not measured", "" where there is no goal."""
        if not self.goal:
            return ""
        if np.isnan(self.value):
            return "not measured"
        enough = self.at_least is None or self.value >= self.at_least
        return "reached" if enough and (self.at_most is None or self.value <= self.at_most) else "missed"

    @property
    def shown(self) -> str:
        """The value and its interval as text."""
        if np.isnan(self.value):
            return "-"
        low_high = "" if self.interval is None else " [{:.2f}, {:.2f}]".format(*self.interval)
        return f"{self.value:.2f}{low_high}"


def measure(world: World, env: gym.Env, seed: int, tick: Callable[[int], Any]) -> dict[str, Any]:
    """The measurements that the plain evaluation does not make, raw; env: the World's simulator, BlocksSim."""
    places = standing_places(env, world.spec, seed + _PLACE_SEEDS, _PLACES)
    down = StandingTwin(env, world, looking_down(env, world.spec, places), tick)
    return {
        "holding": holding.holding(StandingTwin(env, world, places, tick)),
        "edits": edits.edits(down),
        "keys": keys.keys(down),
        "variety": variety.variety(world, env, seed + _VARIETY_SEEDS, tick),
        "alive": alive.alive(world, env, seed + _ALIVE_SEEDS, tick),
        "drift": drift.drift(world, env, seed + _DRIFT_SEEDS, tick),
    }


def frames_made() -> int:
    """How many frames `measure` makes."""
    by_place = sum(part.frames_made(_PLACES) for part in (holding, edits, keys))
    return by_place + sum(part.frames_made() for part in (variety, alive, drift))


def rows(report: dict[str, Any]) -> list[Row]:
    """Each measure of a report that `evaluate` made in full, beside its goal."""
    parts, one, turning = report["full"], report["one_step"], report["turning"]
    made = [
        _of_mean("sharpness", "tokenizer, PSNR in dB", one["all"]["mean"]["tokenizer"], at_least=31),
        _of_mean("next frame", "PSNR in dB where something moves", one["moving"]["mean"]["world"], at_least=28),
        _of_mean("next frame", "dB above copying the last frame", one["moving"]["lead"]["copy"], at_least=5),
    ]
    for axis in ("yaw", "pitch"):
        gain = _number(turning[axis]["gain"])
        made.append(Row("obedience", f"{axis}, shown / commanded", gain, at_least=0.9, at_most=1.1))
    f1 = [value for value in parts["keys"]["f1"] if value is not None]
    label = f"F1 of the key that is seen, {len(f1)} of {len(parts['keys']['f1'])} keys"
    made.append(Row("obedience", label, _number(parts["keys"]["mean_f1"]), at_least=0.9))
    still = parts["holding"]
    steps = still["steps"]
    made.append(Row("standing still", f"change a step over {steps} / simulator's", still["change"], at_most=2))
    made.append(_of_mean("standing still", "grey levels a step where nothing moves", still["change_still"]))
    made.append(_of_mean("standing still", f"PSNR in dB after {steps} steps", still["psnr"]))
    for mark in parts["drift"]["marks"]:
        for name in drift.DISTANCES:
            label = f"{name} after {mark['steps']:,} steps / true frames apart"
            made.append(Row("drift", label, mark[name]["ratio"], at_most=1.5))
    for away in still["away"]:
        label = f"{away['degrees']} degrees and back, {'within' if away['within'] else 'beyond'} the context"
        made.append(_of_mean("look away", f"{label}, dB lost", away["loss"], at_most=1.0 if away["within"] else None))
        made.append(_of_mean("look away", f"{label}, PSNR in dB", away["returned"]))
    for key in edits.EDITS:
        for when, label, goal in (("at_once", "at once", None), ("after", "after a look away", 0.85)):
            part = parts["edits"][key][when]
            label = f"{key}, {label}: share right of {len(part['edited'])}"
            made.append(_of_mean("edits stay", label, part["right"], at_least=goal))
    for name in variety.ATTRIBUTES:
        part = parts["variety"][name]
        label = f"{name} from text, above chance / readout's {part['ceiling']:.2f}"
        made.append(Row("variety", label, _number(part["ratio"]), at_least=0.85))
    steps, animals, weather = parts["alive"].values()
    made += [
        _of_mean("animals", f"error of their number after {steps} steps", animals["error"], at_most=0.5),
        _of_mean("animals", "the same of another true future", animals["other_error"]),
        _of_mean("animals", "the same if there were none", animals["none_error"]),
        Row("animals", "pixels that come and go / simulator's", animals["moving"]),
        _of_mean("weather", f"after {steps} steps: share right of {len(weather['weather'])}", weather["right"]),
        Row("weather", "change a step / simulator's", weather["moving"]),
    ]
    (rate,) = (row for row in report["speed"] if row["steps"] == report["denoising_steps"])
    made.append(Row("frame rate", f"frames/s, K={rate['steps']}", rate["frames_per_second"], at_least=30))
    made.append(Row("frame rate", f"p99 of a step in ms, K={rate['steps']}", rate["p99_ms"], at_most=60))
    return made


def _of_mean(name: str, measure: str, mean: dict[str, Any], **goal: float | None) -> Row:
    """The row of a mean with its 95% interval."""
    interval = None if mean["mean"] is None else (mean["low"], mean["high"])
    return Row(name, measure, _number(mean["mean"]), interval, **goal)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value

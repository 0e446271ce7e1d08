"""Places where the player of the block world stands still: where turns, stillness and memory are measured from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim.probes.heldout import CONTEXT, idle, wander
from worldsim.probes.twin import Start, Twin
from worldsim.spec import WorldSpec

SIMULATOR = "worldsim/BlocksSim-v0"
_SETTLE = 30  # ticks within which the player must have come to rest
_TRIES = 50  # seeds that are tried for each place that is wanted
_LEVEL = 20.0  # degrees of pitch from which no turn ends at the zenith or the nadir
_DOWN, _DOWN_TICKS = 40.0, 6  # degrees of pitch: the ground two or three blocks ahead; and ticks to look there

Action = dict[str, Any]  # what differs from doing nothing: {"break": 1}, {"camera": (degrees right, degrees down)}


@dataclass(frozen=True)
class Standing(Start):
    """A place where the player stands still, after a context of CONTEXT frames; its pitch, and the last action."""

    pitch: float
    last: Action

    def acting(self, change: Action) -> Action:
        """The whole action that differs by `change` from doing nothing."""
        action = {**self.last, **change}
        return {**action, "camera": np.array(action["camera"], np.float32)}


class StandingTwin(Twin):
    """A twin at standing places (`starts`); it is played by what differs from doing nothing, an `Action` a step."""

    starts: Sequence[Standing]

    def flat(self, steps: Sequence[Action]) -> np.ndarray:
        """Flat actions float32 (T, places, A)."""
        spec = self.world.spec
        return np.stack([[spec.flatten(place.acting(step)) for place in self.starts] for step in steps])


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
            f"only {len(places)} of {count} places to stand at were found from seed {seed} on: in {_TRIES * count} "
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
    return Standing(np.stack(frames), actions, snapshot, seed, float(info["pose"][4]), action)


def later(env: gym.Env, spec: WorldSpec, place: Standing, steps: Sequence[Action] = (), **state: Any) -> Standing:
    """The place a context later, after at most CONTEXT - 1 steps and then nothing; state: what of the simulator's first
    becomes otherwise."""
    simulator: Any = env.unwrapped
    actions = [place.acting(step) for step in [*steps, *[{}] * (CONTEXT - 1 - len(steps))]]
    frames = [simulator.restore(replace(place.snapshot, **state))]
    frames += [env.step(action)[0] for action in actions]
    flat = np.stack([spec.flatten(action) for action in actions])
    return replace(place, frames=np.stack(frames), actions=flat, snapshot=simulator.snapshot())


def looking_down(env: gym.Env, spec: WorldSpec, places: Sequence[Standing]) -> list[Standing]:
    """The places once the player has looked down at the ground before them and seen it for a while."""
    tilts: list[Action] = [{"camera": (0.0, (_DOWN - place.pitch) / _DOWN_TICKS)} for place in places]
    down = [later(env, spec, place, [tilt] * _DOWN_TICKS) for place, tilt in zip(places, tilts, strict=True)]
    return [replace(place, pitch=_DOWN) for place in down]

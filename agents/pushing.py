"""A policy for recording where something is pushed about: worldsim/PushTSim-v0 and worldsim/TableSim-v0.

Random actions seldom touch anything there, and what is hardly ever touched is not learned. This one goes behind a thing
and pushes it somewhere, again and again; it reads the truth in `info`, never the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim.agents.exploration import StickyRandomPolicy

Info = dict[str, Any]
Move = tuple[np.ndarray, float]  # the place to head for and how far to go in this tick, in units of the scene


@dataclass(frozen=True)
class Scene:
    """What the policy must know of an environment; lengths are in its own units.

    pusher, things: where they are, (2,) and (n, 2), from `info`.
    act: the action that moves the pusher, (2,), by a step, (2,), if nothing is in the way.
    low, high: ends of where the pusher can be, the same along both axes. margin: what is kept free of things on the
    way to a border, where they would get stuck. reach: from a thing's middle to where a push begins.
    slow, fast: the shortest and longest step of a tick. spread: deviation of where on a thing it pushes.
    """

    pusher: Callable[[Info], np.ndarray]
    things: Callable[[Info], np.ndarray]
    act: Callable[[np.ndarray, np.ndarray], np.ndarray]
    low: float
    high: float
    margin: float
    reach: float
    slow: float
    fast: float
    spread: float


def _middle_of_t(info: Info) -> np.ndarray:
    right, down, angle = info["block_pose"]  # of the middle of its bar's edge; it weighs 45 units along its stem
    return np.array([[right - 45 * np.sin(angle), down + 45 * np.cos(angle)]])


# By the names of the classes, because their modules cannot be imported where an extra is not installed.
_SCENES = {
    "PushTSimEnv": Scene(
        pusher=lambda info: info["pos_agent"],
        things=_middle_of_t,
        act=lambda pusher, step: pusher + step,
        low=16,
        high=496,
        margin=110,
        reach=105,
        slow=12,
        fast=60,
        spread=30,
    ),
    "TableSimEnv": Scene(
        pusher=lambda info: info["pusher_position"],
        things=lambda info: info["box_positions"][:, :2],
        act=lambda pusher, step: step / 0.015,  # metres a tick at full speed
        low=-0.258,
        high=0.258,
        margin=0.09,
        reach=0.085,
        slow=0.004,
        fast=0.015,
        spread=0.015,
    ),
}


def scene_of(env: gym.Env) -> Scene | None:
    """How things are pushed in this environment, if it is one of those that this policy is for."""
    names = (kind.__name__ for kind in type(env.unwrapped).__mro__)
    return next((_SCENES[name] for name in names if name in _SCENES), None)


class PushingPolicy:
    """Goes behind a random thing, pushes it towards a random place, then another; now and then wanders or rests.

    ValueError for an environment in which it cannot see the truth.
    """

    def __init__(self, env: gym.Env, rng: np.random.Generator) -> None:
        scene = scene_of(env)
        if scene is None:
            raise ValueError(f"PushingPolicy is for worldsim/PushTSim-v0 and worldsim/TableSim-v0, not for {env}")
        self._scene, self._rng, self._space = scene, rng, env.action_space
        self._random = StickyRandomPolicy(env.action_space, rng)

    def reset(self, obs: np.ndarray, info: Info) -> None:
        """Start anew in an episode whose first observation and info these are."""
        self._info = info
        self._moves = self._all_moves()

    def act(self, obs: np.ndarray, info: Info) -> np.ndarray:
        """The action at this tick, float32 (2,)."""
        self._info = info
        move = next(self._moves)
        if move is None:
            return self._random.act(obs, info)
        place, most = move
        pusher = self._scene.pusher(info)
        step = place - pusher
        step = step * min(1.0, most / max(float(np.hypot(*step)), 1e-9)) + self._rng.normal(0, 0.15 * most, 2)
        action = self._scene.act(pusher, step)
        return np.clip(action, self._space.low, self._space.high).astype(np.float32)  # type: ignore[attr-defined]

    def _all_moves(self) -> Iterator[Move | None]:
        """What to do in each tick, without end; None is any random action."""
        kinds = (self._push, self._wander, self._rest, self._anything)
        while True:
            yield from kinds[self._rng.choice(len(kinds), p=(0.76, 0.1, 0.06, 0.08))]()

    def _push(self) -> Iterator[Move | None]:
        scene, rng = self._scene, self._rng
        things = scene.things(self._info)
        number = int(rng.integers(len(things)))
        goal = self._somewhere(scene.margin)
        aside = rng.normal(0, scene.spread, 2)
        speed = rng.uniform(scene.slow, scene.fast)
        for _ in range(60):  # round it, to behind it
            pusher, thing = self._where(number)
            back = thing - goal
            start = np.clip(thing + scene.reach * back / max(float(np.hypot(*back)), 1e-9), scene.low, scene.high)
            if np.hypot(*(pusher - start)) < 0.35 * scene.reach:
                break
            yield self._round(pusher, thing, start), scene.fast
        for _ in range(int(rng.integers(15, 60))):
            pusher, thing = self._where(number)
            way = goal - thing
            left = float(np.hypot(*way))
            if left < 0.3 * scene.reach or (pusher - thing) @ way > 0:  # there, or past it
                break
            yield thing + aside + 0.5 * scene.reach * way / left, speed

    def _round(self, pusher: np.ndarray, thing: np.ndarray, start: np.ndarray) -> np.ndarray:
        """The next place on a way to `start` that does not lead over the thing."""
        here, there = pusher - thing, start - thing
        angle = np.arctan2(here[1], here[0])
        turn = (np.arctan2(there[1], there[0]) - angle + np.pi) % (2 * np.pi) - np.pi
        if np.hypot(*here) > 2 * self._scene.reach or abs(turn) < 0.5:
            return start
        angle += 0.6 * np.sign(turn)
        place = thing + 1.1 * self._scene.reach * np.array([np.cos(angle), np.sin(angle)])
        return np.clip(place, self._scene.low, self._scene.high)

    def _wander(self) -> Iterator[Move | None]:
        place, speed = self._somewhere(0), self._rng.uniform(self._scene.slow, self._scene.fast)
        for _ in range(int(self._rng.integers(5, 30))):
            yield place, speed

    def _rest(self) -> Iterator[Move | None]:
        place = self._scene.pusher(self._info).copy()
        for _ in range(int(self._rng.integers(3, 20))):
            yield place, 1e-3 * self._scene.slow

    def _anything(self) -> Iterator[Move | None]:
        for _ in range(int(self._rng.integers(10, 40))):
            yield None

    def _where(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        return self._scene.pusher(self._info), self._scene.things(self._info)[number]

    def _somewhere(self, margin: float) -> np.ndarray:
        return self._rng.uniform(self._scene.low + margin, self._scene.high - margin, 2)

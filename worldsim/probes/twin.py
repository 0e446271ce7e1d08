"""A simulator and its World at the same places, stepped with the same actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim.probes.heldout import Stretch
from worldsim.probes.places import Action, Standing
from worldsim.world import World


class Twin:
    """The block world and a World of it, which go on from the same standing places, a lane each.

    tick: told of the frames that the World makes, as they are made.
    """

    def __init__(self, world: World, env: gym.Env, places: list[Standing], tick: Callable[[int], Any]) -> None:
        self.world, self.places = world, places
        self._env, self._tick = env, tick
        frames, actions = (np.stack(part) for part in zip(*((p.frames, p.actions) for p in places), strict=True))
        self._run = Stretch(frames, actions, [place.seed for place in places]).start(world)
        self._begin = self._run.snapshot()

    def play(self, steps: Sequence[Action]) -> tuple[np.ndarray, np.ndarray]:
        """Frames of the simulator and of the World from the places on, uint8 (places, T + 1, H, W, 3) each.

        The first of them is the place itself.
        """
        return self.truth(steps), self.shown(steps)

    def truth(self, steps: Sequence[Action]) -> np.ndarray:
        """Frames of the simulator alone."""
        actions = [self._actions(step) for step in steps]
        lanes = []
        for number, place in enumerate(self.places):
            first = self._env.unwrapped.restore(place.snapshot)  # type: ignore[attr-defined]
            lanes.append(np.stack([first, *(self._env.step(action[number])[0] for action in actions)]))
        return np.stack(lanes)

    def shown(self, steps: Sequence[Action]) -> np.ndarray:
        """Frames of the World alone."""
        self._run.restore(self._begin)
        frames = [self._run.frames.cpu().numpy()]
        for step in steps:
            flat = np.stack([self.world.spec.flatten(action) for action in self._actions(step)])
            frames.append(self._run.step(flat).frames.cpu().numpy())
            self._tick(len(self.places))
        return np.stack(frames, 1)

    def _actions(self, change: Action) -> list[Action]:
        """Whole actions, one a place."""
        return [place.acting(change) for place in self.places]

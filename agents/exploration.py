"""Policies for recording: they move about so that every action and its effect is seen often, alone and with others."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

_MEAN_HOLD = 6.0  # ticks that a discrete choice is held on average
_MEAN_STRETCH = 30.0  # ticks between changes of how fast a continuous action wanders
_MEAN_PAUSE = 40.0  # ticks that a policy with pauses does nothing, or something, on average


class StickyRandomPolicy:
    """Random actions in any action space: each discrete part is held for a while, each continuous one drifts smoothly.

    Parts of Dict and Tuple spaces change independently, so that the effect of each is separable.
    """

    def __init__(self, space: spaces.Space, rng: np.random.Generator) -> None:
        self._draw = _part(space, rng)

    def reset(self, obs: np.ndarray, info: dict[str, Any]) -> None:
        """Nothing to do: the policy looks at nothing and may go on with what it was doing."""

    def act(self, obs: np.ndarray, info: dict[str, Any]) -> Any:
        return self._draw()


class PausingPolicy:
    """Random actions in a Box, and for half of the time none at all: what a world does by itself is to be seen too."""

    def __init__(self, space: spaces.Box, rng: np.random.Generator) -> None:
        self._busy, self._rng = StickyRandomPolicy(space, rng), rng
        self._nothing = np.clip(np.zeros(space.shape), space.low, space.high).astype(space.dtype)
        self._left, self._rests = 0, False

    def reset(self, obs: np.ndarray, info: dict[str, Any]) -> None:
        """Rest first, or act first."""
        self._left, self._rests = 0, bool(self._rng.random() < 0.5)

    def act(self, obs: np.ndarray, info: dict[str, Any]) -> np.ndarray:
        if self._left <= 0:
            self._left, self._rests = int(self._rng.geometric(1 / _MEAN_PAUSE)), not self._rests
        self._left -= 1
        return self._nothing.copy() if self._rests else self._busy.act(obs, info)


def _part(space: spaces.Space, rng: np.random.Generator) -> Callable[[], Any]:
    if isinstance(space, spaces.Dict):
        parts = {key: _part(sub, rng) for key, sub in space.spaces.items()}
        return lambda: {key: draw() for key, draw in parts.items()}
    if isinstance(space, spaces.Tuple):
        draws = [_part(sub, rng) for sub in space.spaces]
        return lambda: tuple(draw() for draw in draws)
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        return _Drift(space, rng)
    return _Hold(space, rng)


class _Hold:
    """A sample of the space, held for a random number of ticks."""

    def __init__(self, space: spaces.Space, rng: np.random.Generator) -> None:
        self._space = copy.deepcopy(space)  # the environment's own space keeps its random state
        self._space.seed(int(rng.integers(2**31)))
        self._rng = rng
        self._left = 0

    def __call__(self) -> Any:
        if self._left <= 0:
            self._value = self._space.sample()
            self._left = int(self._rng.geometric(1.0 / _MEAN_HOLD))
        self._left -= 1
        return self._value


class _Drift:
    """A point of a Box that wanders: a mean-reverting random walk that is now slow, now fast, and sometimes at rest."""

    def __init__(self, space: spaces.Box, rng: np.random.Generator) -> None:
        self._space = space
        self._rng = rng
        # Unbounded sides are explored within one unit of zero, or of the other side.
        low = np.where(np.isfinite(space.low), space.low, np.where(np.isfinite(space.high), space.high - 2, -1.0))
        high = np.where(np.isfinite(space.high), space.high, low + 2)
        self._middle, self._half = (low + high) / 2, (high - low) / 2
        self._state = rng.uniform(-1, 1, space.shape)
        self._left = 0

    def __call__(self) -> np.ndarray:
        if self._left <= 0:
            self._left = int(self._rng.geometric(1.0 / _MEAN_STRETCH))
            self._memory = self._rng.choice([0.0, 0.8, 0.95])
            self._target = self._rng.choice([0.0, 1.0]) * self._rng.uniform(-1, 1, self._space.shape)
        self._left -= 1
        noise = self._rng.normal(size=self._space.shape) * 0.6 * np.sqrt(1 - self._memory**2)
        self._state = self._target + self._memory * (self._state - self._target) + noise
        value = self._middle + self._half * np.clip(self._state, -1, 1)
        return np.clip(value, self._space.low, self._space.high).astype(self._space.dtype)

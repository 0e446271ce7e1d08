"""A tiny environment for tests: a white bar that has to be brought to the red end; 36x36 pixels, left or right."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

MIDDLE, PLACES = 2, 5


class Corridor(gym.Env):
    """The bar begins in the middle of five places, one end of which is red: arriving there gives 1, at the other -1."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, 255, (36, 36, 3), np.uint8)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.place, self.goal = MIDDLE, int(self.np_random.choice((0, PLACES - 1)))
        return self._draw(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.place += 1 if action == 1 else -1
        over = self.place in (0, PLACES - 1)
        return self._draw(), float(over) * (1 if self.place == self.goal else -1), over, False, {}

    def _draw(self) -> np.ndarray:
        frame = np.zeros((36, 36, 3), np.uint8)
        frame[:, 7 * self.goal : 7 * self.goal + 7, 0] = 255
        frame[:, 7 * self.place : 7 * self.place + 7] = 255
        return frame


gym.register("Corridor-v0", entry_point=Corridor, max_episode_steps=20)

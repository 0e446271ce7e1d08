"""A tiny environment whose frames are noise (what a codec finds hardest) and whose episodes end now and then.

Recording processes find it by the id "noise_env:Noise-v0": pytest puts this directory on the import path of all.
"""

import time

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class NoiseEnv(gym.Env):
    metadata = {"render_modes": [], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self, ends: bool = True, size: tuple[int, int] = (16, 32), seconds: float = 0.0, one_knob: bool = False
    ):
        self.observation_space = spaces.Box(0, 255, (*size, 3), np.uint8)
        self.action_space = spaces.Dict(key=spaces.Discrete(3), stick=spaces.Box(-1, 1, (2,), np.float32))
        if one_knob:
            self.action_space = spaces.Box(0, 1, (1,), np.float32)
        self._ends = ends
        self._seconds = seconds

    def _frame(self):
        return self.np_random.integers(0, 256, self.observation_space.shape, dtype=np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._time = 0
        return self._frame(), {"caption": "the start"}

    def step(self, action):
        time.sleep(self._seconds)
        self._time += 1
        ends = bool(self._ends and self.np_random.random() < 0.04)
        info = {"caption": f"part {self._time // 10}"}
        return self._frame(), _reward(action), ends, False, info

    def caption(self, rng, style="short", language="en"):
        return f"{style} {language} {rng.integers(1000)}"


def _reward(action):
    return float(action["key"] if isinstance(action, dict) else action[0])


gym.register("Noise-v0", NoiseEnv)
gym.register("NoiseOneKnob-v0", NoiseEnv, kwargs={"one_knob": True})
gym.register("NoiseLimited-v0", NoiseEnv, max_episode_steps=20, kwargs={"ends": False})

"""The lanes of a vector environment as a `VecEnv` of Stable-Baselines3 (extra worldsim[rl]), one batch a step.

Stable-Baselines3 has an interface of its own for many environments, which began before Gymnasium's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

try:
    from stable_baselines3.common.vec_env import VecEnv
    from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices
except ModuleNotFoundError as error:
    message = 'SB3VecEnv needs Stable-Baselines3: pip install "worldsim[rl]"'
    raise ModuleNotFoundError(message, name="stable_baselines3") from error


class SB3VecEnv(VecEnv):
    """Lanes of a Gymnasium vector environment for Stable-Baselines3.

    Args:
        envs: A vector environment whose lanes reset themselves in the same step, which is what that library expects:
            `gym.make_vec(id, num_envs=8, autoreset_mode="SameStep")` of a World. Frames as NumPy arrays.

    ValueError for another autoreset mode. Action spaces must be of the kinds that the library knows, so no Dict:
    `VectorDiscreteActions` gives Worlds of the block world named actions.

    >>> envs = gym.make_vec("worldsim/Blocks-v0", num_envs=4, autoreset_mode="SameStep")
    >>> model = PPO("CnnPolicy", SB3VecEnv(VectorDiscreteActions(envs)))
    """

    def __init__(self, envs: gym.vector.VectorEnv) -> None:
        mode = envs.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise ValueError(
                f"Stable-Baselines3 wants lanes to begin anew in the step that ends an episode, and here it is {mode}: "
                'make the environment with autoreset_mode="SameStep"'
            )
        lanes = getattr(envs.unwrapped, "_lanes", None)
        if lanes is not None and lanes.output != "numpy":
            raise ValueError('Stable-Baselines3 takes NumPy arrays: make the environment without output="torch"')
        self.envs = envs
        self._actions: Any = None
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> np.ndarray:
        """Begin an episode in every lane, with the seeds that `seed` set; the frames."""
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        if any(self._options):
            raise ValueError("options of single lanes are not passed on: reset `envs` with options of all lanes")
        frames, infos = self.envs.reset(seed=seeds)  # type: ignore[arg-type]
        self.reset_infos = [_of_lane(infos, lane) for lane in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return frames

    def step_async(self, actions: np.ndarray) -> None:
        """Take note of what to do."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Do it: frames, rewards float32, whether each episode is over, and infos.

        Where one is over, the frames are already the next one's; `terminal_observation` in its info is the last frame,
        and `TimeLimit.truncated` says whether it was cut off.
        """
        frames, rewards, terminations, truncations, infos = self.envs.step(self._actions)
        over = terminations | truncations
        told = []
        for lane in range(self.num_envs):
            info = _of_lane(infos, lane)
            if over[lane]:
                info["terminal_observation"] = info.pop("final_obs")
                info["TimeLimit.truncated"] = bool(truncations[lane] and not terminations[lane])
            told.append(info)
        return frames, rewards.astype(np.float32), over, told

    def close(self) -> None:
        """Close the environment."""
        self.envs.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the vector environment, which all lanes share."""
        return [getattr(self.envs, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the vector environment; ValueError for some lanes only."""
        self._all_or_error(indices, f"set {attr_name}")
        setattr(self.envs, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Call a method of the vector environment once; ValueError for some lanes only."""
        self._all_or_error(indices, f"call {method_name}")
        return [getattr(self.envs, method_name)(*args, **kwargs)] * self.num_envs

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """No lane has a wrapper of its own."""
        return [False] * len(list(self._get_indices(indices)))

    def get_images(self) -> Sequence[np.ndarray | None]:
        """The present frame of each lane."""
        frames: Any = self.envs.render()
        return list(frames or [])

    def _all_or_error(self, indices: VecEnvIndices, what: str) -> None:
        if len(list(self._get_indices(indices))) != self.num_envs:
            raise ValueError(f"cannot {what} of some lanes: all of them are one environment")


def _of_lane(infos: dict[str, Any], lane: int) -> dict[str, Any]:
    """What the infos of all lanes say of one; Gymnasium marks by keys that begin with _ of which lanes they speak."""
    said = {}
    for key, value in infos.items():
        if not key.startswith("_") and infos.get(f"_{key}", np.ones(lane + 1))[lane]:
            said[key] = _of_lane(value, lane) if isinstance(value, dict) else value[lane]
    return said

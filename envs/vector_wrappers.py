"""The action wrappers of `worldsim.envs.wrappers` for vector environments, native ones among them.

Lane i gets the action that the wrapper of a single environment would give it; all lanes are looked up at once.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from worldsim.envs.blocks.blocks import KEYS
from worldsim.envs.wrappers import (
    DISCRETE_ACTIONS,
    PAIRS,
    SLOTS,
    camera_bin_values,
    check_camera_degrees,
    seven_choices,
)

_HELD = np.array([[key in keys for key in KEYS] for keys, _, _, _ in DISCRETE_ACTIONS.values()], np.int64)
_TURNS = np.array([(right, down) for _, right, down, _ in DISCRETE_ACTIONS.values()], np.float32)
_FURTHER = np.array([further for _, _, _, further in DISCRETE_ACTIONS.values()], np.int64)


class _VectorActions(gym.vector.VectorActionWrapper[Any, Any, dict[str, np.ndarray], Any]):
    """What both have in common: an action space of their own for each lane."""

    def _take(self, space: spaces.Space[Any]) -> None:
        self.single_action_space = space
        self.action_space = batch_space(space, self.num_envs)

    def _read(self, actions: Any) -> np.ndarray:
        actions = _to_numpy(actions)
        if not self.action_space.contains(actions):
            raise ValueError(f"actions {actions!r} are outside the action space {self.action_space}")
        return actions

    def _write(self, held: np.ndarray, slots: np.ndarray, camera: np.ndarray) -> dict[str, np.ndarray]:
        """Actions of the environment from keys (num_envs, 8), slots (num_envs,) and degrees (num_envs, 2)."""
        space = self.env.action_space
        assert isinstance(space, spaces.Dict)
        parts = {key: held[:, number] for number, key in enumerate(KEYS)} | {"hotbar": slots, "camera": camera}
        return {name: parts[name].astype(part.dtype) for name, part in space.spaces.items()}


class VectorDiscreteActions(_VectorActions):
    """`DiscreteActions` for every lane of a vector environment: one of the named actions a tick, int (num_envs,).

    `slots` int64 (num_envs,) holds the slot of each lane; it begins at 0 whenever the lane is reset, by itself too. Set
    it after restoring a snapshot of the environment underneath.

    Args:
        env: a vector environment with the Dict action space of worldsim/BlocksSim-v0.
        camera_degrees: degrees of a turn, above 0 and at most the limit of the camera (10).

    Raises:
        TypeError: the action space of `env` is another one.
        ValueError: `camera_degrees` is out of range, or a step's actions are outside MultiDiscrete([20, ...]).

    >>> envs = VectorDiscreteActions(gym.make_vec("worldsim/Blocks-v0", num_envs=2))
    >>> envs.actions([envs.names.index("forward"), envs.names.index("noop")])["forward"]
    array([1, 0])
    """

    def __init__(self, env: gym.vector.VectorEnv[Any, Any, Any], camera_degrees: float = 5.0) -> None:
        self.camera_degrees = check_camera_degrees(
            getattr(env, "single_action_space", None), type(self).__name__, camera_degrees
        )
        super().__init__(env)
        self.names: tuple[str, ...] = tuple(DISCRETE_ACTIONS)
        self._take(spaces.Discrete(len(self.names)))
        self.slots = np.zeros(self.num_envs, np.int64)
        self._waiting = np.zeros(self.num_envs, np.bool_)  # lanes whose next action is ignored, because it resets them

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the environment, or the lanes of options["reset_mask"], and take slot 0 in hand there."""
        # Looked up before, because Gymnasium's own vectors take it out of the options.
        mask = _to_numpy((options or {}).get("reset_mask", np.ones(self.num_envs, np.bool_)))
        result = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        self.slots[mask] = 0
        self._waiting[mask] = False
        return result

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step every lane by its named action."""
        result = super().step(actions)
        over = _to_numpy(result[2]) | _to_numpy(result[3])
        mode = self.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        if mode == AutoresetMode.SAME_STEP:
            self.slots[over] = 0
        self._waiting = over if mode == AutoresetMode.NEXT_STEP else np.zeros_like(over)
        return result

    def actions(self, actions: Any) -> dict[str, np.ndarray]:
        """The batch of Dict actions for indices of named actions; changes `slots` for the two that do."""
        chosen = self._read(actions)
        self.slots = np.where(self._waiting, 0, (self.slots + _FURTHER[chosen]) % SLOTS)
        return self._write(_HELD[chosen], self.slots, _TURNS[chosen] * self.camera_degrees)


class VectorMultiDiscreteActions(_VectorActions):
    """`MultiDiscreteActions` for every lane of a vector environment: seven choices a tick, int (num_envs, 7).

    Args:
        env: a vector environment with the Dict action space of worldsim/BlocksSim-v0.
        camera_bins: bins for yaw and for pitch, odd and at least 3.

    Raises:
        TypeError: the action space of `env` is another one.
        ValueError: `camera_bins` is even or below 3, or a step's actions are outside the space.
    """

    def __init__(self, env: gym.vector.VectorEnv[Any, Any, Any], camera_bins: int = 11) -> None:
        self.camera_values = camera_bin_values(
            getattr(env, "single_action_space", None), type(self).__name__, camera_bins
        )
        super().__init__(env)
        self._take(seven_choices(camera_bins))

    def actions(self, actions: Any) -> dict[str, np.ndarray]:
        """The batch of Dict actions for seven choices of each lane."""
        chosen = self._read(actions)
        choices, slots, turns = chosen[:, : len(PAIRS)], chosen[:, len(PAIRS)], chosen[:, -2:]
        held = np.stack([choices[:, pair] == side for pair in range(len(PAIRS)) for side in (1, 2)], 1)
        return self._write(held, slots, self.camera_values[turns])


def _to_numpy(values: Any) -> np.ndarray:
    """Actions may be tensors, and so are the ends of lanes with output="torch"."""
    return values.cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)

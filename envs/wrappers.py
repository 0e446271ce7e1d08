"""Action wrappers for reinforcement learning in block worlds: one Discrete or one MultiDiscrete instead of the Dict.

They work on every single environment with the Dict action space of BlocksSim, the simulator and learned Worlds alike,
and as `wrappers=[...]` of `gym.make_vec` where that takes wrappers (for the simulator, not for a native vector class:
for vector environments of all kinds there is `worldsim.envs.vector_wrappers`).
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from worldsim.envs.blocks.blocks import HOTBAR, KEYS

SLOTS = len(HOTBAR)
_MU = 10.0  # of the mu-law of VPT's camera bins
# KEYS stand in pairs that exclude each other: forward/back, left/right, jump/sneak, break/place.
PAIRS = tuple(zip(KEYS[::2], KEYS[1::2], strict=True))

# name: (keys held down, turn to the right, look down, slots further); the turns in units of `camera_degrees`.
DISCRETE_ACTIONS: dict[str, tuple[tuple[str, ...], int, int, int]] = {
    "noop": ((), 0, 0, 0),
    "forward": (("forward",), 0, 0, 0),
    "back": (("back",), 0, 0, 0),
    "left": (("left",), 0, 0, 0),
    "right": (("right",), 0, 0, 0),
    "jump": (("jump",), 0, 0, 0),
    "forward+jump": (("forward", "jump"), 0, 0, 0),
    "sneak": (("sneak",), 0, 0, 0),
    "forward+sneak": (("forward", "sneak"), 0, 0, 0),
    "break": (("break",), 0, 0, 0),
    "place": (("place",), 0, 0, 0),
    "jump+place": (("jump", "place"), 0, 0, 0),
    "turn left": ((), -1, 0, 0),
    "turn right": ((), 1, 0, 0),
    "look up": ((), 0, -1, 0),
    "look down": ((), 0, 1, 0),
    "forward+turn left": (("forward",), -1, 0, 0),
    "forward+turn right": (("forward",), 1, 0, 0),
    "next slot": ((), 0, 0, 1),
    "previous slot": ((), 0, 0, -1),
}


class DiscreteActions(gym.ActionWrapper[Any, Any, dict[str, Any]], RecordConstructorArgs):
    """One named action a tick out of a Discrete(20) space.

    ``names[i]`` is what action i does: ``noop``; ``forward``, ``back``, ``left``, ``right``; ``jump``,
    ``forward+jump``; ``sneak``, ``forward+sneak``; ``break``, ``place``, ``jump+place``; ``turn left``,
    ``turn right``, ``look up``, ``look down``, by ``camera_degrees`` each; ``forward+turn left``,
    ``forward+turn right``; ``next slot`` and ``previous slot`` of the hotbar, which go around. The slot stays until it
    is changed and begins at 0 after a reset; set ``slot`` after restoring a snapshot of the environment underneath.

    Args:
        env: an environment with the Dict action space of worldsim/BlocksSim-v0; for vectors see `vector_wrappers`.
        camera_degrees: degrees of a turn, above 0 and at most the limit of the camera (10).

    Raises:
        TypeError: the action space of `env` is another one.
        ValueError: `camera_degrees` is out of range, or a step's action is outside Discrete(20).

    >>> env = DiscreteActions(gym.make("worldsim/BlocksSim-v0"))
    >>> env.action(env.names.index("forward"))["forward"]
    1
    """

    def __init__(self, env: gym.Env[Any, dict[str, Any]], camera_degrees: float = 5.0) -> None:
        self.camera_degrees = check_camera_degrees(
            getattr(env, "action_space", None), type(self).__name__, camera_degrees
        )
        RecordConstructorArgs.__init__(self, camera_degrees=camera_degrees)
        gym.ActionWrapper.__init__(self, env)
        self.names: tuple[str, ...] = tuple(DISCRETE_ACTIONS)
        self.action_space = spaces.Discrete(len(self.names))
        self.slot = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment and take slot 0 in hand."""
        self.slot = 0
        return super().reset(seed=seed, options=options)

    def action(self, action: Any) -> dict[str, Any]:
        """The Dict action for the index of a named action; changes `slot` for the two that do."""
        _check(self.action_space, action)
        keys, right, down, further = DISCRETE_ACTIONS[self.names[int(action)]]
        self.slot = (self.slot + further) % SLOTS
        return _dict_action(
            self.env.action_space, keys, self.slot, right * self.camera_degrees, down * self.camera_degrees
        )


class MultiDiscreteActions(gym.ActionWrapper[Any, Any, dict[str, Any]], RecordConstructorArgs):
    """Seven choices a tick: MultiDiscrete([3, 3, 3, 3, 9, camera_bins, camera_bins]).

    ====== ==========================
    entry  choices
    ====== ==========================
    0      none, forward, back
    1      none, left, right
    2      none, jump, sneak
    3      none, break, place
    4      slot of the hotbar, 0 to 8
    5      yaw: turn left ... right
    6      pitch: look up ... down
    ====== ==========================

    The bins of the camera are those of VPT (arXiv 2206.11795): fine around the middle bin, which is exactly 0, and
    coarse towards the limit of the camera, by mu-law with mu = 10. ``camera_values`` (camera_bins,) holds their
    degrees; for 11 bins and a limit of 10 these are 0, 0.62, 1.61, 3.22, 5.81, 10 to either side.

    Args:
        env: an environment with the Dict action space of worldsim/BlocksSim-v0; for vectors see `vector_wrappers`.
        camera_bins: bins for yaw and for pitch, odd and at least 3.

    Raises:
        TypeError: the action space of `env` is another one.
        ValueError: `camera_bins` is even or below 3, or a step's action is outside the space.

    >>> env = MultiDiscreteActions(gym.make("worldsim/BlocksSim-v0"))
    >>> env.action(np.array([1, 0, 0, 0, 2, 10, 5]))["camera"]
    array([10.,  0.], dtype=float32)
    """

    def __init__(self, env: gym.Env[Any, dict[str, Any]], camera_bins: int = 11) -> None:
        self.camera_values = camera_bin_values(getattr(env, "action_space", None), type(self).__name__, camera_bins)
        RecordConstructorArgs.__init__(self, camera_bins=camera_bins)
        gym.ActionWrapper.__init__(self, env)
        self.action_space = seven_choices(camera_bins)

    def action(self, action: Any) -> dict[str, Any]:
        """The Dict action for seven choices, int (7,)."""
        _check(self.action_space, action)
        *pairs, slot, yaw, pitch = (int(choice) for choice in action)
        keys = tuple(pair[choice - 1] for pair, choice in zip(PAIRS, pairs, strict=True) if choice)
        return _dict_action(self.env.action_space, keys, slot, self.camera_values[yaw], self.camera_values[pitch])


def check_camera_degrees(space: Any, wrapper: str, degrees: float) -> float:
    """The degrees of a turn; TypeError if the action space is not that of BlocksSim, ValueError if it turns less far.

    wrapper: the name of the class that asks, for the message.
    """
    limit = _camera_limit(space, wrapper)
    if not 0 < degrees <= limit:
        raise ValueError(f"camera_degrees must be above 0 and at most {limit:g}, got {degrees}")
    return float(degrees)


def camera_bin_values(space: Any, wrapper: str, bins: int) -> np.ndarray:
    """Degrees float64 (bins,) of the bins of `MultiDiscreteActions`; TypeError and ValueError as above."""
    limit = _camera_limit(space, wrapper)
    if bins < 3 or bins % 2 == 0:
        raise ValueError(f"camera_bins must be odd and at least 3, so that the middle one is 0; got {bins}")
    even = np.linspace(-1.0, 1.0, bins)
    return np.sign(even) * ((1.0 + _MU) ** np.abs(even) - 1.0) / _MU * limit


def seven_choices(bins: int) -> spaces.MultiDiscrete:
    """The action space of `MultiDiscreteActions`."""
    return spaces.MultiDiscrete([*[3] * len(PAIRS), SLOTS, bins, bins])


def _camera_limit(space: Any, wrapper: str) -> float:
    """How far the camera turns a tick at most, in degrees; TypeError if the action space is not that of BlocksSim."""
    parts = dict(space.spaces) if isinstance(space, spaces.Dict) else {}
    camera, hotbar = parts.pop("camera", None), parts.pop("hotbar", None)
    fits = (
        isinstance(camera, spaces.Box)
        and camera.shape == (2,)
        and hotbar == spaces.Discrete(SLOTS)
        and sorted(parts) == sorted(KEYS)
        and all(part == spaces.Discrete(2) for part in parts.values())
    )
    if not fits:
        raise TypeError(
            f"{wrapper} needs an environment with the action space of worldsim/BlocksSim-v0, a Dict of "
            f"{', '.join(KEYS)} (Discrete(2) each), hotbar (Discrete({SLOTS})) and camera "
            f"(Box of shape (2,)); got {space}"
        )
    assert isinstance(camera, spaces.Box)
    return float(camera.high.min())


def _check(space: spaces.Space[Any], action: Any) -> None:
    if not space.contains(action):
        raise ValueError(f"action {action!r} is outside the action space {space}")


def _dict_action(
    space: spaces.Space[Any], keys: tuple[str, ...], slot: int, yaw: float, pitch: float
) -> dict[str, Any]:
    """The element of the Dict space with these keys held, in the order of the space."""
    assert isinstance(space, spaces.Dict)
    action: dict[str, Any] = {name: int(name in keys) for name in space.spaces}
    action["hotbar"] = slot
    action["camera"] = np.array((yaw, pitch), np.float32)
    return action

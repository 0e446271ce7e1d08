"""PushTSim-v0: the task PushT of the package `gym-pusht` (extra worldsim[robotics]) with pictures, captions, snapshots.

Physics, picture and end are the package's to the bit, the reward is but for the last one. A snapshot is the start of
the episode and the actions since, because pymunk's state cannot be set from outside: whatever moves there is damped to
a stop in every substep, and what moves it on are the impulses of contacts, which pymunk remembers. `reset_to_state` of
the package loses them, and a copy of a pymunk Space does too: both go another way within one step.
"""

from __future__ import annotations

import os
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldsim.spec import check_size

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

try:
    from gym_pusht.envs.pusht import PushTEnv, pymunk_to_shapely
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'PushTSim needs gym-pusht and what it asks for ({error}): pip install "worldsim[robotics]"', name=error.name
    ) from error
except ImportError as error:  # the package brings the OpenCV that can open windows, and it wants to be able to
    raise ImportError(
        f"OpenCV misses a library of the system ({error}); Debian, Ubuntu: apt install libgl1 libglib2.0-0"
    ) from error

SIDE = 512.0  # of the square scene, in the package's units
RADIUS = 15.0  # of the disc


class _Game(PushTEnv):
    """The package's environment, which can also step without looking at what came of it."""

    quiet = False

    def get_obs(self) -> Any:
        return None if self.quiet else super().get_obs()

    def _get_coverage(self) -> float:
        # As in the package, but that goes through a set of shapes, in the order of addresses in memory, and the last
        # bit of the area depends on it.
        if self.quiet:
            return 0.0
        goal = pymunk_to_shapely(self.get_goal_pose_body(self.goal_pose), self._block_shapes)
        block = pymunk_to_shapely(self.block, self._block_shapes)
        return float(goal.intersection(block).area / goal.area)


class PushTSimEnv(gym.Env[np.ndarray, np.ndarray]):
    """Push a grey T onto a green one with a blue disc, seen from above.

    Args:
        size: (height, width) of a frame in pixels, multiples of 16; the square scene is stretched to it. At (96, 96) it
            is what the package shows by `obs_type="pixels"`.
        render_mode: None or "rgb_array".

    Observation: uint8 (height, width, 3) RGB. Action: float32 (2,) in [0, 512], where the disc is to go, to the right
    and downwards from the upper left corner; the scene is 512 units wide. A step is 1/10 second.
    Reward: the share of the green T that the grey one covers, divided by 0.95, at most 1; more than 0.95 terminates the
    episode. `info` holds what the package's does: `pos_agent` and `vel_agent` float64 (2,), in units and a second,
    `block_pose` and `goal_pose` float64 (3,) = (right, down, radians), `n_contacts` (of the T with disc or walls),
    `is_success` and `coverage` in [0, 1]; and `contact`, whether the disc touches the T, and `caption`.

    The disc goes through walls and can push the T into one. Raises ValueError for a wrong size, render mode or action.

    >>> env = PushTSimEnv()
    >>> frame, info = env.reset(seed=0)
    >>> frame, reward, terminated, truncated, info = env.step(info["block_pose"][:2].astype(np.float32))
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (gymnasium's own convention)

    def __init__(self, size: tuple[int, int] = (64, 64), render_mode: str | None = None) -> None:
        self.size = check_size(size)
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be None or 'rgb_array', got {render_mode!r}")
        self.render_mode = render_mode
        self._game = _Game(obs_type="pixels", observation_height=self.size[0], observation_width=self.size[1])
        self.observation_space = spaces.Box(0, 255, (*self.size, 3), np.uint8)
        self.action_space = spaces.Box(0.0, SIDE, (2,), np.float32)
        self._frame: np.ndarray | None = None
        self._start: dict[str, Any] = {}  # of the random generator, before it placed disc and T
        self._actions: list[np.ndarray] = []  # since then

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Place disc and T as the package does for this seed; returns (frame, info).

        ValueError for a prompt: nothing here can be chosen by words.
        """
        super().reset(seed=seed)
        if options and options.get("prompt") is not None:
            raise ValueError("PushTSim takes no prompt: nothing in it can be chosen by words")
        self._start, self._actions = deepcopy(dict(self.np_random.bit_generator.state)), []
        self._game.np_random = self.np_random
        frame, info = self._game.reset()
        self._frame = frame
        return frame.copy(), self._told(info)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Let the disc head for `action`, float32 (2,) in [0, 512], for 1/10 second."""
        if self._frame is None:
            raise gym.error.ResetNeeded("call reset() before step()")
        if not self.action_space.contains(action):
            raise ValueError(
                f"action {action!r} is outside the action space: expected a float32 array of shape (2,) in [0, 512]"
            )
        self._actions.append(np.array(action, np.float32))
        frame, reward, terminated, _, info = self._game.step(self._actions[-1])
        self._frame = frame
        return frame.copy(), float(reward), bool(terminated), False, self._told(info)

    def render(self) -> np.ndarray | None:
        """The present frame, uint8 (height, width, 3), if the render mode is "rgb_array"; otherwise None."""
        return self._frame.copy() if self.render_mode == "rgb_array" and self._frame is not None else None

    def snapshot(self) -> dict[str, Any]:
        """How the present state came about, plain arrays and values: the start of the episode and the actions since.

        What follows a `restore` is the same to the bit, in this environment or another, with the same versions of
        pymunk and the package.
        """
        if self._frame is None:
            raise gym.error.ResetNeeded("call reset() before snapshot()")
        return {
            "start": deepcopy(self._start),
            "actions": np.array(self._actions, np.float32).reshape(-1, 2),
            "random": deepcopy(self.np_random.bit_generator.state),
        }

    def restore(self, snapshot: dict[str, Any]) -> np.ndarray:
        """Go back to what `snapshot()` returned; returns the frame there, uint8 (height, width, 3).

        It does all steps since the start of that episode again, without pictures: half a millisecond each.
        """
        game, random = self._game, self.np_random
        random.bit_generator.state = deepcopy(snapshot["start"])
        self._start, self._actions = deepcopy(snapshot["start"]), list(snapshot["actions"].copy())
        game.np_random = random
        game.quiet = True
        try:
            game.reset()
            for action in self._actions:
                game.step(action)
        finally:
            game.quiet = False
        random.bit_generator.state = deepcopy(snapshot["random"])
        frame = game.get_obs()
        self._frame = frame
        return frame.copy()

    def _told(self, info: dict[str, Any]) -> dict[str, Any]:
        """The package's info, of a reset too the coverage, with more."""
        coverage = float(info["coverage"] if "coverage" in info else self._game._get_coverage())
        disc = self._game.agent.position
        contact = min(shape.point_query(disc).distance for shape in self._game._block_shapes) < RADIUS + 0.5
        disc_is = "pushed by a blue disc" if contact else "a blue disc beside it"
        place = "away from" if coverage < 0.02 else "partly on" if coverage < 0.8 else "on"
        return info | {
            "goal_pose": info["goal_pose"].copy(),
            "is_success": bool(info["is_success"]),
            "coverage": coverage,
            "contact": bool(contact),
            "caption": f"a grey T {place} a green T, {disc_is}",
        }

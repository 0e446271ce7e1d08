"""Things to do in the block world: reach the tower, collect wood, stay dry. Rewards and ends are read off the truth.

Each is `BlocksSimEnv` with a reward of its own, the same observations and actions; a World that is trained on one
learns the rewards and the ends with the frames.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from worldsim.envs.blocks import physics
from worldsim.envs.blocks.blocks import STRUCTURES, WOOD, WORLD_SHAPE
from worldsim.envs.blocks.env import BlocksSimEnv

_TOWER = 1 + STRUCTURES.index("tower")  # in the map of built columns
_AT = 3.0  # blocks from the nearest column of a tower: who is so near has reached it
_SCALE = 16.0  # blocks that are worth a reward of 1
_AROUND = math.ceil(physics.REACH + physics.EYE_HEIGHT + 0.5)  # blocks from the feet, and more than a tick's way


class _Task(BlocksSimEnv):
    prompt: ClassVar[str]  # for the world of an episode, unless reset is given another

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode in a new world, made by `prompt`, or by options["prompt"]."""
        given = {key: value for key, value in (options or {}).items() if value is not None}
        return super().reset(seed=seed, options={"prompt": self.prompt} | given)


class BlocksTowerSimEnv(_Task):
    """`BlocksSimEnv` with a tower to be reached, which as a rule is in view to begin with.

    The reward of a step is a sixteenth for each block that the player has come nearer to the nearest tower, and 1 more
    within 3 blocks of it, which terminates the episode. `info` also holds tower_distance, in blocks, horizontally.
    ValueError from `reset` if a prompt of the caller's makes a world without one.
    """

    prompt = "a stone tower"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode, see `BlocksSimEnv.reset`."""
        frame, info = super().reset(seed=seed, options=options)
        if not np.isfinite(info["tower_distance"]):
            raise ValueError(f"there is no tower in the world of this prompt: ask for one, as in {self.prompt!r}")
        return frame, info

    def step(self, action: dict[str, Any]) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Advance by one tick, see `BlocksSimEnv.step`."""
        before = self._distance()
        frame, _, _, truncated, info = super().step(action)
        now = info["tower_distance"]
        reached = now < _AT
        return frame, (before - now) / _SCALE + float(reached), reached, truncated, info

    def _distance(self) -> float:
        state, side = self._running(), WORLD_SHAPE[0]
        columns = np.argwhere(state.built == _TOWER) + 0.5
        away = (columns - state.body[[physics.X, physics.Z]] + side / 2) % side - side / 2  # the world wraps around
        return float(np.hypot(*away.T).min(initial=np.inf))

    def _info(self) -> dict[str, Any]:
        return super()._info() | {"tower_distance": self._distance()}


class BlocksWoodSimEnv(_Task):
    """`BlocksSimEnv` in a forest, where wood is to be collected.

    The reward of a step is 1 for a block of wood that is broken, and -1 for one that is placed, so that nothing is to
    be gained by breaking one's own. Episodes do not terminate.
    """

    prompt = "a forest by day"

    def step(self, action: dict[str, Any]) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Advance by one tick, see `BlocksSimEnv.step`."""
        body, (wide, high, deep) = self._running().body, WORLD_SHAPE
        reach = np.arange(-_AROUND, _AROUND + 1)
        x, y, z = ((int(body[at]) + reach) for at in (physics.X, physics.Y, physics.Z))
        around = np.ix_(x % wide, np.unique(y.clip(0, high - 1)), z % deep)
        before = np.count_nonzero(self._running().voxels[around] == WOOD)
        frame, _, ended, truncated, info = super().step(action)
        now = np.count_nonzero(self._running().voxels[around] == WOOD)
        return frame, float(before - now), ended, truncated, info


class BlocksDrySimEnv(_Task):
    """`BlocksSimEnv` on islands, to be walked about on without getting wet.

    The reward of a step is a sixteenth for each block of way that the player makes by its speed then, horizontally; in
    water there is none, and the episode terminates.
    """

    prompt = "islands by day"

    def step(self, action: dict[str, Any]) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Advance by one tick, see `BlocksSimEnv.step`."""
        frame, _, _, truncated, info = super().step(action)
        way = float(np.hypot(info["velocity"][0], info["velocity"][2])) / self.metadata["render_fps"]
        wet = info["in_water"]
        return frame, 0.0 if wet else way / _SCALE, wet, truncated, info

"""CrafterSim-v0: the package `crafter` (arXiv 2109.06780; extra worldsim[crafter]) as a Gymnasium environment.

That package has the interface of old gym. Here it gets seeds, snapshots, and chunks that remember in which order things
came into them: they are sets of objects, whose order is that of addresses in memory, and the next random creature
depends on it.
"""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldsim.spec import check_size

try:
    import crafter
except ModuleNotFoundError as error:
    raise ModuleNotFoundError('CrafterSim needs crafter: pip install "worldsim[crafter]"', name="crafter") from error

FPS = 10  # the package says none; ten steps a second are pleasant to play


class _Ordered(dict[Any, None]):
    """As much of a set as the package asks for, in the order in which things were added."""

    def add(self, thing: Any) -> None:
        self[thing] = None

    def remove(self, thing: Any) -> None:
        del self[thing]


class CrafterSimEnv(gym.Env[np.ndarray, Any]):
    """Crafter: survive, collect, craft; 22 achievements, each of which gives a reward of 1 the first time.

    Args:
        size: (height, width) of a frame in pixels, multiples of 16.
        render_mode: None or "rgb_array".

    Observation: uint8 (height, width, 3) RGB. Action: one of 17, named in `action_names`. Reward: 1 for an achievement
    that is unlocked, and a tenth of the change of health. The episode terminates when the player is dead. `info` holds
    `achievements` (how often each was reached), `inventory`, `player_pos`, `facing` (the step to the cell that the
    player looks at) and `semantic`, a map of what is where.

    Raises ValueError for a wrong size, render mode or action.

    >>> env = CrafterSimEnv()
    >>> frame, info = env.reset(seed=0)
    >>> frame, reward, terminated, truncated, info = env.step(env.action_names.index("move_left"))
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012 (gymnasium's own convention)

    def __init__(self, size: tuple[int, int] = (64, 64), render_mode: str | None = None) -> None:
        self.size = check_size(size)
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be None or 'rgb_array', got {render_mode!r}")
        self.render_mode = render_mode
        # Its pictures are wide first inside; it never cuts an episode off, which is for a TimeLimit to do.
        self._game = crafter.Env(size=self.size[::-1], length=None, seed=0)
        self.action_names: list[str] = list(self._game.action_names)
        self.observation_space = spaces.Box(0, 255, (*self.size, 3), np.uint8)
        self.action_space = spaces.Discrete(len(self.action_names))
        self._frame: np.ndarray | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Make a new island; returns (frame, info). ValueError for a prompt: nothing here can be chosen by words."""
        super().reset(seed=seed)
        if options and options.get("prompt") is not None:
            raise ValueError("CrafterSim takes no prompt: nothing in it can be chosen by words")
        game = self._game
        game._seed, game._episode = int(self.np_random.integers(2**31)), 0
        self._frame = game.reset()
        world = game._world
        number = {thing: index for index, thing in enumerate(world._objects) if thing is not None}
        chunks: defaultdict[Any, _Ordered] = defaultdict(_Ordered)
        for key, things in world._chunks.items():
            chunks[key] = _Ordered((thing, None) for thing in sorted(things, key=number.__getitem__))
        world._chunks = chunks
        return self._frame.copy(), self._info()

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Do one thing; (frame, reward, terminated, truncated, info)."""
        if self._frame is None:
            raise gym.error.ResetNeeded("call reset() before step()")
        if not self.action_space.contains(action):
            raise ValueError(f"action must be 0 to {len(self.action_names) - 1}, got {action!r}")
        self._frame, reward, _, _ = self._game.step(int(action))
        return self._frame.copy(), float(reward), bool(self._game._player.health <= 0), False, self._info()

    def render(self) -> np.ndarray | None:
        """The present frame, uint8 (height, width, 3), if the render mode is "rgb_array"; otherwise None."""
        # Drawn anew it would be another one: at night the picture is noisy, by the world's own random numbers.
        return self._frame.copy() if self.render_mode == "rgb_array" and self._frame is not None else None

    def snapshot(self) -> dict[str, Any]:
        """The whole state, to `restore` any number of times; what follows is then the same to the pixel."""
        if self._frame is None:
            raise gym.error.ResetNeeded("call reset() before snapshot()")
        return {
            "game": self._copy(self._game),
            "frame": self._frame.copy(),
            "random": deepcopy(self.np_random.bit_generator.state),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go back to what `snapshot()` returned; ValueError if its frames have another size."""
        if snapshot["frame"].shape[:2] != self.size:
            raise ValueError(f"the snapshot is of frames of {snapshot['frame'].shape[:2]}, this has {self.size}")
        self._game = self._copy(snapshot["game"])
        self._frame = snapshot["frame"].copy()
        self.np_random.bit_generator.state = deepcopy(snapshot["random"])

    @staticmethod
    def _copy(game: Any) -> Any:
        """All of the game but its textures, which never change."""
        return deepcopy(game, {id(game._textures): game._textures})

    def _info(self) -> dict[str, Any]:
        player = self._game._player
        return {
            "achievements": dict(player.achievements),
            "inventory": dict(player.inventory),
            "player_pos": np.array(player.pos),
            "facing": np.array(player.facing),
            "semantic": self._game._sem_view(),
        }

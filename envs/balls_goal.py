"""BallsGoalSim-v0: push the white ball onto a mark, the smallest task here that a picture has to be read for."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldsim.envs.balls import RADIUS, WALL, BallsSimEnv

MARK = np.array((60, 190, 190), np.float32)
MARK_RADIUS = 1 / 8  # in box sides, as all lengths
REACHED = 1 / 16  # how near the ball's centre must come to the mark's: 3 pixels at 48 x 48
FAR = 0.35  # how far from the mark the ball begins at least


class BallsGoalSimEnv(BallsSimEnv):
    """`BallsSimEnv` with a round mark on the ground that the pushed, white ball is to reach; the others are in the way.

    Args as for `BallsSimEnv`. Observation and action are the same. The reward of a step is how much nearer to the mark
    the ball has come, in box sides, and 1 more when it is there, which terminates the episode: so whoever gets there
    has a return of 1 plus the distance that the ball began from (0.35 to 0.94), less REACHED at most. `info` holds
    `mark` too, float64 (2,) = (right, up) in box sides.

    >>> env = BallsGoalSimEnv()
    >>> frame, info = env.reset(seed=0)
    >>> push = np.clip(4 * (info["mark"] - info["positions"][0]), -1, 1).astype(np.float32)
    >>> frame, reward, terminated, truncated, info = env.step(push)
    """

    _mark = np.zeros(2)  # in box sides from the lower left corner; `reset` places it

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Place the balls and the mark at random; returns (frame, info)."""
        super().reset(seed=seed, options=options)
        assert self._positions is not None
        marks = self.np_random.uniform(WALL + RADIUS, 1 - WALL - RADIUS, (64, 2))
        away = np.hypot(*(marks[:, None] - self._positions).T)  # (balls, 64)
        # Far enough, which of as many places one hardly ever is not, and in sight, unless six balls hide them all.
        best = np.lexsort((-away.min(0).clip(max=2 * RADIUS), away[0] < FAR))[0]
        self._put_mark(marks[best])
        return self._draw(), self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Push the white ball by `action`, float32 (2,) in [-1, 1], and let 1/20 second pass."""
        before = self._distance()
        frame, _, _, truncated, info = super().step(action)
        now = self._distance()
        reached = now < REACHED
        return frame, before - now + float(reached), reached, truncated, info

    def snapshot(self) -> dict[str, Any]:
        """The whole state, see `BallsSimEnv.snapshot`."""
        return super().snapshot() | {"mark": self._mark.copy()}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go back to a state that `snapshot()` returned; ValueError if it has another number of balls."""
        super().restore(snapshot)
        self._put_mark(snapshot["mark"].copy())

    def _distance(self) -> float:
        return 1.0 if self._positions is None else float(np.hypot(*(self._positions[0] - self._mark)))

    def _info(self) -> dict[str, Any]:
        return super()._info() | {"mark": self._mark.copy()}

    def _put_mark(self, mark: np.ndarray) -> None:
        self._mark = mark
        self._empty = self._draw_box()
        self._draw_disc(self._empty, mark, MARK_RADIUS, MARK)

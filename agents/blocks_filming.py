"""How a camera moves through the block world: slow pans, walks and stillness, nothing dug and nothing built."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldsim.agents.blocks_explorer import Behaviour, BlocksExplorer, Keys

_TURN = (0.3, 1.8)  # degrees a tick


class BlocksFilming(BlocksExplorer):
    """Walks, strafes, pans, tilts, follows animals and stands still, so calmly that a film can be made of it."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self._behaviours = {
            self._walk: 3.0,
            self._strafe: 2.0,
            self._pan: 4.0,
            self._tilt: 1.0,
            self._stand: 1.0,
            self._follow_animal: 2.0,
        }

    def _extra_keys(self) -> Keys:
        return ()

    def _rate(self) -> float:
        return self._between(*_TURN)

    def act(self, obs: np.ndarray, info: dict[str, Any]) -> dict[str, Any]:
        """The action at this tick, an element of the action space; `info` is BlocksSim's."""
        action = super().act(obs, info)
        action["camera"] = action["camera"].clip(-_TURN[1], _TURN[1])
        return action

    def _walk(self) -> Behaviour:
        if self._rng.random() < 0.5:  # in a curve
            self._turn_by(self._side() * self._between(10, 60), self._rate())
        yield from self._hold(("forward",), self._ticks(30, 90))

    def _strafe(self) -> Behaviour:
        side = self._side()
        if self._rng.random() < 0.5:  # around something, keeping it in view
            self._turn_by(-side * self._between(20, 60), self._rate())
        yield from self._hold(("right",) if side > 0 else ("left",), self._ticks(20, 60))

    def _pan(self) -> Behaviour:
        yield from self._hold((), self._turn_by(self._side() * self._between(20, 120), self._rate()))
        yield from self._hold((), self._ticks(0, 15))

    def _tilt(self) -> Behaviour:
        yield from self._hold((), self._tilt_to(self._between(-25, 30), self._rate()))
        yield from self._hold((), self._ticks(5, 20))
        yield from self._hold((), self._tilt_to(self._between(-4, 12), self._rate()))

    def _get_away(self) -> Behaviour:
        yield from self._hold((), self._turn_by(self._side() * self._between(50, 130), self._rate()))

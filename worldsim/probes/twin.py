"""A simulator and its learned World at the same starts, stepped with the same actions, and its understudies."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import gymnasium as gym
import numpy as np

from worldsim.simulation import Simulation
from worldsim.world import World

_REMEMBERED = 1 << 29  # bytes of the simulator's frames beyond which the oldest are forgotten


@dataclass(frozen=True)
class Start:
    """Where both begin: context frames uint8 (C, H, W, 3), the flat actions float32 (C - 1, A) between them, the
    simulator's state at the last of them, as its `snapshot` gave it, and the seed of the World's lane."""

    frames: np.ndarray
    actions: np.ndarray
    snapshot: Any
    seed: int


class Player(Protocol):
    """Who shows what comes of actions: a World, or a baseline in its place."""

    def show(self, actions: np.ndarray) -> np.ndarray:
        """Frames uint8 (starts, T + 1, H, W, 3), the starts first, by flat actions float32 (T, starts, A)."""
        ...


def begin(world: World, starts: Sequence[Start]) -> Simulation:
    """The World at these starts, a lane each."""
    contexts, actions = (np.stack(part) for part in zip(*((s.frames, s.actions) for s in starts), strict=True))
    return world.start(len(starts), [start.seed for start in starts], context=contexts, actions=actions)


class WorldPlayer:
    """A World that goes on from the starts, a lane each; it begins anew with each call. tick: told of frames made."""

    def __init__(self, world: World, starts: Sequence[Start], tick: Callable[[int], Any]) -> None:
        self._run = begin(world, starts)
        self._begin = self._run.snapshot()
        self._tick = tick

    def show(self, actions: np.ndarray) -> np.ndarray:
        """See `Player`."""
        self._run.restore(self._begin)
        frames = [self._run.frames.cpu().numpy()]
        for flat in actions:
            frames.append(self._run.step(flat).frames.cpu().numpy())
            self._tick(self._run.lanes)
        return np.stack(frames, 1)


class Simulator:
    """The simulator itself in the World's place: what a perfect World would show."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    def show(self, actions: np.ndarray) -> np.ndarray:
        """See `Player`."""
        return self._twin.simulate(actions)[0]


class Twin:
    """A simulator with `snapshot` and `restore` and a World of it, which go on from the same starts, a lane each.

    env: the simulator. tick: told of the frames that the World makes, as they are made.

    >>> twin = Twin(env, world, starts)
    >>> truth, shown = twin.play(actions)  # flat, (T, A) the same for all starts, or (T, starts, A)
    >>> true_contrast, shown_contrast = twin.branch(actions, others)
    """

    def __init__(
        self, env: gym.Env, world: World, starts: Sequence[Start], tick: Callable[[int], Any] = lambda frames: None
    ) -> None:
        self.env, self.world, self.starts = env, world, starts
        self.player: Player = WorldPlayer(world, starts, tick)
        self._played: dict[bytes, tuple[np.ndarray, list[list[dict[str, Any]]]]] = {}

    def beside(self, player: Player) -> Self:
        """The same simulator at the same starts, with another player in the place of the World."""
        other = copy.copy(self)
        other.player = player
        return other

    def play(self, steps: Any) -> tuple[np.ndarray, np.ndarray]:
        """Frames of the simulator and of the World from the starts on, uint8 (starts, T + 1, H, W, 3) each.

        The first of them is the start itself.
        """
        return self.truth(steps), self.shown(steps)

    def branch(self, steps: Any, others: Any) -> tuple[np.ndarray, np.ndarray]:
        """What it makes of the frames to act by `steps` and not by `others`, true and predicted.

        Differences of brightness in [-1, 1], float32 (starts, T + 1, H, W, 3) each; the same noise in both branches.
        """
        pairs = zip(self.play(steps), self.play(others), strict=True)
        true, shown = ((one.astype(np.float32) - other) / 255 for one, other in pairs)
        return true, shown

    def truth(self, steps: Any) -> np.ndarray:
        """Frames of the simulator alone."""
        return self.witnessed(steps)[0]

    def witnessed(self, steps: Any) -> tuple[np.ndarray, list[list[dict[str, Any]]]]:
        """Frames of the simulator, and the `info` of each of its T steps, a list for each start."""
        return self.simulate(self.flat(steps))

    def simulate(self, actions: np.ndarray) -> tuple[np.ndarray, list[list[dict[str, Any]]]]:
        """The same by flat actions float32 (T, starts, A).

        What was played lately is remembered, since every baseline is compared with the same truth.
        """
        script = actions.tobytes()
        if script not in self._played:
            played = self._simulate(actions)
            while self._played and sum(frames.nbytes for frames, _ in self._played.values()) > _REMEMBERED:
                del self._played[next(iter(self._played))]
            self._played[script] = played
        frames, infos = self._played[script]
        return frames.copy(), infos  # whoever asked may write to them

    def _simulate(self, actions: np.ndarray) -> tuple[np.ndarray, list[list[dict[str, Any]]]]:
        lanes, infos = [], []
        simulator: Any = self.env.unwrapped
        for number, start in enumerate(self.starts):
            simulator.restore(start.snapshot)
            frames, facts = [start.frames[-1]], []
            for flat in actions[:, number]:
                frame, _, _, _, info = self.env.step(self.world.spec.unflatten(flat))
                frames.append(np.array(frame))
                facts.append(info)
            lanes.append(np.stack(frames))
            infos.append(facts)
        return np.stack(lanes), infos

    def shown(self, steps: Any) -> np.ndarray:
        """Frames of the World alone."""
        return self.player.show(self.flat(steps))

    def flat(self, steps: Any) -> np.ndarray:
        """Flat actions float32 (T, starts, A) of what `play` was given; ValueError for another shape."""
        actions = np.asarray(steps, np.float32)
        if actions.ndim == 2:
            actions = np.repeat(actions[:, None], len(self.starts), 1)
        if actions.ndim != 3 or actions.shape[1:] != (len(self.starts), self.world.spec.action_dim):
            raise ValueError(
                f"a twin is played by flat actions (T, {self.world.spec.action_dim}) or "
                f"(T, {len(self.starts)}, {self.world.spec.action_dim}), got {np.shape(steps)}"
            )
        return actions

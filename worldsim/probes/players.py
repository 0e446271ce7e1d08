"""Baselines in the place of a World: what a probe's figure would be if nothing had been learned of what it asks for."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from worldsim.model.dynamics import Dynamics
from worldsim.probes.heldout import explore, idle_flat
from worldsim.probes.twin import Player, Start, Twin, WorldPlayer
from worldsim.spec import WorldSpec
from worldsim.world import World

_RECORDED = 32  # episodes to retrieve from
_LENGTHS = (272, 136, 68, 34)  # frames in each after its context: as many as the simulator's episodes last
_SMALL = (16, 16)  # width and height of the pictures that are compared to find the nearest
_OPPOSITE = {"forward": "back", "back": "forward", "left": "right", "right": "left"}


class Frozen:
    """Shows the last frame of the context for ever."""

    def __init__(self, starts: Sequence[Start]) -> None:
        self._last = np.stack([start.frames[-1] for start in starts])

    def show(self, actions: np.ndarray) -> np.ndarray:
        """See `worldsim.probes.twin.Player`."""
        return np.repeat(self._last[:, None], len(actions) + 1, 1)


class Blind:
    """A World that is told to do nothing, whatever is done.

    Its film is kept, and made anew only when a longer one is asked for, or something else is held in hand.
    """

    def __init__(self, player: Player, spec: WorldSpec) -> None:
        self._player, self._spec = player, spec
        self._idle, self._film = np.zeros(0, np.float32), np.zeros((0, 0), np.uint8)  # none yet

    def show(self, actions: np.ndarray) -> np.ndarray:
        """See `worldsim.probes.twin.Player`."""
        idle = idle_flat(self._spec, actions[0])
        if self._film.shape[1] <= len(actions) or not np.array_equal(idle, self._idle):
            self._idle, self._film = idle, self._player.show(np.repeat(idle[None], len(actions), 0))
        return self._film[:, : len(actions) + 1].copy()  # whoever asked may write to it


class Backwards:
    """A World that is told the opposite of what is done: pushes and turns the other way, opposite keys exchanged."""

    def __init__(self, player: Player, spec: WorldSpec) -> None:
        self._player, self._spec = player, spec

    def show(self, actions: np.ndarray) -> np.ndarray:
        """See `worldsim.probes.twin.Player`."""
        spec = self._spec
        other = [[spec.flatten(opposite(spec.action_space, spec.unflatten(a))) for a in row] for row in actions]
        return self._player.show(np.array(other))


class Retrieved:
    """Shows what followed the nearest two frames of a recording: what one who only remembers would show."""

    def __init__(self, starts: Sequence[Start], recorded: np.ndarray) -> None:
        """recorded: uint8 (episodes, T, H, W, 3)."""
        self._recorded = recorded
        small = np.stack([_small(episode) for episode in recorded])
        known = np.concatenate([small[:, 1:], small[:, :-1]], -1)  # a frame and the one before
        wanted = [_small(start.frames[[-1, max(-2, -len(start.frames))]]).reshape(-1) for start in starts]
        self._apart = np.stack([((known - now) ** 2).sum(-1) for now in wanted])  # (starts, episodes, T - 1)

    def show(self, actions: np.ndarray) -> np.ndarray:
        """See `worldsim.probes.twin.Player`; among moments that enough frames follow, if there are any."""
        last = self._recorded.shape[1] - 1
        apart = self._apart[..., : max(last - len(actions), 1)]
        rows = []
        for start in apart:
            episode, moment = np.unravel_index(start.argmin(), start.shape)
            rows.append(self._recorded[episode, np.minimum(moment + 1 + np.arange(len(actions) + 1), last)])
        return np.stack(rows)


def opposite(space: spaces.Space, action: Any) -> Any:
    """The action that undoes this one as far as an action can: numbers mirrored in their bounds, keys exchanged."""
    if isinstance(space, spaces.Dict):
        return {
            key: opposite(part, action[_OPPOSITE[key] if _OPPOSITE.get(key) in space.spaces else key])
            for key, part in space.spaces.items()
        }
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        bounded = np.isfinite(space.low) & np.isfinite(space.high)
        return np.where(bounded, space.low + space.high - action, -action).astype(space.dtype)
    return action


def has_opposites(spec: WorldSpec) -> bool:
    """Whether an action of this space can be turned round at all."""
    space = copy.deepcopy(spec.action_space)
    space.seed(0)
    actions = [space.sample() for _ in range(8)]
    return any(not np.array_equal(spec.flatten(a), spec.flatten(opposite(space, a))) for a in actions)


class Players:
    """Makes the baselines of a World's twins; what they have in common, an untrained World and a recording, once."""

    def __init__(self, env: gym.Env, world: World, tick: Callable[[int], Any]) -> None:
        self._env, self._world, self._tick = env, world, tick
        self._untrained: World | None = None
        self._recorded: np.ndarray | None = None

    def beside(self, twin: Twin, acts: bool) -> dict[str, Player]:
        """The baselines by name. acts: whether actions matter; those that differ in them alone are left out if not."""
        players: dict[str, Player] = {"copy last frame": Frozen(twin.starts)}
        if acts:
            players["no actions"] = Blind(twin.player, self._world.spec)
        if acts and has_opposites(self._world.spec):
            players["wrong direction"] = Backwards(twin.player, self._world.spec)
        players["nearest recorded"] = Retrieved(twin.starts, self.recorded)
        players["untrained"] = WorldPlayer(self.untrained, twin.starts, self._tick)
        return players

    @property
    def untrained(self) -> World:
        """A World as its training begins, which sees and draws as the World does: it shows about the frame before.

        One that sees motion lets half of what it has seen move go on.
        """
        if self._untrained is None:
            world = self._world
            dynamics = Dynamics(world.dynamics.config)
            if dynamics.config.moves:
                dynamics.motion.start_from(copy.deepcopy(world.tokenizer).to("cpu", torch.float32))
            # Moved anew, because `to` changes what it is given in place, and the tokenizer is the World's own.
            parts = world.spec, copy.deepcopy(world.tokenizer), dynamics, world.starts, world.overlay
            self._untrained = World(*parts).to(world.device, world.dtype)
        return self._untrained

    @property
    def recorded(self) -> np.ndarray:
        """Episodes of seeds that recordings use, uint8 (episodes, T, H, W, 3); ValueError if they are too short."""
        if self._recorded is None:
            self._recorded = _record(self._env)
        return self._recorded


def _record(env: gym.Env) -> np.ndarray:
    *longer, shortest = _LENGTHS
    for length in longer:
        with contextlib.suppress(ValueError):  # its episodes are shorter
            return explore(env, list(range(_RECORDED)), length, lambda: None).frames
    return explore(env, list(range(_RECORDED)), shortest, lambda: None).frames


def _small(frames: np.ndarray) -> np.ndarray:
    """Small pictures of frames uint8 (n, H, W, 3) as vectors float32 (n, features)."""
    return (
        np.stack([cv2.resize(frame, _SMALL, interpolation=cv2.INTER_AREA) for frame in frames])
        .reshape(len(frames), -1)
        .astype(np.float32)
    )

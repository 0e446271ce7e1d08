"""Which keys and mouse movements become which action of a Gymnasium action space.

Knows nothing of pygame: keys come in by name ("w", "left shift", "mouse left"), an element of the space goes out.
Spaces with the names of the block world (or of VPT's recordings) get the keys that players know; others get arrows and
digits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces

# Names that parts of a Dict space have here, in VPT and in MineRL -> (keys, what to call it in the help).
NAMED_KEYS: dict[str, tuple[str, ...]] = {
    "forward": ("w", "up"),
    "back": ("s", "down"),
    "left": ("a", "left"),
    "right": ("d", "right"),
    "jump": ("space",),
    "sneak": ("left shift", "right shift"),
    "sprint": ("left ctrl",),
    "break": ("mouse left",),
    "attack": ("mouse left",),
    "place": ("mouse right",),
    "use": ("mouse right",),
}
DIGITS = ("1", "2", "3", "4", "5", "6", "7", "8", "9")
DIRECTIONS = {"left": ("a", "left"), "right": ("d", "right"), "down": ("s", "down"), "up": ("w", "up")}

# Environments whose actions are one choice of many: (keys, what to call it in the help) of each, by their id.
CHOICES: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "worldsim/CrafterSim-v0": (
        ((), "nothing"),
        (DIRECTIONS["left"], "go left"),
        (DIRECTIONS["right"], "go right"),
        (DIRECTIONS["up"], "go up"),
        (DIRECTIONS["down"], "go down"),
        (("space",), "collect, hit, eat, drink"),
        (("z",), "sleep"),
        (("q",), "place a stone"),
        (("e",), "place a table"),
        (("f",), "place a furnace"),
        (("x",), "plant"),
        (("1",), "make a wooden pickaxe"),
        (("2",), "make a stone pickaxe"),
        (("3",), "make an iron pickaxe"),
        (("4",), "make a wooden sword"),
        (("5",), "make a stone sword"),
        (("6",), "make an iron sword"),
    ),
}

# Environments whose action is a place in the picture, right and down from its upper left corner, by their id.
PLACES = ("worldsim/PushTSim-v0",)
PLACE_STEP = 0.04  # of the picture, by which a held arrow moves that place in a tick

DEGREES_PER_PIXEL = 0.15
CAMERA_LIMIT = 10.0  # degrees a tick and axis, unless the space says otherwise
CARRY_TICKS = 3  # a flick of the mouse goes on turning for at most this many ticks: more would feel like lag


class MouseLook:
    """Turns mouse movement in pixels into degrees a tick; what exceeds the limit is carried to the next ticks."""

    def __init__(self, limit: float = CAMERA_LIMIT, degrees_per_pixel: float = DEGREES_PER_PIXEL) -> None:
        self.limit = limit
        self.degrees_per_pixel = degrees_per_pixel
        self._pending = np.zeros(2)

    def move(self, right: float, down: float) -> None:
        """Take in a movement of the mouse, pixels."""
        bound = self.limit * CARRY_TICKS
        moved = self._pending + self.degrees_per_pixel * np.array([right, down])
        self._pending = np.clip(moved, -bound, bound)

    def take(self) -> np.ndarray:
        """(yaw, pitch) for this tick, float32 degrees within the limit; the rest stays for the next one."""
        turn = np.clip(self._pending, -self.limit, self.limit)
        self._pending -= turn
        return turn.astype(np.float32)

    def clear(self) -> None:
        """Forget movement that has not been used yet."""
        self._pending[:] = 0


@dataclass
class Keymap:
    """The keys of one action space: `action(keys)` gives the element of `space` that the held keys stand for.

    `help` lists (keys, what they do) for the player to read. `look` collects mouse movement if the space has a camera;
    where actions are places in the picture, `points` is true, and `point` says which.
    `simulator` is the id of the environment, if there is one: the choices of some have keys of their own, `CHOICES`.
    """

    space: spaces.Space
    simulator: str | None = None
    help: list[tuple[str, str]] = field(default_factory=list)
    look: MouseLook | None = None

    def __post_init__(self) -> None:
        self.slot = 0  # the hotbar slot in hand
        self.points = False
        self._place = np.full(2, 0.5)  # shares of the picture
        self._slots = 0
        self._digits = list(DIGITS)
        self._arrows_free = True
        self._read = self._bind(self.space, "")

    def action(self, keys: Collection[str]) -> Any:
        """The action of the space for this tick, given the names of the keys that are (or just were) down."""
        return self._read(frozenset(keys))

    def point(self, right: float, down: float) -> None:
        """The place that the mouse points at, as shares of the picture's width and height."""
        self._place = np.clip(np.array([right, down], float), 0, 1)

    def turn_wheel(self, notches: int) -> None:
        """Choose the next hotbar slot (negative: the one before)."""
        if self._slots:
            self.slot = (self.slot + notches) % self._slots

    def _bind(self, space: spaces.Space, name: str) -> Callable[[frozenset[str]], Any]:
        if isinstance(space, spaces.Dict):
            parts = {key: self._bind(part, key) for key, part in space.spaces.items()}
            return lambda keys: {key: read(keys) for key, read in parts.items()}
        if isinstance(space, spaces.Discrete):
            if name == "hotbar":
                return self._bind_hotbar(space)
            return self._bind_switch(space, name) if name else self._bind_choice(space)
        if isinstance(space, spaces.Box):
            if self.simulator in PLACES and space.shape == (2,):
                return self._bind_place(space)
            return self._bind_camera(space) if name == "camera" and space.shape == (2,) else self._bind_box(space, name)
        if isinstance(space, spaces.MultiBinary | spaces.MultiDiscrete):
            return self._bind_many(space, name)
        raise ValueError(
            f"there are no keys for an action space of type {type(space).__name__}; Discrete, MultiDiscrete, "
            "MultiBinary, Box and Dict of these can be played (any space can with --headless)"
        )

    def _bind_hotbar(self, space: spaces.Discrete) -> Callable[[frozenset[str]], Any]:
        self._slots, first = int(space.n), space.start
        digits = self._take_digits(self._slots)
        self.help.append((f"{digits[0]}-{digits[-1]}, wheel" if digits else "wheel", "block in hand"))

        def read(keys: frozenset[str]) -> Any:
            for index, digit in enumerate(digits):
                if digit in keys:
                    self.slot = index
            return first + self.slot

        return read

    def _bind_switch(self, space: spaces.Discrete, name: str) -> Callable[[frozenset[str]], Any]:
        """One part of a Dict: its first value while nothing is held, its second while its key is."""
        keys_of = NAMED_KEYS.get(name) or self._take_digits(int(space.n) - 1)
        self.help.append((label(keys_of), name))
        if name in NAMED_KEYS or int(space.n) == 2:
            return lambda keys: space.start + int(not keys.isdisjoint(keys_of))
        return lambda keys: space.start + max((i + 1 for i, key in enumerate(keys_of) if key in keys), default=0)

    def _bind_choice(self, space: spaces.Discrete) -> Callable[[frozenset[str]], Any]:
        """A whole Discrete space: digit d is action d, and action 0 (usually "nothing") while no digit is held."""
        choices = CHOICES.get(self.simulator or "", ())
        if len(choices) == space.n:
            self.help += [(label(keys_of), name) for keys_of, name in choices if keys_of]
            numbers = {key: number for number, (keys_of, _) in enumerate(choices) for key in keys_of}
            return lambda keys: space.start + max((numbers.get(key, 0) for key in keys), default=0)
        digits = self._take_digits(int(space.n) - 1)
        self.help.append((f"1-{len(digits)}" if len(digits) > 1 else "1", "action of that number"))
        self.help.append(("no key", "action 0"))
        return lambda keys: space.start + max((int(digit) for digit in digits if digit in keys), default=0)

    def _bind_camera(self, space: spaces.Box) -> Callable[[frozenset[str]], Any]:
        limit = float(min(np.abs(space.low).min(), np.abs(space.high).min(), 360))
        self.look = look = MouseLook(limit)
        self.help.append(("mouse", "look"))
        return lambda keys: look.take().astype(space.dtype)

    def _bind_place(self, space: spaces.Box) -> Callable[[frozenset[str]], Any]:
        self.points = True
        self.help.append(("mouse, or WASD or arrows", "where to go"))

        def read(keys: frozenset[str]) -> Any:
            for index, (less, more) in enumerate((("left", "right"), ("up", "down"))):
                step = int(not keys.isdisjoint(DIRECTIONS[more])) - int(not keys.isdisjoint(DIRECTIONS[less]))
                self._place[index] = np.clip(self._place[index] + PLACE_STEP * step, 0, 1)
            return (space.low + self._place * (space.high - space.low)).astype(space.dtype)

        return read

    def _bind_box(self, space: spaces.Box, name: str) -> Callable[[frozenset[str]], Any]:
        """Arrows push the first two numbers to the ends of their range; the rest stay in the middle."""
        low = np.where(space.bounded_below, space.low, np.minimum(-1.0, space.high - 1.0)).astype(np.float64).ravel()
        high = np.where(space.bounded_above, space.high, np.maximum(1.0, space.low + 1.0)).astype(np.float64).ravel()
        middle = np.where((low <= 0) & (high >= 0), 0.0, (low + high) / 2)
        ends = [("left", "right"), ("down", "up")][: len(low)] if self._arrows_free else []
        if ends:
            self._arrows_free = False
            self.help.append(("WASD or arrows", f"push {name}".strip()))

        def read(keys: frozenset[str]) -> Any:
            value = middle.copy()
            for index, (least, most) in enumerate(ends):
                less, more = (not keys.isdisjoint(DIRECTIONS[way]) for way in (least, most))
                if less != more:
                    value[index] = low[index] if less else high[index]
            return value.reshape(space.shape).astype(space.dtype)

        return read

    def _bind_many(self, space: spaces.Space, name: str) -> Callable[[frozenset[str]], Any]:
        """MultiBinary and MultiDiscrete: the i-th digit switches the i-th entry from 0 to 1."""
        shape = space.shape or (1,)
        digits = self._take_digits(int(np.prod(shape)))
        self.help.append((f"1-{len(digits)}", f"switches {name}".strip()))
        first = np.zeros(shape, np.int64) + getattr(space, "start", 0)
        choices = np.broadcast_to(getattr(space, "nvec", 2), shape).ravel()

        def read(keys: frozenset[str]) -> Any:
            value = first.copy().ravel()
            for index, digit in enumerate(digits):
                value[index] += digit in keys and choices[index] > 1
            return value.reshape(shape).astype(space.dtype)

        return read

    def _take_digits(self, count: int) -> tuple[str, ...]:
        taken, self._digits = self._digits[:count], self._digits[count:]
        return tuple(taken)


def label(keys: Collection[str]) -> str:
    """How keys are called in the help: "W or Up"; of a left and a right one only what they share."""
    words = [key.removeprefix("left ").removeprefix("right ").title() for key in keys]
    return " or ".join(dict.fromkeys(words)) or "-"

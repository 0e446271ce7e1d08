"""A policy that explores worldsim/BlocksSim-v0: what people do in such a world, in shares that a model learns from.

It is a mixture of behaviours, each a generator that yields the keys of one tick after the other; camera motion is
queued beside them as planned sweeps, so that looking and walking combine freely. It sees `info` only, never pixels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gymnasium import spaces

from worldsim.envs.blocks.blocks import CAMERA_LIMIT, HOTBAR, KEYS

_LEVEL = (-10.0, 25.0)  # degrees of pitch within which it mostly looks
_STUCK_TICKS = 3
_WALK, _SNEAK, _SWIM = 4.3, 1.3, 2.0  # usual speeds in blocks a second

Keys = tuple[str, ...]
Behaviour = Iterator[Keys]


def is_blocks_action_space(space: spaces.Space) -> bool:
    """Whether it is the action space of worldsim/BlocksSim-v0 (and of the Worlds that learned it)."""
    return isinstance(space, spaces.Dict) and tuple(space.spaces) == (*KEYS, "hotbar", "camera")


def sweep(angle: float, rate: float) -> list[float]:
    """Camera motion by `angle` degrees in total, at most `rate` degrees a tick: speeds up, keeps that rate, slows down.

    Returns the degrees of each tick; they add up to `angle`.
    """
    steady = max(1, int(np.ceil(abs(angle) / min(rate, CAMERA_LIMIT))))
    ramp = min(3, steady // 2)
    weights = np.minimum(np.arange(1, steady + ramp + 1), np.arange(steady + ramp, 0, -1))
    weights = np.minimum(weights / (ramp + 1), 1.0)
    return list(angle * weights / weights.sum())


class BlocksExplorer:
    """Walks, looks around, digs, builds, swims, follows animals; gets away from walls instead of grinding at them."""

    def __init__(self, rng: np.random.Generator, rest: float = 0.0, edit: float = 0.0, click: float = 0.0) -> None:
        """rest: weight of doing nothing for some seconds; 2 makes one tick in eight of it. edit: of breaking and
        placing blocks over and over; with 14, and that rest, a block changes in one tick of 25, with 0 in one of 87.
        click: of doing so once at a place, and then elsewhere.
        """
        self._rng = rng
        # Behaviours with their weights. A behaviour with a long run needs a small weight: see the measured shares in
        # the tests, which are what these numbers are chosen for.
        self._behaviours: dict[Callable[[], Behaviour], float] = {
            self._walk: 6.0,
            self._steer: 0.9,
            self._strafe: 4.6,
            self._back_up: 3.2,
            self._turn: 1.7,
            self._look_away_and_back: 0.7,
            self._look_up_or_down: 1.2,
            self._stand: 1.8,
            self._rest: rest,
            self._dig: 2.4,
            self._build: 1.9,
            self._hop: 2.4,
            self._sneak: 2.6,
            self._follow_animal: 1.4,
            self._press_one_key: 9.0,
            self._edit: edit,
            self._click: click,
        }

    def reset(self, obs: np.ndarray, info: dict[str, Any]) -> None:
        """Start anew in an episode whose first observation and info these are."""
        self._info = info
        self._yaw: deque[float] = deque()
        self._pitch: deque[float] = deque()
        self._keys: Keys = ()
        self._extra: Keys = ()
        self._extra_left = 0
        self._stuck = 0
        self._escapes = 0
        self._slot = int(self._rng.integers(len(HOTBAR)))
        self._behaviour: Behaviour = self._choose()

    def act(self, obs: np.ndarray, info: dict[str, Any]) -> dict[str, Any]:
        """The action at this tick, an element of the action space; `info` is BlocksSim's."""
        self._info = info
        if self._is_stuck():
            self._stuck = 0
            self._drop_camera()
            self._behaviour = self._get_away()
        keys = next(self._behaviour, None)
        while keys is None:
            self._behaviour = self._choose()
            keys = next(self._behaviour, None)
        self._keys = keys
        pressed = set(keys) | set(self._extra_keys())
        if self._rng.random() < 1 / 120:
            self._slot = int(self._rng.integers(len(HOTBAR)))
        yaw = self._yaw.popleft() if self._yaw else 0.0
        pitch = self._pitch.popleft() if self._pitch else 0.0
        action: dict[str, Any] = {key: np.int64(key in pressed) for key in KEYS}
        action["hotbar"] = np.int64(self._slot)
        action["camera"] = np.clip(np.array([yaw, pitch], np.float32), -CAMERA_LIMIT, CAMERA_LIMIT)
        return action

    # What is going on

    def _choose(self) -> Behaviour:
        if self._info["in_water"] and self._rng.random() < 0.8:
            return self._swim()
        behaviours = list(self._behaviours)
        weights = np.array([self._behaviours[behaviour] for behaviour in behaviours])
        behaviour = behaviours[self._rng.choice(len(behaviours), p=weights / weights.sum())]
        low, high = _LEVEL
        if not low <= self._look() <= high and not self._pitch:
            self._tilt_to(self._between(-4, 16), self._between(2, 5))
        return behaviour()

    def _is_stuck(self) -> bool:
        """Whether it has tried to move for some ticks in vain."""
        trying = {"forward", "back", "left", "right"} & set(self._keys)
        usual = _SWIM if self._info["in_water"] else _SNEAK if "sneak" in self._keys else _WALK
        velocity = self._info["velocity"]
        slow = float(np.hypot(velocity[0], velocity[2])) < 0.45 * usual
        self._stuck = self._stuck + 1 if trying and slow else 0
        if not slow and self._escapes and self._rng.random() < 0.05:
            self._escapes -= 1
        return self._stuck > _STUCK_TICKS

    def _extra_keys(self) -> Keys:
        """Now and then any key for a short time on top of everything, so that its effect is seen in every situation."""
        self._extra_left -= 1
        if self._extra_left < 0:
            self._extra = ()
            if self._rng.random() < 1 / 45:
                shares = (0.08, 0.04, 0.17, 0.17, 0.26, 0.1, 0.12, 0.06)
                self._extra = (KEYS[self._rng.choice(len(KEYS), p=shares)],)
                self._extra_left = int(self._rng.integers(1, 7))
        return self._extra

    # Camera

    def _look(self) -> float:
        return float(self._info["pose"][4])

    def _drop_camera(self) -> None:
        self._yaw.clear()
        self._pitch.clear()

    def _between(self, low: float, high: float) -> float:
        return float(self._rng.uniform(low, high))

    def _ticks(self, low: int, high: int) -> int:
        return int(self._rng.integers(low, high + 1))

    def _side(self) -> int:
        return int(self._rng.choice((-1, 1)))

    def _rate(self) -> float:
        """Degrees a tick of a turn: mostly 2 to 6."""
        low, high = ((2, 6), (1, 2), (6, 10))[self._rng.choice(3, p=(0.7, 0.15, 0.15))]
        return self._between(low, high)

    def _turn_by(self, angle: float, rate: float) -> int:
        """Queue a turn; how many ticks it takes."""
        ticks = sweep(angle, rate)
        self._yaw.extend(ticks)
        return len(ticks)

    def _tilt_to(self, pitch: float, rate: float) -> int:
        """Queue looking up or down to that pitch; how many ticks it takes."""
        ticks = sweep(pitch - self._look() - sum(self._pitch), rate)
        self._pitch.extend(ticks)
        return len(ticks)

    def _hold(self, keys: Keys, ticks: int) -> Behaviour:
        for _ in range(ticks):
            yield keys

    # Moving about

    def _walk(self) -> Behaviour:
        for _ in range(self._ticks(20, 80)):
            if not self._yaw and self._rng.random() < 1 / 70:  # a gentle curve, or a glance up or down on the way
                self._turn_by(self._side() * self._between(8, 90), self._between(0.7, 4))
                if self._rng.random() < 0.3:
                    self._tilt_to(self._between(*_LEVEL), self._between(0.5, 2))
            yield ("forward",)

    def _steer(self) -> Behaviour:
        side, rate = self._side(), self._between(2, 6)
        for _ in range(self._ticks(1, 3)):
            yield from self._hold(("forward",), self._turn_by(side * self._between(30, 120), rate))
            yield from self._hold(("forward",), self._ticks(4, 16))
            side = -side

    def _strafe(self) -> Behaviour:
        keys: Keys = (str(self._rng.choice(("left", "right"))),)
        if self._rng.random() < 0.35:
            keys = (*keys, str(self._rng.choice(("forward", "back"), p=(0.8, 0.2))))
        if self._rng.random() < 0.3:  # around something, keeping it in view
            self._turn_by((-1 if "right" in keys else 1) * self._between(20, 90), self._between(1, 4))
        yield from self._hold(keys, self._ticks(8, 30))

    def _back_up(self) -> Behaviour:
        if self._rng.random() < 0.25:
            self._turn_by(self._side() * self._between(10, 60), self._between(1, 4))
        yield from self._hold(("back",), self._ticks(8, 24))

    def _hop(self) -> Behaviour:
        left = self._ticks(20, 50)
        if self._rng.random() < 0.4:
            self._turn_by(self._side() * self._between(10, 60), self._between(1, 4))
        while left > 0:
            jump, run = self._ticks(1, 10), self._ticks(2, 14)
            yield from self._hold(("forward", "jump"), jump)
            yield from self._hold(("forward",), run)
            left -= jump + run

    def _sneak(self) -> Behaviour:
        direction = str(self._rng.choice(("forward", "left", "right", "back"), p=(0.6, 0.15, 0.15, 0.1)))
        if self._rng.random() < 0.4:
            self._turn_by(self._side() * self._between(10, 60), self._between(1, 3))
        yield from self._hold(("sneak",), self._ticks(0, 4))
        yield from self._hold((direction, "sneak"), self._ticks(10, 30))

    def _swim(self) -> Behaviour:
        if self._rng.random() < 0.35:
            self._turn_by(self._side() * self._between(10, 120), self._between(1.5, 5))
        for _ in range(self._ticks(15, 50)):
            if not self._info["in_water"] and self._info["on_ground"]:
                return
            yield ("forward",) if self._rng.random() < 0.1 else ("forward", "jump")

    def _follow_animal(self) -> Behaviour:
        rate = 0.0
        for _ in range(self._ticks(40, 100)):
            bearing, distance = self._info["animal_bearings"][0]
            if not np.isfinite(bearing) or distance > 24:
                return
            wanted = float(np.clip(0.25 * bearing, -6, 6)) if abs(bearing) > 6 else 0.0
            rate += float(np.clip(wanted - rate, -1.5, 1.5))
            self._yaw.clear()
            self._yaw.append(rate)
            yield ("forward",) if distance > 2.5 and abs(bearing) < 40 else ()

    def _get_away(self) -> Behaviour:
        """Turn away from what is in the way; after several tries in vain, jump or dig a way out."""
        self._escapes += 1
        if self._escapes > 3 and self._rng.random() < 0.7:
            yield from self._dig_out()
            return
        if self._rng.random() < 0.3 and "back" not in self._keys:
            yield from self._hold(("back",), self._ticks(3, 8))
        yield from self._hold((), self._turn_by(self._side() * self._between(50, 130), self._between(5, 10)))
        yield from self._hold(("forward",), self._ticks(6, 20))

    def _dig_out(self) -> Behaviour:
        self._escapes = 0
        for pitch in (0.0, 40.0):  # the block before the eyes, then the one before the feet
            yield from self._hold((), self._tilt_to(pitch, 5))
            yield from self._hold(("break",), self._ticks(8, 14))
        yield from self._hold(("forward", "jump"), self._ticks(8, 20))

    # Looking

    def _turn(self) -> Behaviour:
        low, high = ((15, 60), (60, 120), (120, 180), (180, 360))[self._rng.choice(4, p=(0.3, 0.3, 0.2, 0.2))]
        rate = self._rate()
        angle = min(self._between(low, high), 60 * rate)  # a slow turn is not a long one: episodes are short
        yield from self._hold((), self._turn_by(self._side() * angle, rate))

    def _look_away_and_back(self) -> Behaviour:
        keys: Keys = ("forward",) if self._rng.random() < 0.25 else ()
        rate = self._rate()
        angle = self._side() * min(self._between(20, 180), 35 * rate)
        yield from self._hold(keys, self._turn_by(angle, rate))
        yield from self._hold(keys, self._ticks(0, 12))
        yield from self._hold(keys, self._turn_by(-angle, rate))

    def _look_up_or_down(self) -> Behaviour:
        keys: Keys = ("forward",) if self._rng.random() < 0.25 else ()
        target = self._between(-60, -20) if self._rng.random() < 0.45 else self._between(30, 80)
        yield from self._hold(keys, self._tilt_to(target, self._rate()))
        yield from self._hold(keys, self._ticks(1, 8))
        yield from self._hold(keys, self._tilt_to(self._between(-4, 12), self._rate()))

    def _stand(self) -> Behaviour:
        self._drop_camera()
        yield from self._hold((), self._ticks(8, 22))

    def _rest(self) -> Behaviour:
        """No key and no turn for some seconds: a World that never saw that fades when it is left alone."""
        self._drop_camera()
        for _ in range(self._ticks(40, 110)):
            self._extra, self._extra_left = (), 1  # no key now and then either
            yield ()

    # Hands

    def _dig(self) -> Behaviour:
        """Break what is in reach: ahead, round about, or on the way forward."""
        yield from self._hold((), self._tilt_to(self._between(22, 55), self._between(2.5, 8)))
        for _ in range(self._ticks(1, 3)):
            way = self._rng.choice(3)
            if way == 0:
                self._turn_by(self._side() * self._between(10, 60), self._between(1, 4))
            keys: Keys = ("forward", "break") if way == 1 else ("break",)
            yield from self._hold(keys, self._ticks(6, 18))
            yield from self._hold((), self._ticks(0, 4))

    def _build(self) -> Behaviour:
        """Place a few blocks, then look at them: from the side, from further back, or away and back again."""
        self._slot = int(self._rng.integers(len(HOTBAR)))
        yield from self._hold((), self._tilt_to(self._between(24, 50), self._between(2.5, 8)))
        for _ in range(self._ticks(1, 4)):
            if self._rng.random() < 0.4:  # a row of blocks, held down while turning
                self._turn_by(self._side() * self._between(10, 60), self._between(1, 5))
            yield from self._hold(("place",), self._ticks(1, 8))
            yield from self._hold((), self._ticks(2, 5))
            if self._rng.random() < 0.4:
                yield from self._hold((), self._turn_by(self._side() * self._between(8, 40), self._rate()))
        self._tilt_to(self._between(5, 20), self._between(2, 6))
        follow = self._rng.random()
        if follow < 0.35:
            yield from self._look_away_and_back()
        elif follow < 0.7:
            yield from self._back_up()
        else:
            yield from self._strafe()

    def _edit(self) -> Behaviour:
        """Break and place all around, hardly moving, so that a short recording shows what comes of it in many ways."""
        yield from self._hold((), self._tilt_to(self._between(24, 60), self._between(4, 8)))
        for _ in range(self._ticks(6, 16)):
            if self._rng.random() < 0.4:
                turn = self._turn_by(self._side() * self._between(4, 30), self._between(3, 8))
                if self._rng.random() < 0.7:  # else it acts while it turns
                    yield from self._hold((), turn)
            if self._rng.random() < 0.2 or self._look() < 20:
                yield from self._hold((), self._tilt_to(self._between(24, 60), self._between(3, 6)))
            if self._rng.random() < 0.2:
                self._slot = int(self._rng.integers(len(HOTBAR)))
            yield from self._hold((str(self._rng.choice(("break", "place"))),), self._ticks(1, 3))
            yield from self._hold((), self._ticks(1, 3))

    def _click(self) -> Behaviour:
        """Break or place once, where nothing was done lately, and see what comes of it.

        What was there before shows in what a World remembers; only where nothing was done must it know what a key does.
        """
        for _ in range(self._ticks(2, 5)):
            ticks = self._turn_by(self._side() * self._between(30, 110), self._between(5, 10))
            yield from self._hold(("forward",) if self._rng.random() < 0.35 else (), ticks)
            if self._rng.random() < 0.3 or not 24 < self._look() < 60:
                yield from self._hold((), self._tilt_to(self._between(24, 60), self._between(4, 8)))
            if self._rng.random() < 0.4:
                self._slot = int(self._rng.integers(len(HOTBAR)))
            yield from self._hold((), self._ticks(1, 6))
            yield from self._hold((str(self._rng.choice(("break", "place"))),), self._ticks(1, 2))
            yield from self._hold((), self._ticks(2, 5))

    def _press_one_key(self) -> Behaviour:
        """One key alone, with stillness before and after, so that what it does is plain to see."""
        key = str(self._rng.choice(KEYS))
        yield from self._hold((), self._ticks(1, 4))
        yield from self._hold((key,), self._ticks(2, 12))
        yield from self._hold((), self._ticks(1, 4))

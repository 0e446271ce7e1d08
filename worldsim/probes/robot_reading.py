"""Reading pushers, Ts and boxes off frames of the simulators for robotics: where each one is, by colour and shape.

Nothing is trained. What a reading of the simulator's own frames is off by is the floor of every probe that uses it. The
packages of the extra worldsim[robotics] are needed to read, and not to import this.
"""

from __future__ import annotations

import colorsys
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import cv2
import numpy as np

from worldsim.spec import WorldSpec

PUSHT, TABLE = "worldsim/PushTSim-v0", "worldsim/TableSim-v0"
_FAINT = 0.25  # of a colour: where there is less of it, a patch ends
_AREAS = (0.25, 2.5)  # of what a thing usually shows: less is too little of it to be it, more is something else


class Reading(ABC):
    """How frames of one simulator are read, uint8 (..., H, W, 3), and what its `info` says of the same.

    Places are (right, down) from the upper left corner of PushTSim, and (right, away) from the middle of TableSim, in
    widths of the scene; nan where a thing is not seen.

    In the simulator's own unit, width: of the scene; reach: from the middle of a pusher to that of a thing that it
    touches, at most. absolute: whether an action is a place to head for; else it is a velocity.
    """

    width: ClassVar[float]
    reach: ClassVar[float]
    absolute: ClassVar[bool]

    def pusher(self, frames: np.ndarray) -> np.ndarray:
        """Where the pusher is, float (..., 2)."""
        return _each(self._pusher, frames)

    def things(self, frames: np.ndarray) -> np.ndarray:
        """Where the middles of the things are that it can push, float (..., things, 2)."""
        return _each(self._things, frames)

    @abstractmethod
    def true_pusher(self, info: dict[str, Any]) -> np.ndarray:
        """What `pusher` should say, (2,)."""

    @abstractmethod
    def true_things(self, info: dict[str, Any]) -> np.ndarray:
        """What `things` should say, (things, 2)."""

    @abstractmethod
    def _pusher(self, frame: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def _things(self, frame: np.ndarray) -> np.ndarray: ...


class PushTReading(Reading):
    """The disc, and the middle of the grey T's area.

    Frames of 8 bits: a disc is much more blue than green, nothing else is; a T is darker in green than walls and goal.
    Both are linear in how much of a pixel is covered, so edges and blur count as the shares that they are.
    """

    width = 512.0
    reach = 100.0  # with a margin: corners are 76 from where the T turns, the disc has a radius of 15
    absolute = True
    _BLUE = (30, 115)  # blue less green where a pixel begins to show the disc, and where it shows nothing else
    _DARK = (50, 92)  # 255 less green, of the T alike: 17 is the goal, 44 a wall, 92 the inside of the T
    _DISC, _TEE = 0.0027, 0.024  # usual areas, in squares of the width
    _MIDDLE = 40.7  # from the middle of the bar's outer edge, where `block_pose` is, along the stem

    def true_pusher(self, info: dict[str, Any]) -> np.ndarray:
        return np.asarray(info["pos_agent"]) / self.width

    def true_things(self, info: dict[str, Any]) -> np.ndarray:
        right, down, angle = info["block_pose"]
        return np.array([[right - self._MIDDLE * np.sin(angle), down + self._MIDDLE * np.cos(angle)]]) / self.width

    def angles(self, frames: np.ndarray) -> np.ndarray:
        """How the T is turned, float (...,), radians in [-pi, pi]: the third number of `block_pose`."""
        return _each(self._angle, frames)

    def _pusher(self, frame: np.ndarray) -> np.ndarray:
        return self._place(self._disc(frame), self._DISC)

    def _things(self, frame: np.ndarray) -> np.ndarray:
        return self._place(self._tee(frame), self._TEE)[None]

    def _angle(self, frame: np.ndarray) -> np.ndarray:
        weight = _patch(self._tee(frame), self._TEE * frame[..., 0].size)
        if weight is None:
            return np.array(np.nan)
        weight = weight / weight.sum()
        points = _pixels(frame) / [frame.shape[1], frame.shape[0]]
        points = points - np.einsum("hw,hwc->c", weight, points)
        spread = np.einsum("hw,hwc,hwd->cd", weight, points, points)
        stem = np.linalg.eigh(spread)[1][:, -1]  # a T is longer along its stem than across
        if (weight * (points @ stem) ** 3).sum() < 0:  # and its thin end is further from the middle
            stem = -stem
        return np.arctan2(-stem[0], stem[1])

    def _disc(self, frame: np.ndarray) -> np.ndarray:
        return _ramp(frame[..., 2].astype(np.float32) - frame[..., 1], *self._BLUE)

    def _tee(self, frame: np.ndarray) -> np.ndarray:
        return _ramp(255.0 - frame[..., 1], *self._DARK) * (1 - self._disc(frame))

    def _place(self, weight: np.ndarray, area: float) -> np.ndarray:
        found = _patch(weight, area * weight.size)
        return _middle(found) / weight.shape[::-1]  # the square scene is stretched to the frame


class TableReading(Reading):
    """The pusher and the middles of the boxes: the points of the table that they hide from the camera.

    The faces of a box have shades of one colour, so what is read is hue and saturation. What the pusher hides of a box
    lies mostly between two sights of it: the picture of a box is convex, and is filled up to that. The pusher is what
    is dark and grey within the table; at the far border its top is before the background, where it cannot be told.

    boxes: how many there are.
    """

    width = 0.56
    reach = 0.096  # that of the tall box, where it lies
    absolute = False
    _GREY = (0.35, 0.55)  # saturation from which on a pixel is not the pusher, and from which on it is a box
    _VIVID = (0.45, 0.65)
    _DARK = (130, 50)  # the brightest channel where a pixel begins to show the pusher, and where it shows nothing else
    _HUE = 20.0  # degrees that a box may be off; the red and the yellow one are 42 apart
    _WITHIN = 0.275  # metres: nearer to the border, its shade looks as dark as the pusher
    _PUSHER, _BOX = 0.0095, 0.027  # usual areas in squares of the width

    def __init__(self, boxes: int) -> None:
        self.boxes = boxes

    def true_pusher(self, info: dict[str, Any]) -> np.ndarray:
        from worldsim.envs.table import CLEARANCE

        middle = CLEARANCE + 0.04  # it is 0.08 high
        return _hidden(np.array([*info["pusher_position"], middle])) / self.width

    def true_things(self, info: dict[str, Any]) -> np.ndarray:
        return _hidden(info["box_positions"]) / self.width

    def _pusher(self, frame: np.ndarray) -> np.ndarray:
        brightest, saturation, _ = _colours(frame)
        dark = _ramp(brightest, *self._DARK) * (1 - _ramp(saturation, *self._GREY))
        return self._place(_patch(dark * _within(*frame.shape[:2], self._WITHIN), self._area(frame, self._PUSHER)))

    def _things(self, frame: np.ndarray) -> np.ndarray:
        from worldsim.envs.table import BOXES

        _, saturation, hue = _colours(frame)
        vivid = _ramp(saturation, *self._VIVID)
        places = []
        for _, _, colour in BOXES[: self.boxes]:
            off = np.abs((hue - 360 * colorsys.rgb_to_hsv(*colour)[0] + 180) % 360 - 180)
            patch = _patch(np.where(off < self._HUE, vivid, 0), self._area(frame, self._BOX))
            places.append(self._place(None if patch is None else _filled(patch)))
        return np.stack(places)

    def _place(self, patch: np.ndarray | None) -> np.ndarray:
        return np.full(2, np.nan) if patch is None else _seen(_middle(patch), *patch.shape) / self.width

    def _area(self, frame: np.ndarray, usual: float) -> float:
        """Pixels of an area that is given in squares of the width, at the middle of the table."""
        from worldsim.envs.table import DISTANCE

        return usual * (self.width * _focal(*frame.shape[:2]) / DISTANCE) ** 2


def reading_of(spec: WorldSpec) -> PushTReading | TableReading:
    """How the frames of a World's simulator are read; ValueError if it is another."""
    if spec.simulator == PUSHT:
        return PushTReading()
    if spec.simulator == TABLE:
        return TableReading(spec.simulator_kwargs.get("boxes", 3))
    raise ValueError(f"frames of {spec.simulator} cannot be read here, only those of {PUSHT} and {TABLE}")


def _each(read: Callable[[np.ndarray], np.ndarray], frames: np.ndarray) -> np.ndarray:
    found = np.stack([read(frame) for frame in frames.reshape(-1, *frames.shape[-3:])])
    return found.reshape(*frames.shape[:-3], *found.shape[1:])


def _ramp(value: np.ndarray, none: float, full: float) -> np.ndarray:
    """0 up to `none`, 1 from `full` on, linear between."""
    return np.clip((value - none) / (full - none), 0, 1)


def _patch(weight: np.ndarray, area: float) -> np.ndarray | None:
    """The largest patch of a weight in [0, 1], (H, W), with 0 elsewhere; None if it has not nearly this area."""
    count, patches, facts, _ = cv2.connectedComponentsWithStats((weight > _FAINT).astype(np.uint8))
    if count < 2:
        return None
    largest = 1 + int(facts[1:, cv2.CC_STAT_AREA].argmax())
    patch = np.where(patches == largest, weight, 0)
    return patch if _AREAS[0] * area <= patch.sum() <= _AREAS[1] * area else None


def _filled(patch: np.ndarray) -> np.ndarray:
    """The same with all that lies between its parts."""
    outline = cv2.convexHull(cv2.findNonZero((patch > min(0.5, patch.max() / 2)).astype(np.uint8)))
    return np.maximum(patch, cv2.fillConvexPoly(np.zeros(patch.shape, np.uint8), outline, 1))


def _pixels(frame: np.ndarray) -> np.ndarray:
    """Middles of the pixels, (H, W, 2) = (right, down), in pixels."""
    down, right = np.mgrid[: frame.shape[0], : frame.shape[1]] + 0.5
    return np.stack([right, down], -1)


def _middle(patch: np.ndarray | None) -> np.ndarray:
    """The mean place, (right, down) in pixels; nan of nothing."""
    if patch is None:
        return np.full(2, np.nan)
    return np.einsum("hw,hwc->c", patch, _pixels(patch)) / patch.sum()


def _colours(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The brightest channel in [0, 255], the saturation in [0, 1] and the hue in [0, 360) degrees, (H, W) each."""
    hue, saturation, brightest = cv2.split(cv2.cvtColor(frame.astype(np.float32), cv2.COLOR_RGB2HSV))
    return brightest, saturation, hue


@cache
def _camera() -> tuple[np.ndarray, np.ndarray]:
    """Of TableSim: where it is, (3,) in metres; its right, up and ahead, (3, 3)."""
    from worldsim.envs.table import DISTANCE, ELEVATION

    sine, cosine = np.sin(np.radians(ELEVATION)), np.cos(np.radians(ELEVATION))
    place = DISTANCE * np.array([0, -cosine, sine])
    return place, np.array([[1, 0, 0], [0, sine, cosine], [0, cosine, -sine]])


def _focal(height: int, width: int) -> float:
    """Pixels that a thing is wide which is as wide as it is far away."""
    from worldsim.envs.table import VIEW

    return float(min(height, width) / 2 / np.tan(np.radians(VIEW / 2)))


def _hidden(points: np.ndarray) -> np.ndarray:
    """Where the lines of sight through points (..., 3) meet the table: (..., 2) in metres from its middle."""
    place, _ = _camera()
    ways = points - place
    return (place - ways * place[2] / ways[..., 2:])[..., :2]


def _seen(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Where the lines of sight through pixels (..., 2) of a frame meet the table: (..., 2) in metres."""
    place, axes = _camera()
    focal = _focal(height, width)
    ways = np.stack([pixels[..., 0] - width / 2, height / 2 - pixels[..., 1], np.full(pixels.shape[:-1], focal)], -1)
    return _hidden(place + ways @ axes)


@cache
def _within(height: int, width: int, reach: float) -> np.ndarray:
    """Which pixels of a frame show the table up to this distance from its middle along each axis, bool (H, W)."""
    return (np.abs(_seen(_pixels(np.empty((height, width))), height, width)) < reach).all(-1)

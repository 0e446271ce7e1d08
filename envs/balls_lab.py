"""BallsLabSim-v0: a laboratory of balls for physics probes, after PhyWorld (arXiv 2411.02385).

Three laws of motion, each seen by the colour of the ground; balls of any size; a screen that hides them, walls that
hold them. A `Scene` says exactly what to begin with, and random scenes keep to ranges, so that a probe can ask a World
about what it was shown, about new combinations of that, and about what it never saw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import pymunk

from worldsim.envs.balls import BORDER, COLOURS, COUNT_WORDS, FPS, WALL, BoxOfBalls, Wall

# The laws, by the colour of their ground: a picture alone tells which one holds.
GROUNDS = {"space": (24, 26, 36), "table": (22, 74, 52), "room": (92, 74, 58)}
PLACES = {"space": "in space", "table": "on a table", "room": "in a room"}
SCREEN = (20, 130, 140)

GRAVITY = 1.2  # downwards in a room, box sides a second squared
FRICTION = 0.25  # deceleration on a table, box sides a second squared
RESTITUTION = 0.9  # between balls, and between a ball and a wall
SUBSTEPS = 10  # of a tick: the fastest ball enters another by 1/160 of the box before they part
SLOP = 1e-4  # how deep a ball may rest in what carries it, box sides
TOUCH = 1e-3  # overlaps up to this are none: nobody sees them, and whatever has come to rest has some

LARGE, FAST = 0.105, 0.5  # balls larger than this and faster than that are kept from the grid "train"
MOST_BALLS = 3
REST_CHANCE, SCREEN_CHANCE, WALLS_CHANCE = 0.25, 0.25, 0.25
SCREEN_WIDTH = (0.15, 0.3)
DIVIDER_SPACE = 0.3  # at least that is free on each side of a dividing wall, less half its thickness
CUP_SLACK, CUP_DEPTH, CUP_HEIGHT = (0.03, 0.12), (0.15, 0.3), 0.5  # wider than a ball; of its sides; its highest bottom
_SPOTS = 64  # places that are tried for a ball before the scene is laid out anew

Range = tuple[float, float]


@dataclass(frozen=True)
class Grid:
    """What random scenes draw from: ranges of radii (box sides) and of speeds (box sides a second), equally likely."""

    radii: tuple[Range, ...]
    speeds: tuple[Range, ...]


GRIDS = {
    "train": Grid(((0.08, 0.13),), ((0.15, 0.8),)),
    "speed": Grid(((0.08, 0.13),), ((0.0, 0.1), (0.95, 1.25))),
    "size": Grid(((0.05, 0.07), (0.145, 0.17)), ((0.15, 0.8),)),
    "combination": Grid(((LARGE, 0.13),), ((FAST, 0.8),)),
}


@dataclass(frozen=True)
class Ball:
    """A ball at the start of a scene; lengths in box sides, (right, up) from the lower left corner, and seconds.

    colour: index into COLOURS; by default its place in the scene.
    """

    position: tuple[float, float]
    velocity: tuple[float, float] = (0.0, 0.0)
    radius: float = 0.1
    colour: int | None = None


@dataclass(frozen=True)
class Scene:
    """What an episode begins with; lengths in box sides, (right, up) from the lower left corner.

    law: "space" (what moves goes on), "table" (friction, seen from above) or "room" (gravity, seen from the side).
    balls: one to six; the action pushes the first.
    screen: (left, right) of an upright band that hides what is behind it and touches nothing.
    walls: straight ones, (start, end) each, as thick as the border.

    ValueError for an unknown law, no balls or too many, two of one colour, a ball that overlaps the border, a wall or
    another ball, numbers that are none, and a screen or walls outside the box.
    """

    law: str = "space"
    balls: tuple[Ball, ...] = ()
    screen: Range | None = None
    walls: tuple[Wall, ...] = ()

    def __post_init__(self) -> None:
        if self.law not in GROUNDS:
            raise ValueError(f"law must be one of {', '.join(GROUNDS)}, got {self.law!r}")
        if not 1 <= len(self.balls) <= len(COLOURS):
            raise ValueError(f"a scene has 1 to {len(COLOURS)} balls, one of each colour, got {len(self.balls)}")
        for number, ball in enumerate(self.balls):
            values = (*ball.position, *ball.velocity, ball.radius)
            if len(values) != 5 or not np.isfinite(values).all() or ball.radius <= 0:
                raise ValueError(
                    f"ball {number} needs a position and a velocity of two finite numbers, and a radius above 0: {ball}"
                )
        colours = self.colours
        if not set(colours) <= set(range(len(COLOURS))):
            raise ValueError(f"colours must be 0 to {len(COLOURS) - 1}, got {colours}")
        if len(set(colours)) < len(colours):
            raise ValueError(f"two balls have the same colour, so nobody could tell which is which: got {colours}")
        if self.screen is not None and not 0 <= self.screen[0] < self.screen[1] <= 1:
            raise ValueError(f"screen must be (left, right) with 0 <= left < right <= 1, got {self.screen}")
        for wall in self.walls:
            if np.shape(wall) != (2, 2) or not all(0 <= value <= 1 for point in wall for value in point):
                raise ValueError(f"a wall is (start, end), each (right, up) in the box from 0 to 1, got {wall}")
        self._check_apart()

    @property
    def colours(self) -> list[int]:
        """The index into COLOURS of each ball."""
        return [number if ball.colour is None else ball.colour for number, ball in enumerate(self.balls)]

    def _check_apart(self) -> None:
        places = np.array([ball.position for ball in self.balls], np.float64)
        radii = np.array([ball.radius for ball in self.balls], np.float64)
        for number, (ball, place, radius) in enumerate(zip(self.balls, places, radii, strict=True)):
            said = f"ball {number} at {ball.position} with radius {ball.radius:g}"
            low, high = WALL + radius, 1 - WALL - radius
            if place.min() < low - TOUCH or place.max() > high + TOUCH:
                raise ValueError(f"{said} overlaps the border: keep right and up from {low:.4g} to {high:.4g}")
            for wall in self.walls:
                least = WALL / 2 + radius
                if _distances(place, *wall) < least - TOUCH:
                    raise ValueError(f"{said} overlaps the wall {wall}: keep {least:.4g} from its middle line")
            for other in range(number):
                least = radius + radii[other]
                if np.hypot(*(place - places[other])) < least - TOUCH:
                    raise ValueError(f"{said} overlaps ball {other}: keep their centres {least:.4g} apart")


class BallsLabSimEnv(BoxOfBalls):
    """Balls under one of three laws of motion, perhaps with walls among them and a screen before them.

    Args:
        size: (height, width) of a frame in pixels, multiples of 16. The square box is centred in it.
        grid: the ranges that random scenes draw radii and speeds from, see GRIDS: "train", and "speed", "size" and
            "combination", which a World that was trained on "train" never saw at the start of an episode.
        render_mode: None or "rgb_array".

    Observation: uint8 (height, width, 3) RGB. Action: float32 (2,) in [-1, 1], the push to the right and upwards of the
    first ball. A push never takes it beyond the highest speed of the grid, nor in "train" beyond FAST if it is LARGE.
    Reward is always 0.0 and an episode never terminates.

    `info` holds `positions` float64 (balls, 2) = (right, up) in box sides from the lower left corner, `velocities`
    float64 (balls, 2) in box sides a second, `radii` float64 (balls,) in box sides, `colours` int64 (balls,), indices
    into COLOURS, `law`, `screen` (left, right) in box sides or None, and `caption`. With fewer than MOST_BALLS, rows of
    nan follow, and of -1 for colours.

    Balls have a mass of their radius squared, bounce by RESTITUTION and do not turn.

    Raises ValueError for a wrong size, grid or render mode, and for an action outside the space.

    >>> env = BallsLabSimEnv()
    >>> scene = Scene("table", (Ball((0.3, 0.5)), Ball((0.7, 0.5), velocity=(-0.5, 0.0))), screen=(0.4, 0.6))
    >>> frame, info = env.reset(options={"scene": scene})
    >>> frame.shape, info["caption"]
    ((64, 64, 3), 'two balls on a table, behind a screen')
    """

    def __init__(self, size: tuple[int, int] = (64, 64), grid: str = "train", render_mode: str | None = None) -> None:
        super().__init__(size, render_mode)
        if grid not in GRIDS:
            raise ValueError(f"grid must be one of {', '.join(GRIDS)}, got {grid!r}")
        self.grid = grid
        self._scene: Scene

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin with the Scene in `options["scene"]`, or a random one; returns (frame, info).

        ValueError for other options and for a prompt: nothing in this world can be chosen by words. TypeError for a
        scene that is no `Scene`.
        """
        options = options or {}
        if options.get("prompt") is not None:
            raise ValueError("BallsLabSim takes no prompt: nothing in it can be chosen by words, but by a 'scene'")
        if unknown := sorted(set(options) - {"scene", "prompt"}):
            raise ValueError(f"unknown reset options {unknown}; BallsLabSim takes only 'scene'")
        scene = options.get("scene")
        if scene is not None and not isinstance(scene, Scene):
            raise TypeError(f"options['scene'] must be a worldsim.envs.balls_lab.Scene, got {type(scene).__name__}")
        super().reset(seed=seed)
        self._set_up(scene or self._random_scene())
        return self._draw(), self._info()

    def snapshot(self) -> dict[str, Any]:
        """The whole state, a deep copy of plain arrays and values; any env of the same grid can restore it."""
        if self._positions is None:
            raise gym.error.ResetNeeded("call reset() before snapshot()")
        return {
            "scene": self._scene,
            "positions": self._positions.copy(),
            "velocities": self._velocities.copy(),
            "pushed": self._pushed,
            "random": deepcopy(self.np_random.bit_generator.state),
        }

    def restore(self, snapshot: dict[str, Any]) -> np.ndarray:
        """Go back to a state that `snapshot()` returned; returns the frame there, uint8 (height, width, 3)."""
        self._set_up(snapshot["scene"])
        self._positions = snapshot["positions"].copy()
        self._velocities = snapshot["velocities"].copy()
        self._pushed = snapshot["pushed"]
        self.np_random.bit_generator.state = deepcopy(snapshot["random"])
        return self._draw()

    # -- physics -------------------------------------------------------------------------------------------------------

    def _top_speed(self) -> float:
        if self.grid == "train" and self._radii[0] > LARGE:
            return FAST  # or pushes would show in training what is held out
        return GRIDS[self.grid].speeds[-1][1]

    def _advance(self) -> None:
        # pymunk multiplies the elasticities of what touches: the square root makes it RESTITUTION for every pair.
        space, bodies = self._fresh_space(math.sqrt(RESTITUTION), self._scene.walls)
        space.collision_slop = SLOP
        dt = 1 / FPS / SUBSTEPS
        # Forces act in halves, before and after each motion: so a parabola and a stopping distance are exact, and a
        # bounce sees the speed of the moment. pymunk's own gravity would act after the motion only.
        self._accelerate(bodies, dt / 2)
        for left in reversed(range(SUBSTEPS)):
            space.step(dt)
            self._accelerate(bodies, dt if left else dt / 2)
        self._take(bodies)

    def _accelerate(self, bodies: list[pymunk.Body], dt: float) -> None:
        """Let gravity or friction act on the velocities for `dt` seconds."""
        if self._scene.law == "room":
            for body in bodies:
                right, up = body.velocity
                body.velocity = right, up - GRAVITY * dt
        elif self._scene.law == "table":
            for body in bodies:
                right, up = body.velocity
                speed = math.hypot(right, up)
                kept = max(1 - FRICTION * dt / speed, 0.0) if speed else 0.0
                body.velocity = right * kept, up * kept

    # -- scenes --------------------------------------------------------------------------------------------------------

    def _set_up(self, scene: Scene) -> None:
        self._scene = scene
        self._positions = np.array([ball.position for ball in scene.balls], np.float64)
        self._velocities = np.array([ball.velocity for ball in scene.balls], np.float64)
        self._radii = [float(ball.radius) for ball in scene.balls]
        self._masses = [radius**2 for radius in self._radii]
        self._colours = scene.colours
        self._pushed = False
        self._empty = self._draw_box(GROUNDS[scene.law])
        for wall in scene.walls:
            self._draw_wall(wall)

    def _random_scene(self) -> Scene:
        rng = self.np_random
        law = tuple(GROUNDS)[rng.integers(len(GROUNDS))]
        count = int(rng.integers(1, MOST_BALLS + 1))
        radii, speeds = np.array([self._random_ball() for _ in range(count)]).T
        if self.grid == "train" and rng.random() < REST_CHANCE:
            speeds[rng.integers(count)] = 0.0
        angles = rng.uniform(0, 2 * np.pi, count)
        velocities = (speeds * (np.cos(angles), np.sin(angles))).T
        colours = [0, *(1 + rng.permutation(len(COLOURS) - 1)[: count - 1]).tolist()]
        screen = None
        if rng.random() < SCREEN_CHANCE:
            width = rng.uniform(*SCREEN_WIDTH)
            left = float(rng.uniform(WALL, 1 - WALL - width))
            screen = (left, left + float(width))
        walled = rng.random() < WALLS_CHANCE
        places = None
        while places is None:
            walls = self._random_walls(radii.max()) if walled else ()
            places = self._random_places(radii, walls)
        parts = zip(places, velocities.tolist(), radii.tolist(), colours, strict=True)
        balls = tuple(Ball((x, y), (right, up), radius, colour) for (x, y), (right, up), radius, colour in parts)
        return Scene(law, balls, screen, walls)

    def _random_ball(self) -> tuple[float, float]:
        """A radius and a speed from the grid."""
        rng, grid = self.np_random, GRIDS[self.grid]
        while True:
            radius = float(rng.uniform(*grid.radii[rng.integers(len(grid.radii))]))
            speed = float(rng.uniform(*grid.speeds[rng.integers(len(grid.speeds))]))
            if self.grid != "train" or radius <= LARGE or speed <= FAST:
                return radius, speed

    def _random_walls(self, radius: float) -> tuple[Wall, ...]:
        """A wall across the box, or a cup that a ball of that radius has room in."""
        rng = self.np_random
        if rng.random() < 0.5:
            middle = float(rng.uniform(WALL + DIVIDER_SPACE, 1 - WALL - DIVIDER_SPACE))
            upright = (((middle, WALL), (middle, 1 - WALL)),)
            level = (((WALL, middle), (1 - WALL, middle)),)
            return upright if rng.random() < 0.5 else level
        width = 2 * radius + WALL + rng.uniform(*CUP_SLACK)
        left = float(rng.uniform(1.5 * WALL, 1 - 1.5 * WALL - width))
        bottom = float(rng.uniform(1.5 * WALL, CUP_HEIGHT))
        right, top = left + float(width), bottom + float(rng.uniform(*CUP_DEPTH))
        return ((left, top), (left, bottom)), ((left, bottom), (right, bottom)), ((right, bottom), (right, top))

    def _random_places(self, radii: np.ndarray, walls: Sequence[Wall]) -> list[tuple[float, float]] | None:
        """A place for each ball, clear of the walls and of each other, or None if the first ones leave no room."""
        places: list[tuple[float, float]] = []
        for radius in radii:
            spots = self.np_random.uniform(WALL + radius, 1 - WALL - radius, (_SPOTS, 2))
            free = np.ones(_SPOTS, bool)
            for wall in walls:
                free &= _distances(spots, *wall) >= WALL / 2 + radius
            for place, other in zip(places, radii, strict=False):  # those that are placed come first
                free &= np.hypot(*(spots - place).T) >= radius + other
            if not free.any():
                return None
            x, y = spots[free.argmax()].tolist()
            places.append((x, y))
        return places

    # -- what is seen --------------------------------------------------------------------------------------------------

    def _info(self) -> dict[str, Any]:
        info = super()._info()
        # Of one shape whatever the scene, so that vector environments can stack them.
        missing = max(MOST_BALLS - len(self._radii), 0)
        rows = ((0, missing), (0, 0))
        return info | {
            "positions": np.pad(info["positions"], rows, constant_values=np.nan),
            "velocities": np.pad(info["velocities"], rows, constant_values=np.nan),
            "radii": np.pad(self._radii, (0, missing), constant_values=np.nan),
            "colours": np.pad(self._colours, (0, missing), constant_values=-1),
            "law": self._scene.law,
            "screen": self._scene.screen,
        }

    def _caption(self) -> str:
        parts = [f"{COUNT_WORDS[len(self._radii) - 1]} {PLACES[self._scene.law]}"]
        if self._scene.walls:
            parts.append("with a wall" if len(self._scene.walls) == 1 else "with walls")
        if self._scene.screen is not None:
            parts.append("behind a screen")
        if self._pushed:
            parts.append("one pushed")
        return ", ".join(parts)

    def _draw_wall(self, wall: Wall) -> None:
        """Draw a smooth wall into the picture without balls."""
        rows, columns = np.indices(self.size) + 0.5  # the centres of the pixels
        right = (columns - self._corner[0]) / self._side
        up = 1 - (rows - self._corner[1]) / self._side
        distance = _distances(np.stack([right, up], -1), *wall) * self._side
        coverage = np.clip(WALL / 2 * self._side + 0.5 - distance, 0.0, 1.0).astype(np.float32)[..., None]
        self._empty += coverage * (np.array(BORDER, np.float32) - self._empty)

    def _draw_balls(self) -> np.ndarray:
        frame = super()._draw_balls()
        if self._scene.screen is not None:
            left, right = (round(self._corner[0] + edge * self._side) for edge in self._scene.screen)
            top, wall = round(self._corner[1]), round(WALL * self._side)
            frame[top + wall : top + int(self._side) - wall, left:right] = SCREEN
        return frame


def _distances(points: np.ndarray, start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    """How far points (..., 2) are from a straight line from start to end: (...)."""
    along = np.subtract(end, start)
    share = (points - start) @ along / max(float(along @ along), 1e-12)  # a line may be a point
    nearest = start + np.clip(share, 0.0, 1.0)[..., None] * along
    return np.linalg.norm(points - nearest, axis=-1)

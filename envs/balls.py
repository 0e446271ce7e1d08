"""BallsSim-v0: coloured balls in a square box, one of which the action pushes; physics by pymunk, drawn by numpy.

It is the cheapest ground truth of the project: a World of it trains inside the test suite, so the picture is simple
(big smooth discs on a plain ground) and everything moves by 1-3 pixels a tick at the default size. `BoxOfBalls` is what
the other environments with balls have in common with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
import pymunk
from gymnasium import spaces

from worldsim.spec import check_size

# Lengths are in box sides, so the box is the unit square whatever the size of the picture.
WALL = 1 / 24
RADIUS = 1 / 8
COLOURS = np.array(
    [(240, 240, 230), (230, 80, 60), (70, 140, 240), (90, 200, 90), (240, 190, 50), (180, 90, 210)], np.float32
)
GROUND = (24, 26, 36)
BORDER = (120, 126, 140)
COUNT_WORDS = ("one ball", "two balls", "three balls", "four balls", "five balls", "six balls")

FPS = 20
SUBSTEPS = 5
PUSH = 0.45  # what a full push adds to the speed of the first ball, box sides a second: about one pixel a tick
TOP_SPEED = 1.25  # a push never takes the ball beyond this, box sides a second: 3 pixels a tick at 48 x 48
START_SPEED = 0.6  # the fastest a ball moves along an axis after a reset
DAMPING = 0.7  # the share of its speed that a ball keeps over one second
GRAVITY = -1.2  # box sides a second squared

Wall = tuple[tuple[float, float], tuple[float, float]]  # a straight one, from (right, up) to (right, up) in box sides


class BoxOfBalls(gym.Env[np.ndarray, np.ndarray]):
    """A walled square box of balls, the first of which the action pushes: stepping and drawing, whatever the physics.

    A subclass says how a tick passes (`_advance`) and what the caption is (`_caption`); its `reset` sets what is listed
    in `__init__` below, the picture without balls (`_empty`) included. Size and render mode as for `BallsSimEnv`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012 (gymnasium's own convention)

    def __init__(self, size: tuple[int, int], render_mode: str | None) -> None:
        self.size = check_size(size)
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be None or 'rgb_array', got {render_mode!r}")
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 255, (*self.size, 3), np.uint8)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._positions: np.ndarray | None = None  # (balls, 2) = (right, up) in box sides
        self._velocities = np.zeros((0, 2))  # (balls, 2), box sides a second
        self._radii: list[float] = []
        self._masses: list[float] = []
        self._colours: list[int] = []  # indices into COLOURS
        self._pushed = False

        # The box in pixels: side, and where its upper left corner lies.
        self._side = float(min(self.size))
        self._corner = ((self.size[1] - self._side) / 2, (self.size[0] - self._side) / 2)
        self._empty = self._draw_box()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Push the first ball by `action`, float32 (2,) in [-1, 1], and let 1/20 second pass."""
        if self._positions is None:
            raise gym.error.ResetNeeded("call reset() before step()")
        if not self.action_space.contains(action):
            raise ValueError(
                f"action {action!r} is outside the action space: expected a float32 array of shape (2,) in [-1, 1]"
            )
        push = np.asarray(action, np.float64)
        pushed = self._velocities[0] + PUSH * push
        limit = max(self._top_speed(), float(np.hypot(*self._velocities[0])))
        pushed *= min(1.0, limit / max(float(np.hypot(*pushed)), 1e-9))
        self._velocities[0] = pushed
        self._pushed = bool(np.abs(push).max() > 0.1)
        self._advance()
        return self._draw(), 0.0, False, False, self._info()

    def render(self) -> np.ndarray | None:
        """The present frame, uint8 (height, width, 3), if the render mode is "rgb_array"; otherwise None."""
        return self._draw() if self.render_mode == "rgb_array" and self._positions is not None else None

    def _advance(self) -> None:
        """Let one tick pass for positions and velocities."""
        raise NotImplementedError

    def _caption(self) -> str:
        """What can be seen, in words."""
        raise NotImplementedError

    def _top_speed(self) -> float:
        """The speed in box sides a second that a push never takes the first ball beyond."""
        return TOP_SPEED

    def _fresh_space(self, elasticity: float, walls: Sequence[Wall] = ()) -> tuple[pymunk.Space, list[pymunk.Body]]:
        """A space with the border, `walls` as thick as it and the balls as they are now; the balls' bodies.

        A fresh one each tick: pymunk's cached contacts would otherwise make the future depend on more than positions
        and velocities, and a snapshot could not be exact. Bodies that touch bounce by the square of `elasticity`.
        """
        space = pymunk.Space()
        corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
        shapes: list[pymunk.Shape] = []
        for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
            shapes.append(pymunk.Segment(space.static_body, start, end, WALL))
        for start, end in walls:
            shapes.append(pymunk.Segment(space.static_body, start, end, WALL / 2))
        bodies = []
        assert self._positions is not None
        balls = zip(self._positions.tolist(), self._velocities.tolist(), self._radii, self._masses, strict=True)
        for position, velocity, radius, mass in balls:
            body = pymunk.Body(mass, 1.0)  # any moment: nothing turns, for surfaces have no friction
            body.position, body.velocity = tuple(position), tuple(velocity)
            bodies.append(body)
            shapes.append(pymunk.Circle(body, radius))
        for shape in shapes:
            shape.elasticity = elasticity
        space.add(*bodies, *shapes)
        return space, bodies

    def _take(self, bodies: list[pymunk.Body]) -> None:
        """Make the state of the bodies that of the balls."""
        self._positions = np.array([body.position for body in bodies])
        self._velocities = np.array([body.velocity for body in bodies])

    def _info(self) -> dict[str, Any]:
        assert self._positions is not None
        positions, velocities = self._positions.copy(), self._velocities.copy()
        return {"positions": positions, "velocities": velocities, "caption": self._caption()}

    def _draw_box(self, ground: tuple[int, int, int] = GROUND) -> np.ndarray:
        frame = np.empty((*self.size, 3), np.float32)
        frame[:] = ground
        left, top = (round(value) for value in self._corner)
        side, wall = int(self._side), round(WALL * self._side)
        frame[top : top + side, left : left + side] = BORDER
        frame[top + wall : top + side - wall, left + wall : left + side - wall] = ground
        return frame

    def _draw(self) -> np.ndarray:
        return (self._draw_balls() + 0.5).astype(np.uint8)

    def _draw_balls(self) -> np.ndarray:
        """The box with its balls, float32 (H, W, 3)."""
        frame = self._empty.copy()
        assert self._positions is not None
        for place, radius, colour in zip(self._positions, self._radii, self._colours, strict=True):
            self._draw_disc(frame, place, radius, COLOURS[colour])
        return frame

    def _draw_disc(self, frame: np.ndarray, place: np.ndarray, radius: float, colour: np.ndarray) -> None:
        """Draw a smooth disc over float32 frame (H, W, 3) at place = (right, up), both and the radius in box sides."""
        height, width = self.size
        right, up = place.tolist()
        radius *= self._side
        # Pixel (column, row) covers [column, column + 1): its centre lies half a pixel further.
        x = self._corner[0] + right * self._side - 0.5
        y = self._corner[1] + (1 - up) * self._side - 0.5
        left, stop_x = max(int(x - radius - 1), 0), min(int(x + radius + 3), width)
        top, stop_y = max(int(y - radius - 1), 0), min(int(y + radius + 3), height)
        dx = np.arange(left, stop_x, dtype=np.float32) - np.float32(x)
        dy = np.arange(top, stop_y, dtype=np.float32) - np.float32(y)
        distance = np.sqrt(dx * dx + (dy * dy)[:, None])
        coverage = np.clip(np.float32(radius + 0.5) - distance, 0.0, 1.0)[..., None]
        patch = frame[top:stop_y, left:stop_x]
        patch += coverage * (colour - patch)


class BallsSimEnv(BoxOfBalls):
    """Coloured balls in a walled square box; the action pushes the first (white) ball.

    Args:
        size: (height, width) of a frame in pixels, multiples of 16. The square box is centred in it.
        balls: how many balls, 1 to 6.
        gravity: whether balls fall towards the lower edge of the picture.
        render_mode: None or "rgb_array".

    Observation: uint8 (height, width, 3) RGB. Action: float32 (2,) in [-1, 1], the push to the right and upwards.
    Reward is always 0.0 and an episode never terminates. `info` holds `positions` float64 (balls, 2) = (right, up) in
    box sides from the lower left corner, `velocities` float64 (balls, 2) in box sides a second, and `caption`.

    Raises ValueError for a wrong size, number of balls or render mode, and for an action outside the space.

    >>> env = BallsSimEnv()
    >>> frame, info = env.reset(seed=0)
    >>> frame, reward, terminated, truncated, info = env.step(np.array([1.0, 0.0], np.float32))
    >>> frame.shape, info["caption"]
    ((48, 48, 3), 'two balls, one pushed')
    """

    def __init__(
        self,
        size: tuple[int, int] = (48, 48),
        balls: int = 2,
        gravity: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(size, render_mode)
        if not 1 <= balls <= len(COLOURS):
            raise ValueError(f"balls must be 1 to {len(COLOURS)}, got {balls}")
        self.balls = int(balls)
        self.gravity = bool(gravity)
        self._radii, self._masses = [RADIUS] * self.balls, [1.0] * self.balls
        self._colours = list(range(self.balls))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Place the balls apart from each other at random, with random velocities; returns (frame, info).

        ValueError for a prompt: nothing in this world can be chosen by words.
        """
        super().reset(seed=seed)
        if options and options.get("prompt") is not None:
            raise ValueError("BallsSim takes no prompt: nothing in it can be chosen by words")
        low, high = WALL + RADIUS, 1 - WALL - RADIUS
        placed: list[np.ndarray] = []
        failures = 0
        while len(placed) < self.balls:
            spot = self.np_random.uniform(low, high, 2)
            if all(np.hypot(*(spot - other)) > 2 * RADIUS for other in placed):
                placed.append(spot)
            else:
                failures += 1
                if failures % 50 == 0:  # the first few may leave no room for the last: begin again
                    placed.clear()
        self._positions = np.array(placed)
        self._velocities = self.np_random.uniform(-START_SPEED, START_SPEED, (self.balls, 2))
        self._pushed = False
        return self._draw(), self._info()

    def snapshot(self) -> dict[str, Any]:
        """The whole state, a deep copy of plain arrays and values; any env with as many balls can restore it."""
        if self._positions is None:
            raise gym.error.ResetNeeded("call reset() before snapshot()")
        return {
            "positions": self._positions.copy(),
            "velocities": self._velocities.copy(),
            "pushed": self._pushed,
            "random": deepcopy(self.np_random.bit_generator.state),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go back to a state that `snapshot()` returned; ValueError if it has another number of balls."""
        if len(snapshot["positions"]) != self.balls:
            raise ValueError(
                f"the snapshot has {len(snapshot['positions'])} balls, but this environment has {self.balls}; "
                "make it with the same `balls`"
            )
        self._positions = snapshot["positions"].copy()
        self._velocities = snapshot["velocities"].copy()
        self._pushed = snapshot["pushed"]
        self.np_random.bit_generator.state = deepcopy(snapshot["random"])

    def _advance(self) -> None:
        space, bodies = self._fresh_space(elasticity=0.95)
        space.gravity = (0.0, GRAVITY if self.gravity else 0.0)
        space.damping = DAMPING
        space.collision_slop = 1e-3
        for _ in range(SUBSTEPS):
            space.step(1 / FPS / SUBSTEPS)
        self._take(bodies)

    def _caption(self) -> str:
        caption = COUNT_WORDS[self.balls - 1]
        if self.gravity:
            caption += " under gravity"
        return caption + ", one pushed" if self._pushed else caption

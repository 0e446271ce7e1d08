"""BallsSim-v0: coloured balls in a square box, one of which the action pushes; physics by pymunk, drawn by numpy.

It is the cheapest ground truth of the project: a World of it trains inside the test suite, so the picture is simple
(big smooth discs on a plain ground) and everything moves by 1-3 pixels a tick at the default size.
"""

from __future__ import annotations

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


class BallsSimEnv(gym.Env[np.ndarray, np.ndarray]):
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

    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012 (gymnasium's own convention)

    def __init__(
        self,
        size: tuple[int, int] = (48, 48),
        balls: int = 2,
        gravity: bool = False,
        render_mode: str | None = None,
    ) -> None:
        self.size = check_size(size)
        if not 1 <= balls <= len(COLOURS):
            raise ValueError(f"balls must be 1 to {len(COLOURS)}, got {balls}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be None or 'rgb_array', got {render_mode!r}")
        self.balls = int(balls)
        self.gravity = bool(gravity)
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 255, (*self.size, 3), np.uint8)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._positions: np.ndarray | None = None
        self._velocities = np.zeros((self.balls, 2))
        self._pushed = False

        # The box in pixels: side, and where its upper left corner lies.
        self._side = float(min(self.size))
        self._corner = ((self.size[1] - self._side) / 2, (self.size[0] - self._side) / 2)
        self._empty = self._draw_box()

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
        limit = max(TOP_SPEED, float(np.hypot(*self._velocities[0])))
        pushed *= min(1.0, limit / max(float(np.hypot(*pushed)), 1e-9))
        self._velocities[0] = pushed
        self._pushed = bool(np.abs(push).max() > 0.1)
        self._advance()
        return self._draw(), 0.0, False, False, self._info()

    def render(self) -> np.ndarray | None:
        """The present frame, uint8 (height, width, 3), if the render mode is "rgb_array"; otherwise None."""
        return self._draw() if self.render_mode == "rgb_array" and self._positions is not None else None

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
        # A fresh space each tick: pymunk's cached contacts would otherwise make the future depend on more than the
        # positions and velocities, and a snapshot could not be exact.
        space = pymunk.Space()
        space.gravity = (0.0, GRAVITY if self.gravity else 0.0)
        space.damping = DAMPING
        space.collision_slop = 1e-3
        corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
        shapes: list[pymunk.Shape] = []
        for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
            shapes.append(pymunk.Segment(space.static_body, start, end, WALL))
        bodies = []
        assert self._positions is not None
        for position, velocity in zip(self._positions.tolist(), self._velocities.tolist(), strict=True):
            body = pymunk.Body(1.0, 1.0)
            body.position, body.velocity = tuple(position), tuple(velocity)
            bodies.append(body)
            shapes.append(pymunk.Circle(body, RADIUS))
        for shape in shapes:
            shape.elasticity = 0.95
        space.add(*bodies, *shapes)
        for _ in range(SUBSTEPS):
            space.step(1 / FPS / SUBSTEPS)
        self._positions = np.array([body.position for body in bodies])
        self._velocities = np.array([body.velocity for body in bodies])

    def _info(self) -> dict[str, Any]:
        assert self._positions is not None
        caption = COUNT_WORDS[self.balls - 1]
        if self.gravity:
            caption += " under gravity"
        if self._pushed:
            caption += ", one pushed"
        return {"positions": self._positions.copy(), "velocities": self._velocities.copy(), "caption": caption}

    def _draw_box(self) -> np.ndarray:
        frame = np.empty((*self.size, 3), np.float32)
        frame[:] = GROUND
        left, top = (round(value) for value in self._corner)
        side, wall = int(self._side), round(WALL * self._side)
        frame[top : top + side, left : left + side] = BORDER
        frame[top + wall : top + side - wall, left + wall : left + side - wall] = GROUND
        return frame

    def _draw(self) -> np.ndarray:
        frame = self._empty.copy()
        assert self._positions is not None
        for place, colour in zip(self._positions, COLOURS[: self.balls], strict=True):
            self._draw_disc(frame, place, RADIUS, colour)
        return (frame + 0.5).astype(np.uint8)

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

"""Probes of mechanics in the balls laboratory: uniform motion, collision, fall, friction, bounce, walls.

After PhyWorld (arXiv 2411.02385). Lengths are in box sides, time in seconds. Each start is a scene of its own; what is
to happen does so after the context, at a place and time that the scene is made for.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np

from worldsim.envs.balls import FPS, WALL
from worldsim.envs.balls_lab import FRICTION, GRAVITY, LARGE, RESTITUTION, Ball, Scene
from worldsim.probes import ball_reading as reading
from worldsim.probes.plots import Plot, true_against_shown
from worldsim.probes.probe import CONTEXT, Cases, FilmProbe, Lab, Trial

SIMULATOR = "worldsim/BallsLabSim-v0"
SHOWN = (CONTEXT - 1) / FPS  # seconds that pass in the context
_GAP = 0.01  # between a ball and a wall that it is not to touch
_BESIDE = 0.04  # how far off a ball may be that is still where it should be


class BallProbe(FilmProbe):
    """A probe whose trials are scenes. length: steps from the start on, in which nothing is done."""

    simulators = (SIMULATOR,)
    length: int = 12

    @abstractmethod
    def scene(self, rng: np.random.Generator) -> Scene:
        """What the simulator is reset to."""

    def trial(self, lab: Lab, seed: int, rng: np.random.Generator) -> Trial:
        """The scene, and nothing done."""
        scene = self.scene(rng)
        return Trial(lab.begin(seed, {"scene": scene}), lab.idle(self.length), {"scene": scene})


def path_within(rng: np.random.Generator, way: np.ndarray, radius: float) -> tuple[float, float]:
    """A place from which a ball of that radius can go the way (points, 2), relative to it, and touch no border."""
    low = WALL + radius + _GAP - way.min(0)
    high = 1 - WALL - radius - _GAP - way.max(0)
    if (low > high).any():
        raise ValueError(f"a way of {np.ptp(way, axis=0)} box sides does not fit into the box")
    return as_pair(rng.uniform(low, high))


def as_pair(vector: np.ndarray) -> tuple[float, float]:
    """The two numbers of an array (2,)."""
    return float(vector[0]), float(vector[1])


def direction(rng: np.random.Generator) -> np.ndarray:
    """A random unit vector (2,)."""
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def of_ball(frames: np.ndarray, colour: int = 0) -> np.ndarray:
    """The way (trials, T, 2) of a ball in the first script, the start left out, of a measure's `frames`."""
    return reading.positions(frames[:, 0, 1:], [colour])[:, :, 0]


class UniformMotion(BallProbe):
    name = "uniform-motion"
    question = "A ball that nothing touches, in space: how far off is its velocity over 0.6 s?"
    unit = "box sides/s"
    better: ClassVar[Literal["low", "high", "near 1"]] = "low"

    def __init__(
        self, radii: tuple[float, float] = (0.08, 0.105), speeds: tuple[float, float] = (0.2, 0.6), length: int = 12
    ) -> None:
        self.radii, self.speeds, self.length = radii, speeds, length

    def scene(self, rng: np.random.Generator) -> Scene:
        radius, velocity = rng.uniform(*self.radii), rng.uniform(*self.speeds) * direction(rng)
        ends = np.array([np.zeros(2), velocity * (SHOWN + self.length / FPS)])
        return Scene("space", (Ball(path_within(rng, ends, radius), as_pair(velocity), radius),))

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        shown = reading.velocity(of_ball(frames), FPS)
        return np.linalg.norm(shown - cases.of("velocities")[:, -1, 0], axis=1)

    def plot(self, shown: np.ndarray, cases: Cases) -> Plot:
        true, velocities = cases.of("velocities")[:, -1, 0], reading.velocity(of_ball(shown), FPS)
        return true_against_shown("velocity, box sides/s", true, velocities, ("to the right", "upwards"))

    def line(self, simulator: float) -> tuple[float, float]:
        return 0, 2 * simulator


class Collision(BallProbe):
    """Two balls that meet 0.2 s after the start; what they do then."""

    unit = "share of what there is"
    better: ClassVar[Literal["low", "high", "near 1"]] = "low"
    length = 14
    _after = 8  # last steps, in which both are on their way again

    def scene(self, rng: np.random.Generator) -> Scene:
        while True:
            normal = direction(rng)
            aside = np.array([-normal[1], normal[0]])
            radii = rng.uniform(0.08, LARGE, 2)
            # The first goes along the normal; the other rests, as some do in recordings, or comes to meet it.
            meets = rng.random() < 0.7
            speeds = np.array([rng.uniform(0.3, 0.5), -rng.uniform(0.15, 0.3) if meets else 0.0])
            slants = rng.uniform(-0.08, 0.08, 2) * (speeds != 0)
            velocities = speeds[:, None] * normal + slants[:, None] * aside
            meeting = rng.uniform(0.4, 0.6, 2) + np.array([-radii[0], radii[1]])[:, None] * normal
            masses = radii**2
            impulse = (1 + RESTITUTION) * (speeds[0] - speeds[1]) * masses.prod() / masses.sum()
            after = velocities + (np.array([-1, 1]) * impulse / masses)[:, None] * normal
            ends = np.stack([meeting - velocities * (SHOWN + 0.2), meeting + after * (self.length / FPS - 0.2)])
            room = (WALL + radii + _GAP)[:, None]
            if (ends > room).all() and (ends < 1 - room).all():  # neither comes from outside, nor meets the border
                break
        pairs = zip(ends[0], velocities, radii, strict=True)
        return Scene("space", tuple(Ball(as_pair(p), as_pair(v), float(r)) for p, v, r in pairs))

    def both(self, frames: np.ndarray, cases: Cases) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Masses (trials, 2); velocities (trials, 2, 2) after the collision, shown and true."""
        shown = np.stack([reading.velocity(of_ball(frames, c)[:, -self._after :], FPS) for c in (0, 1)], 1)
        return cases.of("radii")[:, -1, :2] ** 2, shown, cases.of("velocities")[:, -1, :2]

    def line(self, simulator: float) -> tuple[float, float]:
        return 0, 0.1


class CollisionMomentum(Collision):
    name = "collision-momentum"
    question = "Two balls collide in space: how wrong is their momentum together, as a share of both momenta's sizes?"

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        masses, shown, true = self.both(frames, cases)
        wrong = (masses[..., None] * (shown - true)).sum(1)
        return np.linalg.norm(wrong, axis=1) / (masses * np.linalg.norm(true, axis=2)).sum(1)


class CollisionEnergy(Collision):
    name = "collision-energy"
    question = "Two balls collide in space: how wrong is their kinetic energy afterwards, as a share of the true one?"

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        masses, *both = self.both(frames, cases)
        shown, true = ((masses * (velocities**2).sum(2)).sum(1) for velocities in both)
        return np.abs(shown / true - 1)


class CollisionRebound(Collision):
    name = "collision-rebound"
    question = "Two balls collide in space: how fast they part where they met, by how fast they should."
    unit = "speed shown / true"
    better: ClassVar[Literal["low", "high", "near 1"]] = "near 1"

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        _, shown, true = self.both(frames, cases)
        before = np.array([[ball.velocity for ball in trial.facts["scene"].balls] for trial in cases.trials])
        parting, meeting = true[:, 1] - true[:, 0], before[:, 1] - before[:, 0]
        normal = parting - meeting  # the push that each gave the other
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        return ((shown[:, 1] - shown[:, 0]) * normal).sum(1) / (parting * normal).sum(1)

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.9, 1.1


class Fall(BallProbe):
    name = "fall"
    question = "A ball is thrown in the room: the acceleration that its way shows, by that of gravity."
    unit = "g shown / g"
    better: ClassVar[Literal["low", "high", "near 1"]] = "near 1"

    def scene(self, rng: np.random.Generator) -> Scene:
        radius = rng.uniform(0.08, 0.105)
        velocity = np.array([rng.uniform(-0.35, 0.35), rng.uniform(0.25, 0.6)])
        time = np.linspace(0, SHOWN + self.length / FPS, 30)[:, None]
        way = velocity * time - np.array([0, GRAVITY / 2]) * time**2
        return Scene("room", (Ball(path_within(rng, way, radius), as_pair(velocity), radius),))

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        return -reading.acceleration(of_ball(frames), FPS)[:, 1] / GRAVITY

    def plot(self, shown: np.ndarray, cases: Cases) -> Plot:
        # Halfway, because the straight line that fits a throw best has the velocity that it has there.
        true = cases.of("velocities")[:, :, 0, 1].mean(1)
        return true_against_shown("velocity upwards, box sides/s", true, reading.velocity(of_ball(shown), FPS)[:, 1])

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.9, 1.1


class Slide(BallProbe):
    name = "slide"
    question = "A ball slides on the table, slower and slower: its deceleration over 0.8 s, by that of friction."
    unit = "friction shown / friction"
    better: ClassVar[Literal["low", "high", "near 1"]] = "near 1"
    length = 16

    def scene(self, rng: np.random.Generator) -> Scene:
        radius, speed, way = rng.uniform(0.08, 0.105), rng.uniform(0.35, 0.6), direction(rng)
        time = SHOWN + self.length / FPS
        ends = np.array([np.zeros(2), way * (speed * time - FRICTION / 2 * time**2)])
        return Scene("table", (Ball(path_within(rng, ends, radius), as_pair(speed * way), radius),))

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        true = cases.of("velocities")[:, 0, 0]
        ahead = true / np.linalg.norm(true, axis=1, keepdims=True)
        return -(reading.acceleration(of_ball(frames), FPS) * ahead).sum(1) / FRICTION

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.85, 1.15


class Bounce(BallProbe):
    name = "bounce"
    question = "A ball meets the border 0.2 s after the start: the share of its speed that it keeps, by the true one."
    unit = "restitution shown / true"
    better: ClassVar[Literal["low", "high", "near 1"]] = "near 1"
    length = 14
    _after = 8

    def scene(self, rng: np.random.Generator) -> Scene:
        radius, speed = rng.uniform(0.08, 0.105), rng.uniform(0.3, 0.6)
        axis, side, slope = int(rng.integers(2)), int(rng.choice([-1, 1])), rng.uniform(-0.5, 0.5)
        velocity = np.zeros(2)
        velocity[axis], velocity[1 - axis] = side * speed, slope * speed
        velocity *= speed / np.linalg.norm(velocity)
        meeting = np.zeros(2)
        meeting[axis] = 0.5 + side * (0.5 - WALL - radius)
        meeting[1 - axis] = rng.uniform(0.42, 0.58)
        return Scene("space", (Ball(as_pair(meeting - velocity * (SHOWN + 0.2)), as_pair(velocity), radius),))

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        before, after = cases.of("velocities")[:, 0, 0], reading.velocity(of_ball(frames)[:, -self._after :], FPS)
        rows, axes = np.arange(len(before)), self._axes(cases)
        return -after[rows, axes] / before[rows, axes] / RESTITUTION

    def note(self, shown: np.ndarray, cases: Cases) -> str:
        before = np.linalg.norm(cases.of("velocities")[:, 0, 0], axis=1)
        after = np.linalg.norm(reading.velocity(of_ball(shown)[:, -self._after :], FPS), axis=1)
        return f"of {len(after)} balls {int((after > 1.05 * before).sum())} are more than 5% faster afterwards"

    def plot(self, shown: np.ndarray, cases: Cases) -> Plot:
        rows, axes = np.arange(len(shown)), self._axes(cases)
        after = reading.velocity(of_ball(shown)[:, -self._after :], FPS)[rows, axes]
        return true_against_shown("velocity afterwards, box sides/s", cases.of("velocities")[rows, -1, 0, axes], after)

    @staticmethod
    def _axes(cases: Cases) -> np.ndarray:
        """Along which axis each ball meets the border: that in which it turned round."""
        velocities = cases.of("velocities")[:, :, 0]
        return (velocities[:, 0] * velocities[:, -1]).argmin(1)

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.9, 1.1


class PushedAtWall(BallProbe):
    name = "wall"
    question = "A ball is pushed against a wall for 1.5 s: the share that are not beside it, on their side, at the end."
    better: ClassVar[Literal["low", "high", "near 1"]] = "low"
    acts = True
    length = 30

    def scene(self, rng: np.random.Generator) -> Scene:
        axis, side, place = int(rng.integers(2)), int(rng.choice([-1, 1])), rng.uniform(0.42, 0.58)
        ends = ((place, WALL), (place, 1 - WALL)) if axis == 0 else ((WALL, place), (1 - WALL, place))
        radius = rng.uniform(0.08, 0.105)
        spot = np.zeros(2)
        spot[axis] = place - side * (WALL + radius + rng.uniform(0.02, 0.1))
        spot[1 - axis] = rng.uniform(0.3, 0.7)
        return Scene("table", (Ball(as_pair(spot), radius=radius),), walls=(ends,))

    def trial(self, lab: Lab, seed: int, rng: np.random.Generator) -> Trial:
        """The scene, pushed at full strength towards the wall."""
        scene = self.scene(rng)
        place, ball = np.array(scene.walls[0]), np.array(scene.balls[0].position)
        axis = int(np.ptp(place, axis=0).argmin())
        push = np.zeros((self.length, 2), np.float32)
        push[:, axis] = np.sign(place[0, axis] - ball[axis])
        facts = {"axis": axis, "place": place[0, axis], "towards": push[0, axis]}
        return Trial(lab.begin(seed, {"scene": scene}), push, facts)

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        last = reading.positions(frames[:, 0, -1], [0])[:, 0]
        off = np.linalg.norm(last - cases.of("positions")[:, -1, 0], axis=1)
        return ~(off < _BESIDE)  # nan, not seen, is not

    def note(self, shown: np.ndarray, cases: Cases) -> str:
        last = reading.positions(shown[:, 0, -1], [0])[:, 0]
        names = ("axis", "place", "towards")
        axes, places, towards = (np.array([trial.facts[name] for trial in cases.trials]) for name in names)
        beyond = (last[np.arange(len(last)), axes] - places) * towards > 0
        gone = np.isnan(last[:, 0])
        return f"of {len(last)} balls {int(beyond.sum())} are beyond the wall, {int(gone.sum())} are gone"

    def line(self, simulator: float) -> tuple[float, float]:
        return 0, 0.02


PROBES = (UniformMotion, CollisionMomentum, CollisionEnergy, CollisionRebound, Fall, Slide, Bounce, PushedAtWall)

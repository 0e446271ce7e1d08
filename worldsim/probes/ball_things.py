"""Probes of things in the balls laboratory: that they last, are counted, hidden, pushed; and what was never seen."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from worldsim.envs.balls import COLOURS, FPS, WALL
from worldsim.envs.balls_lab import FAST, GRIDS, LARGE, Ball, Scene
from worldsim.probes import ball_reading as reading
from worldsim.probes.ball_motion import SHOWN, BallProbe, UniformMotion, as_pair, direction
from worldsim.probes.intervals import with_draws
from worldsim.probes.plots import Plot, true_against_shown
from worldsim.probes.probe import DIRECTIONS, Cases, Lab, Latency, Outcome, Probe, Trial, along, delays, obeyed

_MOVED = 0.015  # box sides in a quarter of a second; the slowest ball goes twice as far
_KNOWN = 0.5  # of the speed: a World whose error is more than this does not know the usual motion


class Pushed(BallProbe):
    """A ball that rests on the table and is pushed for 0.2 s, in one of eight directions."""

    acts = True
    length = 8
    _ticks = 4

    def scene(self, rng: np.random.Generator) -> Scene:
        radius = rng.uniform(0.08, 0.105)
        return Scene("table", (Ball(as_pair(rng.uniform(0.46, 0.54, 2)), radius=radius),))

    def trial(self, lab: Lab, seed: int, rng: np.random.Generator) -> Trial:
        way = int(rng.integers(8))
        push = lab.idle(self.length)
        push[: self._ticks] = rng.uniform(0.4, 0.8) * DIRECTIONS[way] / np.abs(DIRECTIONS[way]).max()
        scene = self.scene(rng)
        return Trial(lab.begin(seed, {"scene": scene}), push, {"way": way, "scene": scene})

    def moved(self, frames: np.ndarray) -> np.ndarray:
        """Where to each ball came, from the start, (trials, 2)."""
        places = reading.positions(frames[:, 0, [0, -1]], [0])[:, :, 0]
        return places[:, 1] - places[:, 0]


class Obedience(Pushed):
    name = "obedience"
    question = "A resting ball is pushed in one of eight directions: the share of pushes that can be read off its way."
    chance = 1 / 8
    gate = True

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        return obeyed(self.moved(frames), self.moved(cases.truth), [trial.facts["way"] for trial in cases.trials])

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.95 * simulator, 1


class PushGain(Pushed):
    name = "push-gain"
    question = "A resting ball is pushed: how far it goes along the push, by how far it should."
    unit = "way shown / true"
    better: ClassVar[Literal["low", "high", "near 1"]] = "near 1"

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        true = self.moved(cases.truth)
        return (self.moved(frames) * true).sum(1) / (true**2).sum(1)

    def plot(self, shown: np.ndarray, cases: Cases) -> Plot:
        return true_against_shown(
            "way, box sides", self.moved(cases.truth), self.moved(shown), ("to the right", "upwards")
        )

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.9, 1.1


class PushLatency(Latency, Pushed):
    name = "push-latency"
    question = "A resting ball is pushed: by how many frames it sets out later, or earlier, than it should."

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        begin = [trial.facts["scene"].balls[0].position for trial in cases.trials]
        true = np.concatenate([np.array(begin)[:, None], cases.of("positions")[:, :, 0]], 1)
        return np.abs(delays(*along(reading.positions(frames[:, 0], [0])[:, :, 0], true)))


class Rest(BallProbe):
    name = "rest"
    question = "Balls rest on the table for 3 s: how far from its place the ball that is furthest off is at the end."
    unit = "box sides"
    better: ClassVar[Literal["low", "high", "near 1"]] = "low"
    easy = ("copy last frame", "untrained")  # which begins by copying
    length = 60

    def scene(self, rng: np.random.Generator) -> Scene:
        return Scene("table", _apart(rng, int(rng.integers(1, 4)), still=True))

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        off = []
        for trial, film in zip(cases.trials, frames[:, 0, -1], strict=True):
            balls = trial.facts["scene"].balls
            places = reading.positions(film, range(len(balls)))
            off.append(np.linalg.norm(places - [ball.position for ball in balls], axis=1).max())
        return np.array(off)

    def line(self, simulator: float) -> tuple[float, float]:
        return 0, 2 * simulator


class Counted(BallProbe):
    """One to three balls, a white one among them, that move about in space. Those that stand still are not right."""

    def scene(self, rng: np.random.Generator) -> Scene:
        return Scene("space", _apart(rng, int(rng.integers(1, 4)), still=False))

    def right(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        """Whether frames (trials, T, H, W, 3) show just the balls that there are, and those move: bool (trials,)."""
        there = np.zeros((len(frames), 1, len(COLOURS)), bool)
        for row, trial in enumerate(cases.trials):
            there[row, 0, [ball.colour for ball in trial.facts["scene"].balls]] = True
        places = reading.positions(frames, range(len(COLOURS)))
        counted = (~np.isnan(places[..., 0]) == there).all((1, 2))
        ways = np.linalg.norm(places[:, 1:] - places[:, :-1], axis=-1)  # nan where there is none
        return counted & (np.nan_to_num(ways).max((1, 2)) > _MOVED)

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.95, 1


class Number(Counted):
    name = "number"
    question = "Balls move about for 10 s: the share of starts after which there are just those that were, and move."
    length = 200

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        return self.right(frames[:, 0, -6::5], cases)


class Permanence(Counted):
    name = "permanence"
    question = "Balls move about for 2 s: the share of starts where each fifth frame shows just those that were."
    length = 40

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        return self.right(frames[:, 0, 5::5], cases)


class Occluder(BallProbe):
    name = "occluder"
    question = (
        "A ball is hidden behind a screen for 0.25 to 0.8 s: the share that come out in their colour, within a radius "
        "of the true place."
    )
    length = 76

    def trial(self, lab: Lab, seed: int, rng: np.random.Generator) -> Trial:
        hidden, width, radius = 0.25 * 3.2 ** rng.uniform(), rng.uniform(0.285, 0.3), rng.uniform(0.08, 0.083)
        speed = (width - 2 * radius) / hidden
        before = WALL + 2 * radius + 0.03 + speed * SHOWN  # room to be seen in on this side of the screen
        left = rng.uniform(before, 1 - WALL - 2 * radius - 0.04 - width)
        right = left + width
        begin = left - radius - 0.02 - speed * SHOWN
        colour = int(rng.integers(1, len(COLOURS)))
        aside = Ball((0.15, rng.choice([0.15, 0.85])), radius=0.08)  # there is a white ball in all that is recorded
        balls = (aside, Ball((begin, rng.uniform(0.4, 0.6)), (speed, 0.0), radius, colour))
        out = int(np.ceil((right + radius + 0.02 - (begin + speed * SHOWN)) / speed * FPS))
        facts = {"out": out, "colour": colour, "radius": radius, "hidden": hidden}
        start = lab.begin(seed, {"scene": Scene("space", balls, screen=(left, right))})
        return Trial(start, lab.idle(self.length), facts)

    def scene(self, rng: np.random.Generator) -> Scene:
        raise NotImplementedError  # `trial` makes its own

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        radii = np.array([trial.facts["radius"] for trial in cases.trials])
        return self._off(frames, cases) <= radii  # nan, not seen, is not

    def note(self, shown: np.ndarray, cases: Cases) -> str:
        """What became of those that did not come out where they should, and how long the others were hidden."""
        right, off = self.measure(shown, cases), self._off(shown, cases)
        hidden = np.array([trial.facts["hidden"] for trial in cases.trials])
        halves = [f"{right[part].mean():.2f}" for part in (hidden < 0.4, hidden >= 0.4) if part.any()]
        gone = int(np.isnan(off).sum())
        return f"of {len(off)} {gone} are gone; share right below and above 0.4 s: {', '.join(halves)}"

    def _off(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        """How far each ball is from where it should have come out by then, nan where it is not seen."""
        off = []
        for row, trial in enumerate(cases.trials):
            out = trial.facts["out"]
            place = reading.positions(frames[row, 0, out], [trial.facts["colour"]])[0]
            off.append(np.linalg.norm(place - cases.infos[row][0][out - 1]["positions"][1]))
        return np.array(off)

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.9, 1


class Unseen(Probe):
    """Uniform motion of balls that no recording has had, by that of balls as fast that are like those recorded."""

    unit = "error / error of balls like those recorded"
    better: ClassVar[Literal["low", "high", "near 1"]] = "low"
    simulators = BallProbe.simulators
    usual: ClassVar[UniformMotion]
    strange: ClassVar[UniformMotion]

    def run(self, lab: Lab) -> Outcome:
        """Play both kinds; a ratio is of means over starts, and none where the usual motion is not known either."""
        usual, strange = self.usual.run(lab), self.strange.run(lab)
        draws, least = with_draws(lab.starts), _KNOWN * float(np.mean(self.usual.speeds))
        values = {}
        for who in usual.values.keys() - {"simulator"}:  # what is read off its frames is off by next to nothing
            means = [np.array([_mean(outcome.values[who][some]) for some in draws]) for outcome in (usual, strange)]
            values[who] = np.where(means[0] < least, means[1] / means[0], np.nan)
        wrong = [f"{_mean(outcome.values['World']):.3f}" for outcome in (usual, strange)]
        return Outcome(
            values, strange.films, note=f"box sides/s: {wrong[0]} usually, {wrong[1]} of these", drawn=lab.starts
        )

    def line(self, simulator: float) -> tuple[float, float]:
        return 0, 2


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


class UnseenSpeed(Unseen):
    name = "unseen-speed"
    question = "Uniform motion in space, faster than any ball began in a recording: its error by that of usual balls."
    usual = UniformMotion(radii=(0.08, 0.09), length=6)  # the box is too small to be fast in it for longer
    strange = UniformMotion(radii=(0.08, 0.09), speeds=(0.95, 1.05), length=6)


class UnseenSize(Unseen):
    name = "unseen-size"
    question = "Uniform motion of balls larger than any recorded: its error by that of balls as fast."
    usual = UniformMotion(speeds=(0.2, 0.45))
    strange = UniformMotion(radii=(0.145, 0.17), speeds=(0.2, 0.45))


class UnseenCombination(Unseen):
    name = "unseen-combination"
    question = "Uniform motion of balls large and fast, recorded only large or fast: its error by that of small ones."
    usual = UniformMotion(radii=(0.08, 0.1), speeds=(0.52, 0.6))
    strange = UniformMotion(radii=(0.11, 0.13), speeds=(0.52, 0.6))

    def run(self, lab: Lab) -> Outcome:
        """As other probes; and a map of the World's error by size and speed, usual ones and others."""
        outcome = super().run(lab)
        outcome.plot = error_map(lab)
        return outcome


# Of the cells of the map. Those in its middle are recorded, but none both larger than LARGE and faster than FAST.
_RADII = ((0.05, 0.07), (0.08, 0.09), (0.095, LARGE), (0.115, 0.13), (0.145, 0.16))
_SPEEDS = ((0.03, 0.1), (0.2, 0.3), (0.35, 0.48), (0.6, 0.75), (0.95, 1.05))
_EACH = 8  # starts of a cell
_TRIES = 100


def error_map(lab: Lab) -> Plot:
    """How far off the velocity of a ball in space is over 0.3 s, as a share of it, by size and speed (the grids of
    PhyWorld, arXiv 2411.02385); a mean of eight starts each, of those that could be read."""
    cells = [UniformMotion(radii, speeds, length=6) for radii in _RADII for speeds in _SPEEDS]
    trials = [_fitting(cell, lab, number) for cell in cells for number in range(_EACH)]
    scripts = np.stack([trial.actions for trial in trials], 1)
    twin = lab.twin([trial.start for trial in trials])
    truth, infos = twin.witnessed(scripts)
    cases = Cases(trials, truth[:, None], [[info] for info in infos])
    wrong = cells[0].measure(twin.shown(scripts)[:, None], cases)
    shares = wrong / np.linalg.norm(cases.of("velocities")[:, -1, 0], axis=1)
    values = [_mean(some) for some in shares.reshape(-1, _EACH)]
    known = GRIDS["train"].radii + GRIDS["train"].speeds
    rows, columns, recorded = ([f"{low:g}-{high:g}" for low, high in bands] for bands in (_RADII, _SPEEDS, known))
    width = len(_SPEEDS)
    return Plot(
        f"speed, box sides/s (recorded: {recorded[1]})",
        f"radius, box sides ({recorded[0]},\nabove {LARGE} only up to {FAST}/s)",
        cells=[values[at : at + width] for at in range(0, len(values), width)],
        rows=rows,
        columns=columns,
    )


def _fitting(cell: UniformMotion, lab: Lab, number: int) -> Trial:
    """A trial of this size and speed, in a direction in which the box has room for it."""
    rng = np.random.default_rng([lab.seed, number, 0x9B0BE])
    for _ in range(_TRIES):
        try:
            return cell.trial(lab, lab.seed + number, rng)
        except ValueError:
            continue
    raise ValueError(f"the box has no room for balls of {cell.radii} box sides at {cell.speeds} box sides/s")


def _apart(rng: np.random.Generator, count: int, still: bool) -> tuple[Ball, ...]:
    """Balls that neither touch each other nor the border; white and, unless still, of random colours."""
    colours = range(count) if still else [0, *rng.permutation(range(1, len(COLOURS)))[: count - 1]]
    while True:
        radii = rng.uniform(0.08, 0.105, count)
        places = rng.uniform(WALL + 0.115, 1 - WALL - 0.115, (count, 2))
        gaps = np.linalg.norm(places[:, None] - places, axis=2) - radii[:, None] - radii
        if count == 1 or gaps[np.triu_indices(count, 1)].min() > 0.02:
            break
    speeds = np.zeros(count) if still else rng.uniform(0.15, 0.5, count)
    return tuple(
        Ball(as_pair(place), as_pair(speed * direction(rng)), float(radius), int(colour))
        for place, speed, radius, colour in zip(places, speeds, radii, colours, strict=True)
    )


PROBES = (
    Obedience, PushGain, PushLatency, Rest, Number, Permanence, Occluder, UnseenSpeed, UnseenSize, UnseenCombination,
)  # fmt: skip

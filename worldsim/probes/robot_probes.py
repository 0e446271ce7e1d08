"""Probes of things that a pusher pushes about, in PushTSim and TableSim: whether it obeys, what it moves, what lasts.

Lengths are in widths of the scene: 512 units in PushTSim, 0.56 m on the table. No scene can be made to order, so starts
are moments of exploration: each is the first, from a seed on, that fits the question by the simulator's truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from worldsim.agents.pushing import Scene, scene_of
from worldsim.probes.heldout import CONTEXT, wander
from worldsim.probes.plots import Plot, true_against_shown
from worldsim.probes.probe import DIRECTIONS, Cases, FilmProbe, Lab, Latency, Trial, along, delays, obeyed
from worldsim.probes.robot_reading import PUSHT, TABLE, PushTReading, TableReading, reading_of
from worldsim.probes.twin import Start

CLEAR = 0.1  # widths: a thing that goes further truly moves; five or six pixels of 64
TURNED = np.radians(30)  # a T that turns further truly turns
_ROOM = 0.75  # of the way to each border: within it the pusher is seen as a whole
_STILL = 1e-3  # widths in three frames: what moves less is at rest
_EPISODE = 200  # frames in which a start is looked for, before another episode is begun
_EPISODES = 20


@dataclass
class Past:
    """An episode of the explorer up to now: at each moment the frame, the flat action taken at it, the simulator's
    info and its snapshot."""

    seed: int
    frames: list[np.ndarray] = field(default_factory=list)
    actions: list[np.ndarray] = field(default_factory=list)
    infos: list[dict[str, Any]] = field(default_factory=list)
    snapshots: list[Any] = field(default_factory=list)

    def start(self, at: int = -1) -> Start:
        """One of its moments, by its number, with the context that led there."""
        at %= len(self.frames)
        first = at - CONTEXT + 1
        context, taken = np.stack(self.frames[first : at + 1]), np.stack(self.actions[first:at])
        return Start(context, taken, self.snapshots[at], self.seed)


def explored(lab: Lab, seed: int) -> Iterator[Past]:
    """Episodes of the explorer from a seed on, given again with each moment that a context leads to.

    ValueError after twenty episodes in which nobody found what was looked for.
    """
    simulator: Any = lab.env.unwrapped
    for episode in range(_EPISODES):
        past = Past(seed)
        for frame, action, info in wander(lab.env, seed + episode * 1_000_000):
            past.frames.append(frame)
            past.actions.append(lab.spec.flatten(action))
            past.infos.append(info)
            past.snapshots.append(simulator.snapshot())
            if len(past.frames) >= CONTEXT:
                yield past
            if len(past.frames) == _EPISODE:
                break
    raise ValueError(f"no moment of exploration from seed {seed} on fits this probe, in {_EPISODES} episodes")


def ordered(lab: Lab, info: dict[str, Any], step: np.ndarray, ticks: int) -> tuple[np.ndarray, np.ndarray]:
    """Flat actions (ticks, 2) that send the pusher by `step`, (2,), and the place (2,) where it comes to.

    Where an action is a place, the step is the whole way to it, otherwise that of a tick. No step holds it where it is:
    the idle action of PushTSim would send it to a corner.
    """
    scene, space = _scene(lab), lab.spec.action_space
    pusher = scene.pusher(info)
    action = np.clip(scene.act(pusher, step), space.low, space.high).astype(np.float32)  # type: ignore[attr-defined]
    return np.repeat(action[None], ticks, 0), pusher + step * (1 if reading_of(lab.spec).absolute else ticks)


def is_free(lab: Lab, past: Past, end: np.ndarray) -> bool:
    """Whether all things are at rest, and the pusher touches none on its way to `end`, (2,), or where it stays then."""
    scene, reading = _scene(lab), reading_of(lab.spec)
    places = np.stack([reading.true_things(info) for info in past.infos[-4:]])
    if np.abs(places - places[-1]).max() > _STILL:
        return False
    here, before = (scene.pusher(info) for info in (past.infos[-1], past.infos[-2]))
    # Before it obeys, the disc of PushTSim glides on: at 10 frames a second, by 10 / 10e of its last step at most.
    path = np.stack([here, here + 0.4 * (here - before), end])
    ways, to_things = np.diff(path, axis=0)[:, None], scene.things(past.infos[-1]) - path[:-1, None]
    along = np.clip((to_things * ways).sum(2) / np.maximum((ways**2).sum(2), 1e-12), 0, 1)
    apart = np.linalg.norm(to_things - along[..., None] * ways, axis=2)  # (ways, things)
    return bool(apart.min() > reading.reach)


def _scene(lab: Lab) -> Scene:
    scene = scene_of(lab.env)
    if scene is None:
        raise ValueError(f"these probes are for {PUSHT} and {TABLE}, not for {lab.spec.simulator}")
    return scene


class RobotProbe(FilmProbe):
    """A probe of either simulator. seconds: how long a trial is, from the start on."""

    simulators: ClassVar[tuple[str, ...]] = (PUSHT, TABLE)
    acts = True
    seconds: ClassVar[float]

    def length(self, lab: Lab) -> int:
        """Steps of a trial."""
        return round(self.seconds * lab.spec.fps)

    def facts(self, lab: Lab, info: dict[str, Any]) -> dict[str, Any]:
        """What `measure` must know: how frames are read, and the info of the start."""
        return {"reading": reading_of(lab.spec), "begin": info}


def _reading(cases: Cases) -> PushTReading | TableReading:
    found: PushTReading | TableReading = cases.trials[0].facts["reading"]
    return found


def _true_ways(cases: Cases) -> tuple[np.ndarray, np.ndarray]:
    """Where all things truly are at the start and at the end, (trials, things, 2) each."""
    reading = _reading(cases)
    begins = [reading.true_things(trial.facts["begin"]) for trial in cases.trials]
    ends = [reading.true_things(played[0][-1]) for played in cases.infos]
    return np.stack(begins), np.stack(ends)


class Sent(RobotProbe):
    """The pusher is sent in one of eight directions for 0.4 s, and nothing is in its way."""

    seconds = 0.4

    def trials(self, lab: Lab) -> list[Trial]:
        """The same for all probes of this kind."""
        if "sent" not in lab.kept:
            lab.kept["sent"] = super().trials(lab)
        found: list[Trial] = lab.kept["sent"]
        return found

    def trial(self, lab: Lab, seed: int, rng: np.random.Generator) -> Trial:
        scene, size = _scene(lab), rng.uniform(0.7, 1)
        middle, half = (scene.low + scene.high) / 2, (scene.high - scene.low) / 2
        ways = rng.permutation(8)
        for past in explored(lab, seed):
            info = past.infos[-1]
            for way in ways:
                actions, end = ordered(lab, info, size * scene.fast * DIRECTIONS[way], self.length(lab))
                inside = np.abs(np.stack([scene.pusher(info), end]) - middle).max() < _ROOM * half
                if inside and is_free(lab, past, end):
                    return Trial(past.start(), actions, self.facts(lab, info) | {"way": int(way)})
        raise AssertionError  # `explored` does not end without an error

    @staticmethod
    def moved(frames: np.ndarray, cases: Cases) -> np.ndarray:
        """How far the pusher came from the start, (trials, 2)."""
        places = _reading(cases).pusher(frames[:, 0, [0, -1]])
        return places[:, 1] - places[:, 0]


class PusherObedience(Sent):
    name = "pusher-obedience"
    question = (
        "The pusher is sent in one of eight directions for 0.4 s, and nothing is in its way: the share of directions "
        "that can be read off its way."
    )
    chance = 1 / 8
    gate = True

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        moved, true = self.moved(frames, cases), self.moved(cases.truth, cases)
        return obeyed(moved, true, [trial.facts["way"] for trial in cases.trials])

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.95 * simulator, 1


class PusherGain(Sent):
    name = "pusher-gain"
    question = "The pusher is sent somewhere, and nothing is in its way: how far it goes along the true way, by that."
    unit = "way shown / true"
    better: ClassVar[Literal["low", "high", "near 1"]] = "near 1"

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        reading = _reading(cases)
        begins = [reading.true_pusher(trial.facts["begin"]) for trial in cases.trials]
        true = np.stack([reading.true_pusher(played[0][-1]) for played in cases.infos]) - begins
        return (self.moved(frames, cases) * true).sum(1) / (true**2).sum(1)

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.9, 1.1


class PusherLatency(Latency, Sent):
    name = "pusher-latency"
    question = (
        "The pusher is sent somewhere, and nothing is in its way: by how many frames it sets out too late or early."
    )

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        reading = _reading(cases)
        infos = [[trial.facts["begin"], *played[0]] for trial, played in zip(cases.trials, cases.infos, strict=True)]
        true = np.array([[reading.true_pusher(info) for info in one] for one in infos])
        return np.abs(delays(*along(reading.pusher(frames[:, 0]), true)))


class Pushing(RobotProbe):
    """The explorer pushes something that truly moves meanwhile."""

    seconds = 2.0

    def trial(self, lab: Lab, seed: int, rng: np.random.Generator) -> Trial:
        length = self.length(lab)
        for past in explored(lab, seed):
            at = len(past.frames) - 1 - length
            if at >= CONTEXT - 1 and self.happens(lab, past.infos[at], past.infos[-1]):
                actions = np.stack(past.actions[at:-1])  # the last one leads on from the end
                return Trial(past.start(at), actions, self.facts(lab, past.infos[at]))
        raise AssertionError  # `explored` does not end without an error

    def happens(self, lab: Lab, before: dict[str, Any], after: dict[str, Any]) -> bool:
        """Whether what is asked about truly happens between the infos of start and end."""
        reading = reading_of(lab.spec)
        ways = reading.true_things(after) - reading.true_things(before)
        return bool(np.linalg.norm(ways, axis=1).max() > CLEAR)


class ObjectWay(Pushing):
    name = "object-way"
    question = (
        "The exploring policy pushes something for 2 s, by a tenth of the scene's width or more: how far off is the "
        "way that it goes, as a share of the true way?"
    )
    unit = "error / true way"
    better: ClassVar[Literal["low", "high", "near 1"]] = "low"

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        begins, ends = _true_ways(cases)
        true = np.linalg.norm(ends - begins, axis=2)
        places = _reading(cases).things(frames[:, 0, [0, -1]])
        off = np.linalg.norm(places[:, 1] - places[:, 0] - (ends - begins), axis=2)
        rows, furthest = np.arange(len(true)), true.argmax(1)
        return off[rows, furthest] / true[rows, furthest]

    def plot(self, shown: np.ndarray, cases: Cases) -> Plot:
        begins, ends = _true_ways(cases)
        places = _reading(cases).things(shown[:, 0, [0, -1]])
        rows, furthest = np.arange(len(shown)), np.linalg.norm(ends - begins, axis=2).argmax(1)
        true, ways = ((there - here)[rows, furthest] for here, there in ((begins, ends), (places[:, 0], places[:, 1])))
        return true_against_shown("way, scene widths", true, ways, ("across", "along"))

    def line(self, simulator: float) -> tuple[float, float]:
        return 0, 0.3


class ObjectTurn(Pushing):
    name = "object-turn"
    question = (
        "The exploring policy pushes the T for 2 s, and turns it by 30 degrees or more: how far off is the angle by "
        "which it turns, as a share of the true one?"
    )
    unit = "error / true turn"
    better: ClassVar[Literal["low", "high", "near 1"]] = "low"
    simulators = (PUSHT,)

    def happens(self, lab: Lab, before: dict[str, Any], after: dict[str, Any]) -> bool:
        return bool(abs(_wrapped(after["block_pose"][2] - before["block_pose"][2])) > TURNED)

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        begins = np.array([trial.facts["begin"]["block_pose"][2] for trial in cases.trials])
        true = _wrapped(cases.of("block_pose")[:, -1, 2] - begins)
        reading = _reading(cases)
        assert isinstance(reading, PushTReading)
        angles = reading.angles(frames[:, 0, [0, -1]])
        return np.abs(_wrapped(angles[:, 1] - angles[:, 0] - true) / true)

    def line(self, simulator: float) -> tuple[float, float]:
        return 0, 0.3


def _wrapped(angle: Any) -> Any:
    """The same angle within half a turn of 0."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


class ObjectRest(RobotProbe):
    name = "object-rest"
    question = (
        "The pusher is held where it is for 3 s, away from everything: how far from its place the thing that is "
        "furthest off is at the end."
    )
    unit = "scene widths"
    better: ClassVar[Literal["low", "high", "near 1"]] = "low"
    acts = False
    easy = ("copy last frame", "untrained")  # which begins by copying
    seconds = 3.0

    def trial(self, lab: Lab, seed: int, rng: np.random.Generator) -> Trial:
        for past in explored(lab, seed):
            info = past.infos[-1]
            actions, place = ordered(lab, info, np.zeros(2), self.length(lab))
            if is_free(lab, past, place):
                return Trial(past.start(), actions, self.facts(lab, info))
        raise AssertionError  # `explored` does not end without an error

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        _, ends = _true_ways(cases)
        return np.linalg.norm(_reading(cases).things(frames[:, 0, -1]) - ends, axis=2).max(1)

    def line(self, simulator: float) -> tuple[float, float]:
        return 0, 2 * simulator


class ObjectsLast(Pushing):
    name = "objects-last"
    question = (
        "The exploring policy pushes things about for 5 s: the share of starts where each fifth frame shows them all, "
        "and those that moved end nearer to where they should be than to where they were."
    )
    seconds = 5.0

    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        begins, ends = _true_ways(cases)
        there, nearer = self._shown(frames, cases), self._nearer(frames, begins, ends, cases)
        return there & (nearer | (np.linalg.norm(ends - begins, axis=2) < CLEAR)).all(1)

    def note(self, shown: np.ndarray, cases: Cases) -> str:
        return f"all things are shown all the time at {int(self._shown(shown, cases).sum())} of {len(shown)} starts"

    @staticmethod
    def _shown(frames: np.ndarray, cases: Cases) -> np.ndarray:
        """Whether all things are seen in each fifth frame, but for those that one cannot see there: (trials,)."""
        seen, visible = (~np.isnan(_reading(cases).things(f[:, 0, 5::5])[..., 0]) for f in (frames, cases.truth))
        return (seen | ~visible).all((1, 2))

    @staticmethod
    def _nearer(frames: np.ndarray, begins: np.ndarray, ends: np.ndarray, cases: Cases) -> np.ndarray:
        """Which things end nearer to their true end than to their beginning, (trials, things)."""
        reading = _reading(cases)
        places, true = (reading.things(f[:, 0, -1]) for f in (frames, cases.truth))
        nearer = np.linalg.norm(places - ends, axis=2) < np.linalg.norm(places - begins, axis=2)
        return nearer | np.isnan(true[..., 0])  # what cannot be seen there cannot be judged

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.9, 1


PROBES = (PusherObedience, PusherGain, PusherLatency, ObjectWay, ObjectTurn, ObjectRest, ObjectsLast)

"""Probes of the block world: turning, keys, memory, edits, standing still, a way and back.

Each asks from places where the player stands still, which the simulator plays too; what is measured there is what
`worldsim eval --full` measures, here start by start and beside baselines.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from worldsim.probes import edits, holding, keys, turning
from worldsim.probes.places import SIMULATOR, Action, Standing, StandingTwin, looking_down, standing_places
from worldsim.probes.plots import Line, Plot, banded
from worldsim.probes.probe import Lab, Latency, Outcome, Probe, delays
from worldsim.probes.rollouts import psnr
from worldsim.probes.rotation import measured_turns
from worldsim.probes.twin import Player, Simulator

_SHOWN = 28.0  # dB from which on a picture shows a place: a World that does not show it must not pass as losing nothing
_MOST_LOST = 1.0  # dB, beside what the simulator's own frames lose: they are never quite the same again


class PlaceProbe(Probe):
    """A probe at standing places. down: the player looks at the ground there; acts: it does something."""

    simulators = (SIMULATOR,)
    down: ClassVar[bool] = False
    acts: ClassVar[bool] = True

    @abstractmethod
    def measure(self, twin: StandingTwin) -> np.ndarray:
        """One value a place, or a try, of who plays the World's part."""

    def run(self, lab: Lab) -> Outcome:
        """Measure the World, and everybody else in its place."""
        twin = StandingTwin(lab.env, lab.world, places_of(lab, self.down), lab.tick)
        players: dict[str, Player] = {"World": twin.player, "simulator": Simulator(twin)}
        players |= lab.players.beside(twin, self.acts)
        return Outcome({name: self.measure(twin.beside(player)) for name, player in players.items()})


def places_of(lab: Lab, down: bool = False) -> Sequence[Standing]:
    """As many standing places as the lab wants, found once. down: looking at the ground."""
    if "places" not in lab.kept:
        lab.kept["places"] = standing_places(lab.env, lab.spec, lab.seed, lab.starts)
    if down and "down" not in lab.kept:
        lab.kept["down"] = looking_down(lab.env, lab.spec, lab.kept["places"])
    return lab.kept["down" if down else "places"]


class Turns(PlaceProbe):
    name = "turning"
    question = "The camera turns by 2, 4 and 8 degrees a tick for 8 ticks, four ways: degrees shown by commanded ones."
    unit = "degrees shown / commanded"
    better: ClassVar[Literal["low", "high", "near 1"]] = "near 1"
    gate = True

    def __init__(self) -> None:
        self._of_world: dict[str, Any] | None = None  # raw angles of who is measured first

    def run(self, lab: Lab) -> Outcome:
        """As other probes; and a plot of the World's angles by the commanded ones."""
        self._of_world = None
        outcome = super().run(lab)
        assert self._of_world is not None
        dots: dict[str, Line] = {}
        for axis in turning.AXES:
            commanded, turned, readable = _angles(self._of_world, axis)
            means = np.where(readable, turned, 0).sum(2) / np.maximum(readable.sum(2), 1)  # a dot for each turn
            known = readable.any(2)
            dots[axis] = commanded[..., 0][known].tolist(), means[known].tolist()
        outcome.plot = Plot("degrees a tick, commanded", "degrees a tick, shown", dots=dots)
        return outcome

    def measure(self, twin: StandingTwin) -> np.ndarray:
        report = turning.turning(twin, self._of_world)
        self._of_world = self._of_world or report
        shown, wanted = np.zeros(len(twin.starts)), np.zeros(len(twin.starts))
        for axis in turning.AXES:
            commanded, turned, readable = _angles(report, axis)
            shown += np.where(readable, turned * commanded, 0).sum((0, 2))
            wanted += np.where(readable, commanded**2, 0).sum((0, 2))
        return shown / np.where(wanted > 0, wanted, np.nan)

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.9, 1.1


def _angles(report: dict[str, Any], axis: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a report of `turning`, (rates, places, ticks): degrees commanded and shown, and where they can be read."""
    true, turned = (np.array(report[axis][who]) for who in ("truth", "world"))
    commanded = np.broadcast_to(np.array(turning.RATES)[:, None, None], true.shape)
    return commanded, turned, turning.read_right(true, commanded) & ~np.isnan(turned)


class TurnLatency(Latency, PlaceProbe):
    name = "turn-latency"
    question = (
        "The camera turns by 8 degrees a tick for 6 ticks: by how many frames the picture turns too late or early."
    )

    def measure(self, twin: StandingTwin) -> np.ndarray:
        rates = np.array([0, 0, *[8.0] * 6])
        steps: list[Action] = [{"camera": (rate, 0.0)} for rate in rates]
        frames = twin.shown(steps)
        before, after = (part.reshape(-1, *part.shape[2:]) for part in (frames[:, :-1], frames[:, 1:]))
        pitches = np.repeat([place.pitch for place in twin.starts], len(steps))
        turned = measured_turns(before, after, pitches, "yaw").reshape(-1, len(steps))
        ways, true = (np.pad(turns.cumsum(-1), ((0, 0), (1, 0))) for turns in (turned, rates[None]))
        return np.abs(delays(ways, np.repeat(true, len(ways), 0)))


class Keys(PlaceProbe):
    name = "keys"
    question = "Each key is held for 5 ticks where the ground is in view: the share that is read off the picture."
    chance = 1 / 9
    down = True

    def measure(self, twin: StandingTwin) -> np.ndarray:
        return np.array(keys.keys(twin)["right_by_place"])

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.95 * simulator, 1


def _lost_of_left(twin: StandingTwin, steps: list[Action], away: int) -> np.ndarray:
    """How much worse the left half is known again after these steps than after standing still, dB (places,).

    away: the step at which the player looks elsewhere; nan where the World does not show another place then.
    """
    returned, idle = twin.shown(steps), twin.shown([{}] * len(steps))
    turned = holding.turned_away(returned[:, away], twin.truth(steps)[:, [0, away]])
    lost = np.maximum(holding.same_left(idle, -1), _SHOWN) - holding.same_left(returned, -1)
    return np.where(turned, lost, np.nan)


class LookAway(PlaceProbe):
    """Turn to the right and back: the left half, out of sight meanwhile, against standing still for as long."""

    unit = "dB lost"
    better: ClassVar[Literal["low", "high", "near 1"]] = "low"
    easy = ("wrong direction",)  # which looks away and back too
    degrees: ClassVar[int]

    def measure(self, twin: StandingTwin) -> np.ndarray:
        ticks = self.degrees // holding.RATE
        there: Action = {"camera": (holding.RATE, 0)}
        back: Action = {"camera": (-holding.RATE, 0)}
        if self.degrees == 360:  # all the way round
            return _lost_of_left(twin, [there] * ticks, away=ticks // 2)
        return _lost_of_left(twin, [there] * ticks + [back] * ticks, away=ticks)

    def line(self, simulator: float) -> tuple[float, float]:
        return -np.inf, _MOST_LOST + simulator


class LookAwayShort(LookAway):
    name = "look-away-50"
    question = "Turn by 50 degrees and back, half a second: what is lost of the half that was out of sight, in dB."
    degrees = 50


class TurnRound(LookAway):
    name = "turn-round-360"
    question = "Turn all the way round, 1.8 s, longer than the context: what is lost of the left half, in dB."
    degrees = 360


class Dwell(PlaceProbe):
    name = "dwell"
    question = "Turn by 90 degrees, stay for up to 3.2 s, return: what is lost of the left half after the longest."
    unit = "dB lost"
    better: ClassVar[Literal["low", "high", "near 1"]] = "low"
    easy = ("wrong direction",)  # which looks away and back too
    _dwells = (0, 4, 16, 64)  # ticks; the context of the World that ships is of 11 frames

    def run(self, lab: Lab) -> Outcome:
        """As other probes; and a curve of the mean loss by how long the player looked elsewhere."""
        outcome = super().run(lab)
        twin = StandingTwin(lab.env, lab.world, places_of(lab, self.down), lab.tick)
        shorter = [self._lost(twin, dwell) for dwell in self._dwells[:-1]]
        lost = np.stack([*shorter, outcome.values["World"]], 1)
        away = [(dwell + 18) / lab.spec.fps for dwell in self._dwells]
        marks = {"length of the context": lab.spec.context_length / lab.spec.fps}
        outcome.plot = Plot("seconds", "dB lost", {"World": banded(away, lost)}, marks=marks, logarithmic=True)
        return outcome

    def measure(self, twin: StandingTwin) -> np.ndarray:
        return self._lost(twin, self._dwells[-1])

    @staticmethod
    def _lost(twin: StandingTwin, dwell: int) -> np.ndarray:
        there: Action = {"camera": (holding.RATE, 0)}
        back: Action = {"camera": (-holding.RATE, 0)}
        return _lost_of_left(twin, [there] * 9 + [{}] * dwell + [back] * 9, away=9)

    def line(self, simulator: float) -> tuple[float, float]:
        return -np.inf, _MOST_LOST + simulator


class Edited(PlaceProbe):
    """Break or place a block, look away, and back."""

    down = True
    sure = True
    key: ClassVar[str]

    def measure(self, twin: StandingTwin) -> np.ndarray:
        return np.array(edits.edits(twin, (self.key,))[self.key]["after"]["by_place"])

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.9, 1


class Broken(Edited):
    name = "break-a-block"
    question = "Break a block, look away and back: the share that are gone then, and are not where none was broken."
    key = "break"


class Placed(Edited):
    name = "place-a-block"
    question = "Place a block, look away and back: the share that are there then, and are not where none was placed."
    key = "place"


class StandStill(PlaceProbe):
    name = "stand-still"
    question = "Nothing is done for 3 s: how near the picture is to the simulator's then, in dB (PSNR)."
    unit = "dB"
    acts = False
    easy = ("copy last frame", "untrained")  # which begins by copying

    def measure(self, twin: StandingTwin) -> np.ndarray:
        truth, shown = twin.play([{}] * 60)
        return psnr(shown[:, -1], truth[:, -1])

    def line(self, simulator: float) -> tuple[float, float]:
        return _SHOWN, np.inf


class WayAndBack(PlaceProbe):
    name = "way-and-back"
    question = "Forward for half a second, back for as long: the end's error against that of doing nothing, in dB."
    unit = "dB below doing nothing"
    better: ClassVar[Literal["low", "high", "near 1"]] = "low"

    def measure(self, twin: StandingTwin) -> np.ndarray:
        steps: list[Action] = [{"forward": 1}] * 10 + [{"back": 1}] * 10
        truth, shown = twin.play(steps)
        idle = twin.play([{}] * len(steps))
        lost = np.maximum(psnr(idle[1][:, -1], idle[0][:, -1]), _SHOWN) - psnr(shown[:, -1], truth[:, -1])
        asked = psnr(truth[:, 10], truth[:, 0]) < 30  # nothing was in the way
        return np.where(asked & holding.turned_away(shown[:, 10], truth[:, [0, 10]]), lost, np.nan)

    def line(self, simulator: float) -> tuple[float, float]:
        return -np.inf, 3


PROBES = (Turns, TurnLatency, Keys, LookAwayShort, TurnRound, Dwell, Broken, Placed, StandStill, WayAndBack)

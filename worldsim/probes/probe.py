"""What a probe is: one question about a World, with a protocol, a floor, a chance level and a line to pass.

A probe of one's own is a subclass of `FilmProbe` with two methods, see demos/write_a_probe.py.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np

from worldsim.probes.heldout import idle_flat
from worldsim.probes.players import Players
from worldsim.probes.plots import Plot
from worldsim.probes.twin import Start, Twin
from worldsim.spec import WorldSpec
from worldsim.world import World

DIRECTIONS = np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], 1)  # eight, unit vectors
CONTEXT = 8  # frames that a World is shown before a trial, unless the probe says otherwise
_DELAYS = np.round(np.arange(-1, 4.01, 0.05), 2)  # frames that `delays` looks for


@dataclass
class Lab:
    """What a probe works with: a World, its simulator, how many starts are wanted, chance, and the baselines.

    seed: of the first trial, beyond all that recordings and start contexts use. tick: told of frames as they are made.
    """

    world: World
    env: gym.Env
    starts: int = 100
    seed: int = 7_000_000
    tick: Callable[[int], Any] = lambda frames: None
    players: Players = field(init=False)
    kept: dict[str, Any] = field(default_factory=dict)  # what several probes need and is costly to find

    def __post_init__(self) -> None:
        self.players = Players(self.env, self.world, self.tick)

    @property
    def spec(self) -> WorldSpec:
        """The World's."""
        return self.world.spec

    def idle(self, steps: int) -> np.ndarray:
        """Doing nothing, flat float32 (steps, A): keys at rest, numbers at 0 (or the bound next to it)."""
        space = copy.deepcopy(self.spec.action_space)
        space.seed(0)  # what is held in hand, where that is an action, is the same each time
        return np.repeat(idle_flat(self.spec, self.spec.flatten(space.sample())[None]), steps, 0)

    def begin(
        self, seed: int, options: dict[str, Any] | None = None, before: np.ndarray | None = None, frames: int = CONTEXT
    ) -> Start:
        """Reset the simulator and let it run for a context. before: flat actions (frames - 1, A), by default idle."""
        before = self.idle(frames - 1) if before is None else np.asarray(before, np.float32)
        shown = [np.array(self.env.reset(seed=seed, options=options)[0])]
        shown += [np.array(self.env.step(self.spec.unflatten(flat))[0]) for flat in before]
        simulator: Any = self.env.unwrapped
        return Start(np.stack(shown), before, simulator.snapshot(), seed)

    def twin(self, starts: Sequence[Start]) -> Twin:
        """The simulator and the World at these starts."""
        return Twin(self.env, self.world, starts, self.tick)


@dataclass(frozen=True)
class Trial:
    """A start and what is done from there: flat actions float32 (T, A), or (scripts, T, A) for several branches."""

    start: Start
    actions: np.ndarray
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def scripts(self) -> np.ndarray:
        """Flat actions (scripts, T, A)."""
        return self.actions if self.actions.ndim == 3 else self.actions[None]


@dataclass(frozen=True)
class Cases:
    """Trials as the simulator plays them: its frames uint8 (trials, scripts, T + 1, H, W, 3), the first of which is the
    start, and `infos[trial][script][t]` of its T steps."""

    trials: list[Trial]
    truth: np.ndarray
    infos: list[list[list[dict[str, Any]]]]

    def of(self, name: str, script: int = 0) -> np.ndarray:
        """An entry of the infos, (trials, T, ...)."""
        return np.array([[info[name] for info in trial[script]] for trial in self.infos])


@dataclass
class Outcome:
    """Raw values of a probe, one a start, by who showed the frames: "World", "simulator", and the baselines.

    bool or float (starts,). nan where the frames could not be read; where even the simulator's could not, the start
    does not count. films: frames of the simulator and of the World, uint8 (starts, T + 1, H, W, 3), of which the worst
    are shown. plot: what else is to be seen. note: what else is to be said. drawn:
    how many starts there were, if a value is a figure of all of them together: then the first is that of the starts
    themselves, and the others of starts drawn anew with replacement.
    """

    values: dict[str, np.ndarray]
    films: tuple[np.ndarray, np.ndarray] | None = None
    plot: Plot | None = None
    note: str = ""
    drawn: int = 0


class Probe(ABC):
    """One question. Subclasses say `name`, `question` (the protocol, in a sentence or two) and implement `run`.

    unit: of a value; "share" where each start is right or wrong. better: which values are. line: bounds (low, high) of
    the values that pass, by the value of the simulator's own frames, which is the floor (or the ceiling) of what can be
    read. chance: what guessing gives. simulators: ids of those whose Worlds it is for; () is any that can be restored.
    gate: the figures of other probes are to be interpreted only where this one passes. easy: baselines that may pass
    too, because that is what is asked ("copy last frame" stands still); if another does, the probe is void. sure: the
    whole 95% interval must pass, not only the mean.
    """

    name: ClassVar[str]
    question: ClassVar[str]
    unit: ClassVar[str] = "share"
    better: ClassVar[Literal["low", "high", "near 1"]] = "high"
    chance: ClassVar[float | None] = None
    simulators: ClassVar[tuple[str, ...]] = ()
    gate: ClassVar[bool] = False
    easy: ClassVar[tuple[str, ...]] = ()
    sure: ClassVar[bool] = False

    @abstractmethod
    def run(self, lab: Lab) -> Outcome:
        """Measure the World of `lab`, its simulator and the baselines."""

    @abstractmethod
    def line(self, simulator: float) -> tuple[float, float]:
        """Least and greatest mean value that passes; simulator: the mean value of the simulator's own frames."""


class FilmProbe(Probe):
    """A probe that plays scripts from starts and reads a number off the frames.

    acts: whether its scripts do anything, so that it makes sense to compare with other actions.
    """

    acts: ClassVar[bool] = False

    @abstractmethod
    def trial(self, lab: Lab, seed: int, rng: np.random.Generator) -> Trial:
        """One start and what is done from there."""

    @abstractmethod
    def measure(self, frames: np.ndarray, cases: Cases) -> np.ndarray:
        """One value a trial, (trials,), of frames uint8 (trials, scripts, T + 1, H, W, 3)."""

    def trials(self, lab: Lab) -> list[Trial]:
        """As many as the lab wants, each with a seed and chance of its own."""
        seeds = range(lab.seed, lab.seed + lab.starts)
        return [self.trial(lab, seed, np.random.default_rng([seed, 0x9B0BE])) for seed in seeds]

    def run(self, lab: Lab) -> Outcome:
        """Play all trials in the simulator, by the World, and by each baseline; measure each alike."""
        trials = self.trials(lab)
        twin = lab.twin([trial.start for trial in trials])
        scripts = np.stack([trial.scripts for trial in trials], 2)  # (scripts, T, trials, A)
        seen = [twin.witnessed(script) for script in scripts]
        truth = np.stack([frames for frames, _ in seen], 1)
        cases = Cases(trials, truth, [[infos[row] for _, infos in seen] for row in range(len(trials))])
        values = {"simulator": self.measure(truth, cases)}
        players = {"World": twin.player} | lab.players.beside(twin, self.acts)
        films, plot, note = None, None, ""
        for name, player in players.items():
            shown = np.stack([player.show(script) for script in scripts], 1)
            values[name] = self.measure(shown, cases)
            if name == "World":
                films, plot, note = (truth[:, 0], shown[:, 0]), self.plot(shown, cases), self.note(shown, cases)
        return Outcome(values, films, plot, note)

    def note(self, shown: np.ndarray, cases: Cases) -> str:
        """What else is to be said of the World's frames."""
        return ""

    def plot(self, shown: np.ndarray, cases: Cases) -> Plot | None:
        """What else is to be seen of the World's frames."""
        return None


def delays(ways: np.ndarray, true: np.ndarray) -> np.ndarray:
    """By how many frames what is shown moves later than in truth, float (trials,); less than 0 if earlier.

    ways, true: how far it has come at each frame, the first at the start, along the true direction, (trials, T + 1).
    The true way, so much later and made longer or shorter, is most like the shown one (cosine). nan where that ends at
    less than a tenth of the true way, or something in between is not seen.
    """
    return np.array([_delay(way, one) for way, one in zip(ways, true, strict=True)])


def _delay(way: np.ndarray, true: np.ndarray) -> float:
    if not way[-1] > 0.1 * true[-1] or np.isnan(way).any() or np.isnan(true).any():
        return np.nan
    times, alike = np.arange(len(way)), []
    for late in _DELAYS:
        known = times - late <= times[-1]
        shown, due = way[known], np.interp(times - late, times, true)[known]
        alike.append((shown @ due) / max(np.sqrt((shown @ shown) * (due @ due)), 1e-12))
    return float(_DELAYS[np.argmax(alike)])


def along(places: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far places (trials, T + 1, 2) have come from the first, (trials, T + 1), along the whole true way; and the
    true ones themselves."""
    ahead = true[:, -1] - true[:, 0]
    ahead = ahead / np.linalg.norm(ahead, axis=1, keepdims=True)
    shown, due = (((way - way[:, :1]) * ahead[:, None]).sum(2) for way in (places, true))
    return shown, due


class Latency(Probe):
    """By how many frames something sets out too late, or too early. Subclasses mix it in before their kind of trial."""

    unit = "frames off"
    better: ClassVar[Literal["low", "high", "near 1"]] = "low"

    def line(self, simulator: float) -> tuple[float, float]:
        return 0, 0.5


def obeyed(moved: np.ndarray, true: np.ndarray, ways: list[int]) -> np.ndarray:
    """Whether what was sent in each of `ways`, places in DIRECTIONS, went there: bool (trials,).

    moved, true: how far it came, shown and in truth, (trials, 2); within a tenth of the true way it has not moved.
    """
    went = np.linalg.norm(moved, axis=1) > 0.1 * np.linalg.norm(true, axis=1)
    return went & ((moved @ DIRECTIONS.T).argmax(1) == ways)

"""`worldsim probe`: all probes that fit a World, and what came of them; never one score of all."""

from __future__ import annotations

import importlib.util
import inspect
import json
import math
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

import worldsim
from worldsim.data.workers import run_units
from worldsim.files import differences, write_atomically
from worldsim.probes.heldout import open_simulator
from worldsim.probes.intervals import Interval, mean_interval, plain, share_interval, spread
from worldsim.probes.probe import Lab, Outcome, Probe
from worldsim.probes.profile_page import write_profile
from worldsim.probes.profile_table import table
from worldsim.probes.stored import roll_out, store_rerun, store_rollouts

UNREAD = 0.05  # a World in whose frames nothing can be read at more starts than this does not pass
_WORST = 5


def probes_for(simulator: str | None) -> list[type[Probe]]:
    """The probes that ship for Worlds of a simulator, in the order in which they run."""
    from worldsim.probes import any_world, ball_motion, ball_things, block_probes, launched, ranking, robot_probes

    every: Sequence[type[Probe]] = (
        *ball_things.PROBES, *ball_motion.PROBES, *block_probes.PROBES, *launched.PROBES, *ranking.PROBES,
        *robot_probes.PROBES, *any_world.PROBES,
    )  # fmt: skip
    fitting = [probe for probe in every if not probe.simulators or simulator in probe.simulators]
    return sorted(fitting, key=lambda probe: not probe.gate)  # what others depend on comes first


def probes_in(path: Path) -> list[type[Probe]]:
    """The probes that a Python file of the user's defines; ValueError if it cannot be imported or defines none."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ValueError(f"{path} is no Python file: give one that defines a subclass of worldsim.probes.probe.Probe")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there for what their annotations mean
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    found = [
        value for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Probe) and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]  # fmt: skip
    if not found:
        raise ValueError(f"{path} defines no probe: subclass worldsim.probes.probe.FilmProbe and give it a name")
    for probe in found:
        if lacking := [name for name in ("name", "question") if not hasattr(probe, name)]:
            raise ValueError(f"the probe {probe.__name__} of {path} lacks {' and '.join(lacking)}")
    return found


def profile(
    world: str,
    *,
    only: Sequence[str] = (),
    files: Sequence[Path] = (),
    starts: int = 100,
    seed: int = 7_000_000,
    out: Path,
    against: Path | None = None,
    rollouts: int = 0,
    rerun: bool = False,
    workers: int = 1,
) -> dict[str, Any]:
    """Run the probes that fit a World; print a table and write profile.json, trials.jsonl and profile.html into `out`.

    world: name or path. only: names of probes, instead of all that fit. files: Python files with further probes.
    starts: how many a probe has, where it does not say otherwise. against: the `out` of another run with the same seed,
    whose values are subtracted start by start. rollouts: how many to store in OUT/rollouts, and with `rerun` in
    OUT/rollouts.rrd, see `worldsim.probes.stored`. workers: processes that run probes side by side; with 1 it is done
    in this one, by all cores. A probe that crashes is reported, and the others go on; of a run that is stopped what is
    finished is printed and written. Returns what is in profile.json. ValueError for a World without a simulator, for
    names that there are not, probes of other Worlds, fewer than 2 starts or 1 worker, and rerun without rollouts;
    ModuleNotFoundError without matplotlib (the extra `report`), or without rerun where it is asked for.
    """
    import matplotlib  # noqa: F401  now, and not at the end: the page needs it

    if rerun and not rollouts:
        raise ValueError("what rerun shows is rollouts: say how many (--rollouts 16)")
    if rerun and importlib.util.find_spec("rerun") is None:
        raise ModuleNotFoundError('no rerun: pip install "worldsim[rerun]"')
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if starts < 2:
        raise ValueError(f"starts must be at least 2, for an interval around the mean, got {starts}")
    dtype = worldsim.load(world).dtype  # measured here, for all: a worker that is busy would find another
    start = partial(_Prober, world, dtype, only, files, starts, seed)
    prober = start()
    out = Path(out)
    with closing(prober.lab.env):
        spec, probes = prober.lab.spec, prober.probes
        before = {} if against is None else _earlier(Path(against), spec.simulator, seed, starts)
        out.mkdir(parents=True, exist_ok=True)
        report: dict[str, Any] = {
            "command": shlex.join(
                ["worldsim", "probe", world, "--starts", str(starts), "--seed", str(seed)]
                + (["--only", *only] if only else [])
                + (["--probe", *map(str, files)] if files else [])
            ),
            "world": world,
            "simulator": spec.simulator,
            "dtype": str(dtype).removeprefix("torch."),
            "starts": starts,
            "seed": seed,
            "obeys": None,
            "probes": [],
        }
        done: dict[int, tuple[dict[str, Any], Outcome | None]] = {}
        outcomes: dict[str, Outcome] = {}
        runs = run_units(start if workers > 1 else lambda: prober, range(len(probes)), workers)
        try:
            with closing(runs), tqdm(total=len(probes), unit=" probes", leave=False, disable=None) as bar:
                bar.set_postfix_str(", ".join(probe.name for probe in probes[:workers]))
                for number, (entry, outcome) in runs:
                    name = probes[number].name
                    if outcome is not None and len(before.get(name, ())) == len(outcome.values["World"]):
                        entry["change"] = plain(_value(_change(outcome, before[name])))
                    done[number] = entry, outcome
                    in_order = [done[one] for one in sorted(done)]
                    report["probes"] = [entry for entry, _ in in_order]
                    outcomes = {entry["name"]: outcome for entry, outcome in in_order if outcome is not None}
                    gates = [one["passed"] for one in report["probes"] if one["gate"]]
                    report["obeys"] = None if not gates or None in gates else all(gates)
                    # After each, so that a stop loses nothing.
                    write_atomically(out / "profile.json", json.dumps(report, indent=1, allow_nan=False))
                    write_atomically(out / "trials.jsonl", "".join(_lines(outcomes)))
                    bar.set_postfix_str(f"{name} done")
                    bar.update()
        finally:  # also of a run that is stopped
            if done:
                print(table(report))
                write_profile(out / "profile.html", report, outcomes)
        written = [str(out / name) for name in ("profile.json", "trials.jsonl", "profile.html")]
        if rollouts:
            rolled = roll_out(prober.lab, rollouts)
            store_rollouts(rolled, out / "rollouts")
            written.append(str(out / "rollouts"))
            if rerun:
                written.append(str(store_rerun(rolled, out / "rollouts.rrd")))
    print(f"\nwritten: {', '.join(written)}")
    return report


class _Prober:
    """Runs the probes that are asked for, by their numbers; what several of them need is found once by each prober."""

    def __init__(
        self, world: str, dtype: torch.dtype, only: Sequence[str], files: Sequence[Path], starts: int, seed: int
    ) -> None:
        learned = worldsim.load(world, dtype=dtype)
        found = [*probes_for(learned.spec.simulator), *(probe for file in files for probe in probes_in(file))]
        self.probes = _chosen(found, only, learned.spec.simulator)
        self.lab = Lab(learned, open_simulator(learned.spec), starts, seed)

    def __call__(self, number: int) -> tuple[dict[str, Any], Outcome | None]:
        """What stands of the probe in the report, and its outcome; None if it crashed."""
        kind, begun = self.probes[number], time.perf_counter()
        outcome = None
        try:
            probe = kind()
            outcome = probe.run(self.lab)
            entry = _entry(probe, outcome)
            outcome = _with_worst_films(probe, outcome)
        except Exception as error:  # one that crashes must not cost the others
            outcome = None
            facts = {"error": f"{type(error).__name__}: {error}", "passed": None, "gate": kind.gate}
            entry = {"name": kind.name, "question": kind.question, "traceback": traceback.format_exc()} | facts
        return plain(entry | {"seconds": round(time.perf_counter() - begun, 1)}), outcome


def _with_worst_films(probe: Probe, outcome: Outcome) -> Outcome:
    """The same with the films of its worst starts alone: those of all would fill the memory."""
    if outcome.films is not None:
        some = worst(probe, outcome)
        truth, shown = outcome.films
        outcome.films = truth[some], shown[some]
    return outcome


def _chosen(probes: Sequence[type[Probe]], only: Sequence[str], simulator: str | None) -> list[type[Probe]]:
    """Those that are asked for; ValueError for names that are not there, are there twice, or do not fit the World."""
    names = [probe.name for probe in probes]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"there are several probes of the name {', '.join(sorted(twice))}: give yours others")
    if unknown := [name for name in only if name not in names]:
        raise ValueError(
            f"no probe {', '.join(map(repr, unknown))} for Worlds of {simulator}; there are {', '.join(names)}"
        )
    chosen = [probe for probe in probes if not only or probe.name in only]
    for probe in chosen:
        if probe.simulators and simulator not in probe.simulators:
            raise ValueError(
                f"the probe {probe.name} is for Worlds of {', '.join(probe.simulators)}, not of {simulator}"
            )
    return chosen


def _entry(probe: Probe, outcome: Outcome) -> dict[str, Any]:
    """What stands of a probe in the report. ValueError if the simulator's own frames cannot be read."""
    values = {who: np.asarray(found, float) for who, found in outcome.values.items()}
    # A start where not even the simulator's frames can be read, or do not show what is asked for, does not count.
    asked = ~np.isnan(values["simulator"]) if "simulator" in values else np.ones(len(values["World"]), bool)
    if not asked.any():
        raise ValueError("the simulator's own frames could not be read at any start")
    values = {who: found[asked] if len(found) == len(asked) else found for who, found in values.items()}

    def interval(found: np.ndarray) -> Interval:
        if outcome.drawn:
            return spread(found)
        known = found[~np.isnan(found)]
        rates = probe.unit == "share" and np.isin(known, (0, 1)).all()
        return share_interval(known == 1) if rates else mean_interval(known)

    means = {who: interval(found) for who, found in values.items()}
    unread = {who: 0.0 if outcome.drawn else float(np.isnan(found).mean()) for who, found in values.items()}
    simulator = means["simulator"].mean if "simulator" in means else math.nan
    low, high = probe.line(simulator)
    bounded = math.isfinite(low) or math.isfinite(high)

    def passes(who: str) -> bool:
        mean = means[who]
        if math.isnan(mean.mean) or unread[who] > UNREAD:
            return False
        least, most = (mean.low, mean.high) if probe.sure else (mean.mean, mean.mean)
        if probe.better == "near 1":  # some too much and others too little must not pass for right
            off = float(np.nanmean(np.abs(values[who] - 1)))
            return low <= least and most <= high and off <= high - low
        return low <= least and most <= high

    others = [who for who in means if who not in ("World", "simulator", *probe.easy)]
    return {
        "name": probe.name, "question": probe.question, "unit": probe.unit, "better": probe.better,
        "chance": probe.chance, "gate": probe.gate,
        **_value(means["World"]),
        "n": outcome.drawn or len(values["World"]),
        "unread": unread["World"],
        # What can be read off true frames: the least error, or the most that can be right.
        "floor": simulator if probe.better == "low" else None,
        "ceiling": None if probe.better == "low" else simulator,
        "line": [low, high],
        "passed": passes("World") if bounded else None,
        # A probe that one passes who has learned nothing says nothing.
        "void": [who for who in others if bounded and passes(who)],
        "controls": {who: _value(mean) for who, mean in means.items() if who not in ("World", "simulator")},
        "plot": None if outcome.plot is None else asdict(outcome.plot),
        "note": outcome.note,
    }  # fmt: skip


def _value(interval: Interval) -> dict[str, float]:
    return {"value": interval.mean, "low": interval.low, "high": interval.high}


def _change(outcome: Outcome, before: np.ndarray) -> Interval:
    """By how much the World's values are more than those of an earlier run."""
    change = np.asarray(outcome.values["World"], float) - before
    return spread(change) if outcome.drawn else mean_interval(change)


def worst(probe: Probe, outcome: Outcome) -> list[int]:
    """The starts at which a World is worst, those first whose frames could not be read; the first ones if they have no
    values of their own."""
    if outcome.drawn:
        return list(range(min(_WORST, outcome.drawn)))
    values = np.asarray(outcome.values["World"], float)
    badness = {"low": values, "high": -values, "near 1": np.abs(values - 1)}[probe.better]
    return np.argsort(-np.where(np.isnan(badness), np.inf, badness), kind="stable")[:_WORST].tolist()


def _lines(outcomes: dict[str, Outcome]) -> list[str]:
    """One line of JSON for each probe, who was measured, and start, or draw of the starts (0 is all as they are)."""
    lines = []
    for name, outcome in outcomes.items():
        of = "draw" if outcome.drawn else "start"
        for who, values in outcome.values.items():
            for number, value in enumerate(np.asarray(values).tolist()):
                entry = {"probe": name, "who": who, of: number, "value": value}
                lines.append(json.dumps(plain(entry), allow_nan=False) + "\n")
    return lines


def _earlier(directory: Path, simulator: str | None, seed: int, starts: int) -> dict[str, np.ndarray]:
    """The World's values of an earlier run by probe; ValueError if there is none, or one of other starts."""
    report, trials = directory / "profile.json", directory / "trials.jsonl"
    if not report.is_file() or not trials.is_file():
        raise ValueError(f"{directory} holds no earlier run ({report.name}, {trials.name}): give the --out of one")
    facts = json.loads(report.read_text(encoding="utf-8"))
    here = {"simulator": simulator, "seed": seed, "starts": starts}
    if differing := differences({name: facts.get(name) for name in here}, here):
        raise ValueError(f"the run in {directory} had other starts ({differing}): nothing can be compared one by one")
    found: dict[str, list[float]] = {}
    for line in trials.read_text(encoding="utf-8").splitlines():
        trial = json.loads(line)
        if trial["who"] == "World":
            value = trial["value"]
            found.setdefault(trial["probe"], []).append(math.nan if value is None else float(value))
    return {name: np.array(values) for name, values in found.items()}

"""`worldsim probe`: all probes that fit a World, one after the other, and what came of them; never one score of all."""

from __future__ import annotations

import importlib.util
import inspect
import json
import math
import shlex
import time
import traceback
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import worldsim
from worldsim.files import write_atomically
from worldsim.probes.heldout import open_simulator
from worldsim.probes.intervals import Interval, mean_interval, share_interval, spread
from worldsim.probes.probe import Lab, Outcome, Probe
from worldsim.probes.stored import store_rollouts

UNREAD = 0.2  # a World in whose frames nothing can be read at more starts than this does not pass
_WORST = 5


def probes_for(simulator: str | None) -> list[type[Probe]]:
    """The probes that ship for Worlds of a simulator, in the order in which they run."""
    from worldsim.probes import any_world, ball_motion, ball_things, block_probes, ranking

    every: Sequence[type[Probe]] = (
        *ball_things.PROBES, *ball_motion.PROBES, *block_probes.PROBES, *ranking.PROBES, *any_world.PROBES
    )  # fmt: skip
    fitting = [probe for probe in every if not probe.simulators or simulator in probe.simulators]
    return sorted(fitting, key=lambda probe: not probe.gate)  # what others depend on comes first


def probes_in(path: Path) -> list[type[Probe]]:
    """The probes that a Python file of the user's defines; ValueError if it cannot be imported or defines none."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ValueError(f"{path} is no Python file: give one that defines a subclass of worldsim.probes.probe.Probe")
    module = importlib.util.module_from_spec(spec)
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
) -> dict[str, Any]:
    """Run the probes that fit a World; print a table and write profile.json, trials.jsonl and profile.html into `out`.

    world: name or path. only: names of probes, instead of all that fit. files: Python files with further probes.
    starts: how many a probe has, where it does not say otherwise. against: the `out` of another run with the same seed,
    whose values are subtracted start by start. rollouts: how many to store in OUT/rollouts, see
    `worldsim.probes.stored`. A probe that crashes is reported, and the others go on. Returns what is
    in profile.json. ValueError for a World without a simulator, unknown names, and for fewer than 2 starts.
    """
    learned = worldsim.load(world)
    probes = [*probes_for(learned.spec.simulator), *(probe for file in files for probe in probes_in(file))]
    probes = _chosen(probes, only, world)
    if starts < 2:
        raise ValueError(f"starts must be at least 2, for an interval around the mean, got {starts}")
    before = _trials_of(against) if against is not None else {}
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    from worldsim.probes.profile_page import write_profile  # now, and not at the end: it needs matplotlib

    entries: list[dict[str, Any]] = []
    outcomes: dict[str, Outcome] = {}
    with closing(open_simulator(learned.spec)) as env, tqdm(probes, "probes", leave=False, disable=None) as bar:
        lab = Lab(learned, env, starts, seed)
        for probe in bar:
            bar.set_postfix_str(probe.name)
            begun = time.perf_counter()
            try:
                outcome = probe().run(lab)
                entry = _entry(probe(), outcome, before.get(probe.name))
                outcomes[probe.name] = outcome
            except Exception as error:  # one that crashes must not cost the others
                entry = _facts(probe()) | {"error": f"{type(error).__name__}: {error}", "passed": None}
                entry["traceback"] = traceback.format_exc()
            entries.append(entry | {"seconds": round(time.perf_counter() - begun, 1)})
        if rollouts:
            store_rollouts(lab, out / "rollouts", rollouts)
    gates = [entry for entry in entries if entry["gate"]]
    obeys = None if not gates else all(entry["passed"] for entry in gates)
    report = {
        "command": shlex.join(["worldsim", "probe", world, *(f"--only={name}" for name in only), f"--starts={starts}"]),
        "world": world,
        "simulator": learned.spec.simulator,
        "dtype": str(learned.dtype).removeprefix("torch."),
        "starts": starts,
        "seed": seed,
        "interpretable": obeys,
        "probes": entries,
    }
    report = plain(report)
    write_atomically(out / "profile.json", json.dumps(report, indent=1, allow_nan=False))
    write_atomically(out / "trials.jsonl", "".join(_lines(outcomes)))
    print(table(report))
    write_profile(out / "profile.html", report, outcomes)
    print(f"\nwritten: {', '.join(str(out / name) for name in ('profile.json', 'trials.jsonl', 'profile.html'))}")
    return report


def _chosen(probes: list[type[Probe]], only: Sequence[str], world: str) -> list[type[Probe]]:
    names = [probe.name for probe in probes]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"there are several probes of the name {', '.join(sorted(twice))}: give yours others")
    if unknown := [name for name in only if name not in names]:
        raise ValueError(f"no probe {', '.join(map(repr, unknown))} for {world}; there are {', '.join(names)}")
    return [probe for probe in probes if not only or probe.name in only]


def _facts(probe: Probe) -> dict[str, Any]:
    return {
        "name": probe.name, "question": probe.question, "unit": probe.unit, "better": probe.better,
        "chance": probe.chance, "gate": probe.gate,
    }  # fmt: skip


def _entry(probe: Probe, outcome: Outcome, before: np.ndarray | None) -> dict[str, Any]:
    """What stands of a probe in the report."""
    values = {who: np.asarray(found) for who, found in outcome.values.items()}
    interval = spread if outcome.drawn else _interval
    means = {who: interval(found) for who, found in values.items()}
    simulator = means["simulator"].mean if "simulator" in means else math.nan
    low, high = probe.line(simulator)
    bounded = math.isfinite(low) or math.isfinite(high)
    unread = {who: float(np.isnan(found.astype(float)).mean()) for who, found in values.items()}

    def passes(who: str) -> bool:
        return unread[who] <= UNREAD and low <= means[who].mean <= high

    entry = _facts(probe) | {
        **means["World"]._asdict(),
        "n": len(values["World"]),
        "unread": unread["World"],
        "simulator": simulator,
        "line": [low, high],
        "passed": passes("World") if bounded else None,
        # A probe that one passes who has learned nothing says nothing.
        "void": bounded and "untrained" in means and passes("untrained"),
        "controls": {who: mean for who, mean in means.items() if who not in ("World", "simulator")},
        "curves": outcome.curves,
        "axes": outcome.axes,
        "note": outcome.note,
    }
    if before is not None and len(before) == len(values["World"]):
        entry["change"] = mean_interval(values["World"].astype(float) - before)
    return entry


def _interval(values: np.ndarray) -> Interval:
    return share_interval(values) if values.dtype == bool else mean_interval(values)


def worst(probe: Probe | dict[str, Any], outcome: Outcome) -> list[int]:
    """The starts at which a World is worst, those first whose frames could not be read."""
    better = probe["better"] if isinstance(probe, dict) else probe.better
    values = np.asarray(outcome.values["World"], float)
    badness = {"low": values, "high": -values, "near 1": np.abs(values - 1)}[better]
    return np.argsort(-np.where(np.isnan(badness), np.inf, badness), kind="stable")[:_WORST].tolist()


def _lines(outcomes: dict[str, Outcome]) -> list[str]:
    """One line of JSON for each probe, start, and who was measured."""
    lines = []
    for name, outcome in outcomes.items():
        for who, values in outcome.values.items():
            for start, value in enumerate(np.asarray(values).tolist()):
                entry = {"probe": name, "start": start, "who": who, "value": value}
                lines.append(json.dumps(plain(entry), allow_nan=False) + "\n")
    return lines


def _trials_of(directory: Path) -> dict[str, np.ndarray]:
    """The World's values of an earlier run by probe; ValueError if there is none in the directory."""
    path = Path(directory) / "trials.jsonl"
    if not path.is_file():
        raise ValueError(f"{directory} holds no earlier run: {path.name} is not there; give the --out of one")
    found: dict[str, list[float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        trial = json.loads(line)
        if trial["who"] == "World":
            value = trial["value"]
            found.setdefault(trial["probe"], []).append(math.nan if value is None else float(value))
    return {name: np.array(values) for name, values in found.items()}


def plain(value: Any) -> Any:
    """The same for JSON: intervals and arrays as objects and lists, null where there is no finite number."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(report: dict[str, Any]) -> str:
    """The profile as lines of text: each probe's value beside its line, the simulator's own, and the best baseline."""
    heads = ("", "value [95% interval]", "passes", "simulator", "best baseline", "")
    rows = [heads, *(_row(entry) for entry in report["probes"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = [f"{report['world']}, a World of {report['simulator']}; {report['command']}"]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if report["interpretable"] is False:
        lines.append("It does not do as it is told, so what it shows of physics is not to be interpreted.")
    return "\n".join(lines)


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    if "error" in entry:
        return entry["name"], "-", "-", "-", "-", f"crashed: {entry['error']}"
    value = "-" if entry["mean"] is None else f"{entry['mean']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]"
    verdict = {True: "", False: "missed", None: ""}[entry["passed"]]
    if entry["void"]:
        verdict = "void: an untrained World passes"
    if entry["unread"]:
        verdict = f"{verdict} ({entry['unread']:.0%} not readable)".strip()
    simulator = "-" if entry["simulator"] is None else f"{entry['simulator']:.3f}"
    return f"{entry['name']} ({entry['unit']})", value, line_in_words(entry), simulator, best_baseline(entry), verdict


def line_in_words(entry: dict[str, Any]) -> str:
    """Which values pass."""
    low, high = entry["line"]
    if entry["passed"] is None:
        return "reported"
    if entry["better"] == "near 1":
        return f"{low:.2f} to {high:.2f}"
    return f"at least {low:.3g}" if entry["better"] == "high" else f"at most {high:.3g}"


def best_baseline(entry: dict[str, Any]) -> str:
    """The baseline that comes nearest to being right, with its value."""
    known = {name: mean["mean"] for name, mean in entry["controls"].items() if mean["mean"] is not None}
    if not known:
        return "-"
    sign = {"low": lambda x: x, "high": lambda x: -x, "near 1": lambda x: abs(x - 1)}[entry["better"]]
    name = min(known, key=lambda name: sign(known[name]))
    return f"{known[name]:.3f} ({name})"

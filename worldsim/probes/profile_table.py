"""The table that `worldsim probe` prints."""

from __future__ import annotations

from typing import Any


def table(report: dict[str, Any]) -> str:
    """The profile as lines of text: each probe's value beside its line, the simulator's own, and the best baseline."""
    heads = ["", "value [95% interval]", "passes", "simulator", "best baseline", ""]
    changed = any("change" in entry for entry in report["probes"])
    rows = [heads + ["change"] * changed]
    rows += [_row(entry) + [_with_interval(entry.get("change"))] * changed for entry in report["probes"]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [f"{report['world']}, a World of {report['simulator']}; {report['command']}"]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if report["obeys"] is False:
        lines.append("It does not do as it is told, so what it shows of physics is not to be interpreted.")
    return "\n".join(lines)


def _row(entry: dict[str, Any]) -> list[str]:
    if "error" in entry:
        return [entry["name"], "-", "-", "-", "-", f"crashed: {entry['error']}"]
    verdict = {True: "", False: "missed", None: ""}[entry["passed"]]
    if entry["void"]:
        verdict = f"void: passed by {', '.join(entry['void'])}"
    if entry["unread"]:
        verdict = f"{verdict} ({entry['unread']:.0%} not readable)".strip()
    simulator = "-" if of_simulator(entry) is None else _number(of_simulator(entry))
    name = f"{entry['name']} ({entry['unit']})"
    return [name, _with_interval(entry), line_in_words(entry), simulator, best_baseline(entry), verdict]


def _with_interval(value: dict[str, Any] | None) -> str:
    if value is None or value["value"] is None:
        return "-"
    return "{} [{}, {}]".format(*(_number(value[part]) for part in ("value", "low", "high")))


def _number(value: float) -> str:
    return f"{round(value, 3) + 0:.3f}"  # no minus before a zero


def of_simulator(entry: dict[str, Any]) -> Any:
    """The value of the simulator's own frames, the floor or the ceiling; None without."""
    return entry["ceiling"] if entry["floor"] is None else entry["floor"]


def line_in_words(entry: dict[str, Any]) -> str:
    """Which values pass."""
    low, high = entry["line"]
    if low is None and high is None:
        return "reported"
    if low is None:
        return f"at most {high:.3g}"
    if high is None or (entry["better"] == "high" and high == 1):
        return f"at least {low:.3g}"
    return f"at most {high:.3g}" if entry["better"] == "low" else f"{low:.3g} to {high:.3g}"


def best_baseline(entry: dict[str, Any]) -> str:
    """The baseline that comes nearest to being right, with its value."""
    known = {name: of["value"] for name, of in entry["controls"].items() if of["value"] is not None}
    if not known:
        return "-"
    sign = {"low": lambda x: x, "high": lambda x: -x, "near 1": lambda x: abs(x - 1)}[entry["better"]]
    name = min(known, key=lambda name: sign(known[name]))
    return f"{_number(known[name])} ({name})"

"""The page of `worldsim probe`: a card for each probe, with its films of the worst starts, as one HTML file."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.probes.page import film, plot, write_document
from worldsim.probes.plots import draw_plot
from worldsim.probes.probe import Outcome
from worldsim.probes.profile_table import line_in_words, of_simulator, table

_SIGNS = {True: ("passed", "reached"), False: ("missed", "missed"), None: ("reported", "")}


def write_profile(path: Path, report: dict[str, Any], outcomes: dict[str, Outcome]) -> None:
    """Write the page of a report that `profile.profile` made, with films of the worst starts of each outcome."""
    parts = [
        f"<h1>What the World {escape(report['world'])} knows of its simulator</h1>",
        f"<p><code>{escape(report['command'])}</code></p><pre>{escape(table(report))}</pre>",
        "<p>Each value is a mean over starts with its 95% interval. The simulator's own frames, read in the same way, "
        "say what can be reached; baselines say what can be had for nothing. There is no score of all.</p>",
    ]
    parts += [_card(entry, outcomes.get(entry["name"])) for entry in report["probes"]]
    write_document(path, f"worldsim probe {report['world']}", parts)


def _card(entry: dict[str, Any], outcome: Outcome | None) -> str:
    head = f"<h2>{escape(entry['name'])}</h2><p>{escape(entry['question'])}</p>"
    if outcome is None:
        return head + f"<p class='missed'>crashed: {escape(entry['error'])}</p><pre>{escape(entry['traceback'])}</pre>"
    word, kind = _SIGNS[entry["passed"]]
    facts = f"{word}; passes: {line_in_words(entry)}; {entry['n']} starts; {entry['unit']}"
    if entry["void"]:
        facts += f"; void, because it is passed by {', '.join(entry['void'])}"
    if entry.get("change", {}).get("value") is not None:
        facts += "; against the earlier run {value:+.3f} [{low:+.3f}, {high:+.3f}]".format(**entry["change"])
    parts = [head, f"<p class='{kind}'>{escape(facts)}</p>"]
    parts += [f"<p>{escape(entry['note'])}</p>"] * bool(entry["note"])
    parts.append(plot(_values, entry))
    if outcome.plot is not None:
        parts.append(plot(draw_plot, outcome.plot))
    if outcome.films is not None:
        parts.append("<p>The five worst starts: simulator, World, difference</p>")
        parts += [film(_beside(truth, shown)) for truth, shown in zip(*outcome.films, strict=True)]
    return "\n".join(parts)


def _beside(truth: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Films uint8 (T, H, W, 3) of the truth, of the World, and of what differs, side by side."""
    apart = np.abs(truth.astype(np.int16) - shown).astype(np.uint8)
    return np.concatenate([truth, shown, apart], 2)


def _values(figure: Any, entry: dict[str, Any]) -> None:
    """The World's value among those of the simulator and the baselines, with the values that pass and chance."""
    axes = figure.subplots()
    values = {"World": entry} | entry["controls"]
    known = {name: of for name, of in values.items() if of["value"] is not None}
    for row, of in enumerate(known.values()):
        # A figure of all starts together may lie outside of what most draws of them give.
        reach = [[max(of["value"] - of["low"], 0)], [max(of["high"] - of["value"], 0)]]
        axes.errorbar([of["value"]], [row], xerr=reach, fmt="o", capsize=3, color="C0" if row == 0 else "grey")
    if of_simulator(entry) is not None:
        axes.axvline(of_simulator(entry), color="C2", label="simulator")
    if entry["chance"] is not None:
        axes.axvline(entry["chance"], color="C3", linestyle=":", label="chance")
    low, high = entry["line"]
    if low is not None or high is not None:
        left, right = axes.get_xlim()
        bounds = left if low is None else low, right if high is None else high
        axes.axvspan(*bounds, color="C2", alpha=0.12, label="passes")
    axes.set_yticks(range(len(known)), list(known))
    axes.invert_yaxis()
    axes.set(xlabel=entry["unit"])
    if axes.get_legend_handles_labels()[0]:
        axes.legend()

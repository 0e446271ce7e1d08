"""What a probe shows beside its value, as plots on the page: lines over something, true against shown, or a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worldsim.probes.intervals import mean_interval

Line = tuple[list[float], ...]  # x and y, perhaps the bounds of a band around y too


@dataclass(frozen=True)
class Plot:
    """One plot. across, up: what its axes are, with units.

    lines: by name, (x, y) or (x, y, low, high). dots: by name, (x, y); where all is right they lie on the diagonal.
    marks: by name, where a vertical line is. logarithmic: the axis across is. cells: a value for each row and column,
    with what `rows` and `columns` are. What is nan is left out.
    """

    across: str
    up: str
    lines: Mapping[str, Line] = field(default_factory=dict)
    dots: Mapping[str, Line] = field(default_factory=dict)
    marks: Mapping[str, float] = field(default_factory=dict)
    logarithmic: bool = False
    cells: Sequence[Sequence[float]] = ()
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()


def banded(x: list[float], values: np.ndarray) -> Line:
    """The mean over starts of values (starts, len(x)) with its 95% interval, as a line."""
    means = [mean_interval(column) for column in values.T]
    return (x, *([getattr(mean, part) for mean in means] for part in ("mean", "low", "high")))


def true_against_shown(what: str, true: np.ndarray, shown: np.ndarray, names: tuple[str, ...] = ("World",)) -> Plot:
    """Dots of values (trials, names), or (trials,) of one; those that could not be read are left out."""
    columns = zip(names, true.reshape(len(true), -1).T, shown.reshape(len(shown), -1).T, strict=True)
    read = {name: (a, b, ~(np.isnan(a) | np.isnan(b))) for name, a, b in columns}
    dots = {name: (a[known].tolist(), b[known].tolist()) for name, (a, b, known) in read.items()}
    return Plot(f"{what}, truly", f"{what}, shown", dots=dots)


def draw_plot(figure: Any, plot: Plot) -> None:
    """Draw it into a figure of matplotlib."""
    axes = figure.subplots()
    axes.set(xlabel=plot.across, ylabel=plot.up)
    if plot.cells:
        _draw_cells(figure, axes, plot)
        return
    for name, (x, y, *band) in plot.lines.items():
        (line,) = axes.plot(x, y, marker="o", label=name)
        if band:
            axes.fill_between(x, *band, color=line.get_color(), alpha=0.15)
    for name, (x, y) in plot.dots.items():
        axes.scatter(x, y, s=9, label=name)
    if plot.dots:
        both = [value for dots in plot.dots.values() for values in dots for value in values]
        if both:
            axes.plot(
                [min(both), max(both)], [min(both), max(both)], color="grey", linewidth=1, label="as it should be"
            )
    if plot.logarithmic:
        axes.set_xscale("log")
    for number, (name, place) in enumerate(plot.marks.items()):
        axes.axvline(place, color=f"C{number + 3}", linestyle=":", label=name)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def _draw_cells(figure: Any, axes: Any, plot: Plot) -> None:
    values = np.array(plot.cells, float)
    image = axes.imshow(values, cmap="Reds", vmin=0, aspect="auto", origin="lower")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8)
    axes.set_xticks(range(len(plot.columns)), plot.columns)
    axes.set_yticks(range(len(plot.rows)), plot.rows)
    figure.colorbar(image)

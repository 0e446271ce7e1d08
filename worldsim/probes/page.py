"""The report of `worldsim eval --full` as one HTML file: the goals, plots, contact sheets and films.

Its building blocks make the page of `worldsim probe` too (`worldsim.probes.profile_page`).
"""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.clip import Clip
from worldsim.files import write_atomically
from worldsim.probes import goals

_FILMS = 4  # lanes of the long walk that are shown as films
_SCALE = 3  # every pixel of a film is drawn so many times as wide and high
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse } td, th { padding: .2em .8em; text-align: left; border-bottom: 1px solid #ddd }
.reached { color: #060 } .missed { color: #a00; font-weight: bold }
svg, img { max-width: 100%; height: auto } video { max-width: 100%; image-rendering: pixelated; margin: .3em 0 }
"""


def write_page(path: Path, report: dict[str, Any], pairs: np.ndarray, pictures: Sequence[Path]) -> None:
    """Write the page. pairs: uint8 (lanes, T, H, 2 W, 3), truth beside World; pictures: PNG files to put into it."""
    plots = (_prediction, _walk, _turning, _keys)
    parts = [
        f"<h1>The World {escape(report['world'])}</h1><p><code>{escape(report['command'])}</code></p>",
        "<h2>What it is wanted to do</h2>",
        _table(report),
        "<h2>Plots</h2>",
        *(plot(draw, report) for draw in plots),
        "<h2>Long walks: the simulator at the left, the World at the right</h2>",
        *(film(frames) for frames in pairs[:_FILMS]),
        "<h2>Contact sheets</h2>",
        *(f'<p>{escape(file.name)}</p><img src="{_inline(file.read_bytes(), "image/png")}">' for file in pictures),
    ]
    write_document(path, f"worldsim eval {report['world']}", parts)


def write_document(path: Path, title: str, parts: Sequence[str]) -> None:
    """Write a page of these parts, each HTML, as one file that needs no other."""
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    write_atomically(path, head + "\n".join(parts) + "\n")


def _table(report: dict[str, Any]) -> str:
    lines = []
    for row in goals.rows(report):
        cells = (row.aim, row.measure, row.shown, row.goal)
        tds = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        lines.append(f'<tr>{tds}<td class="{row.verdict}">{row.verdict}</td></tr>')
    heads = "".join(f"<th>{name}</th>" for name in ("", "measure", "value [95% interval]", "goal", ""))
    return f"<table><tr>{heads}</tr>{''.join(lines)}</table>"


def _inline(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def film(frames: np.ndarray) -> str:
    """A film in a page, of frames uint8 (T, H, W, 3)."""
    with tempfile.TemporaryDirectory() as folder:
        file = Clip(frames).save(Path(folder) / "film.mp4", scale=_SCALE)
        source = _inline(file.read_bytes(), "video/mp4")
    return f'<video src="{source}" controls loop muted></video>'


def plot(draw: Callable[[Any, Any], None], data: Any) -> str:
    """A plot in a page: what `draw` draws of the data into a figure of matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    draw(figure, data)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def _prediction(figure: Any, report: dict[str, Any]) -> None:
    axes = figure.subplots()
    steps = [entry["steps"] for entry in report["prediction"]]
    names = {"world": "World", "copy": "copy last frame", "noop": "no actions", "tokenizer": "tokenizer only"}
    for name, label in names.items():
        means = [entry["mean"][name] for entry in report["prediction"]]
        values = np.array([[one["mean"], one["low"], one["high"]] for one in means], float)
        axes.errorbar(steps, values[:, 0], abs(values[:, 1:] - values[:, :1]).T, label=label, capsize=3, marker="o")
    axes.set(xscale="log", xlabel="steps after the context", ylabel="PSNR in dB, 95% interval", xticks=steps)
    axes.set_xticks(steps, [str(step) for step in steps])
    axes.legend()


def _walk(figure: Any, report: dict[str, Any]) -> None:
    for axes, name in zip(figure.subplots(1, 2), ("detail", "motion"), strict=True):
        for who in ("truth", "world"):
            axes.plot(np.median(report["walk"][f"{name}_{who}"], 0), label={"truth": "truth", "world": "World"}[who])
        axes.set(xlabel="steps of the long walk", ylabel=f"{name}, median of the lanes")
        axes.legend()


def _turning(figure: Any, report: dict[str, Any]) -> None:
    turning = report["turning"]
    for axes, axis in zip(figure.subplots(1, 2), ("yaw", "pitch"), strict=True):
        shown = np.array(turning[axis]["world"])  # (rates, places, ticks)
        axes.plot(turning["rates"], turning["rates"], color="grey", label="commanded")
        spread = np.random.default_rng(0).uniform(-0.3, 0.3, shown.shape)
        axes.scatter(np.array(turning["rates"])[:, None, None] + spread, shown, s=4, label="shown")
        axes.set(xlabel=f"{axis} commanded, degrees a tick", ylabel="read off the picture")
        axes.legend()


def _keys(figure: Any, report: dict[str, Any]) -> None:
    axes = figure.subplots()
    names, counts = report["full"]["keys"]["keys"], np.array(report["full"]["keys"]["confusion"])
    axes.imshow(counts, cmap="Greens")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axes.text(column, row, str(count), ha="center", va="center", fontsize=7)
    axes.set(xlabel="key that the picture shows", ylabel="key that was held")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)

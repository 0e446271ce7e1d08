"""The tables that `worldsim eval` prints."""

from __future__ import annotations

from typing import Any

from worldsim.probes import goals
from worldsim.probes.heldout import CONTEXT
from worldsim.probes.walking import LIKE_TRUTH

_SCORES = ("World", "copy last frame", "no actions", "tokenizer only")
_LEADS = ("World - copy", "World - no actions")


def print_report(report: dict[str, Any]) -> None:
    """Print one table for each part of a report that `evaluate` made."""
    print(report["command"])
    parts = [_prediction(report), _one_step(report), _walk(report["walk"])]
    if report["turning"]:
        parts.append(_turning(report["turning"]))
    parts.append(_speed(report))
    if report["full"]:
        parts.append(_goals(report))
    for lines in parts:
        print("\n" + "\n".join(lines))


def _prediction(report: dict[str, Any]) -> list[str]:
    title = (
        f"PSNR in dB after a context of {CONTEXT} frames, mean of {len(report['seeds'])} starts on held-out seeds "
        f"[95% interval]; K={report['denoising_steps']}, {report['dtype']}"
    )
    rows = [(f"{entry['steps']}", entry) for entry in report["prediction"]]
    return [title, *_scores("steps", rows)]


def _one_step(report: dict[str, Any]) -> list[str]:
    one = report["one_step"]
    title = "One step on from each of the first true frames after the context"
    rows = [(f"{name} ({one[f'{name}_frames']})", one[name]) for name in ("all", "moving", "still")]
    return [title, *_scores("frames", rows)]


def _scores(head: str, rows: list[tuple[str, dict[str, Any]]]) -> list[str]:
    lines = [f"{head:<14}" + "".join(f"{name:<19}" for name in _SCORES) + "".join(f"{name:<25}" for name in _LEADS)]
    for label, entry in rows:
        scores = (_interval(value, ".1f") for value in entry["mean"].values())
        leads = (_interval(value, "+.2f") for value in entry["lead"].values())
        line = f"{label:<14}" + "".join(f"{cell:<19}" for cell in scores) + "".join(f"{cell:<25}" for cell in leads)
        lines.append(line.rstrip())
    return lines


def _interval(value: dict[str, float | None], form: str) -> str:
    if value["mean"] is None:
        return "-"
    return f"{value['mean']:{form}} [{value['low']:{form}}, {value['high']:{form}}]"


def _walk(walk: dict[str, Any]) -> list[str]:
    lanes = len(walk["detail_world"])
    low, high = LIKE_TRUTH
    lines = [f"A long walk, {lanes} lanes: World / truth (goal for detail: {low:g} to {high:g})"]
    lines.append(f"{'steps':<26}" + "".join(f"{window:>10}" for window in walk["windows"]))
    labels = {
        "detail": "detail (gradient energy)", "gridless": "detail, grids left out", "motion": "motion (frame to frame)",
    }  # fmt: skip
    for name, label in labels.items():
        lines.append(f"{label:<26}" + "".join(f"{share:>10.2f}" for share in walk[name]))
    label = f"lanes with detail {low:g} to {high:g}"
    lines.append(f"{label:<26}" + "".join(f"{share:>10.0%}" for share in walk["alive"]))
    return lines


def _turning(turning: dict[str, Any]) -> list[str]:
    lines = [
        f"Turning, {len(turning['seeds'])} places, {turning['ticks']} ticks each: measured / commanded degrees "
        "(goal: mean error within 25%)"
    ]
    heads = [f"{rate:+g}/tick" for rate in turning["rates"]]
    lines.append(
        f"{'':<8}{'slope':>8}{'error a tick':>14}{'error a turn':>14}"
        + "".join(f"{head:>9}" for head in heads)
        + f"{'truth':>9}{'readable':>10}"
    )
    for axis in ("yaw", "pitch"):
        part = turning[axis]
        lines.append(
            f"{axis:<8}{part['gain']:>8.2f}{part['error_per_tick']:>14.0%}{part['error_per_turn']:>14.0%}"
            + "".join(f"{gain:>9.2f}" for gain in part["gain_by_rate"])
            + f"{part['truth_gain']:>9.2f}{part['readable']:>10.0%}"
        )
    return lines


def _speed(report: dict[str, Any]) -> list[str]:
    lines = [f"Speed at batch 1, {report['dtype']}"]
    for row in report["speed"]:
        lines.append(f"K={row['steps']}{row['frames_per_second']:>10.1f} frames/s{row['p50_ms']:>10.1f} ms a frame")
    return lines


def _goals(report: dict[str, Any]) -> list[str]:
    lines = ["All that it is wanted to do [95% interval]", f"{'':<16}{'measure':<54}{'value':<24}goal"]
    for row in goals.rows(report):
        verdict = f"  {row.verdict}" if row.verdict not in ("", "reached") else ""
        lines.append(f"{row.aim:<16}{row.measure:<54}{row.shown:<24}{row.goal}{verdict}".rstrip())
    return lines

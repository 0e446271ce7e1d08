"""`worldsim eval`: how well a World predicts its simulator on held-out seeds, whether it obeys and holds together."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from tqdm import tqdm

import worldsim
from worldsim.probes import goals, page, rollouts, turning, walking
from worldsim.probes.bench import world_rate
from worldsim.probes.contact_sheet import write_sheet
from worldsim.probes.films import evaluate_films
from worldsim.probes.heldout import CONTEXT, Stretch, explore, open_simulator
from worldsim.probes.intervals import mean_interval, plain
from worldsim.probes.places import SIMULATOR, StandingTwin, standing_places
from worldsim.probes.rollouts import POSITIONS, Rollouts, psnr
from worldsim.probes.tables import print_report
from worldsim.world import World

MARKS = (1, 4, 16, 64)  # steps after the context at which predictions are scored
SERIES = ("world", "copy", "noop", "tokenizer")
MOVING = 40.0  # dB: a frame moves if it is less like the one before than this
_LANES = 8  # starts that are stepped together; so many go on for the long walk
_TURN_SEEDS = 500_000  # from the first seed to that of the first place to turn at


def evaluate(world: str, *, starts: int = 24, out: Path, seed: int = 7_000_000, full: bool = False) -> dict[str, Any]:
    """Score a World, print tables, write eval.json and two contact sheets into `out`; returns what is in eval.json.

    world: name or path. starts: places to start from, at least 2; place i is reached from seed + i of the simulator.
    full: of a World of the block world, measure everything that it is wanted to do, and write report.html too, which
    needs matplotlib; takes many minutes.
    The figures but for the speed depend on the arguments alone (on one machine). UnknownWorldError (a ValueError) if
    there is no such World; ValueError for one without a simulator, or without the one that `full` needs, and for fewer
    than 2 starts; ModuleNotFoundError without matplotlib.
    """
    if starts < 2:
        raise ValueError(f"starts must be at least 2, for an interval around the mean, got {starts}")
    learned = worldsim.load(world)
    if learned.spec.film and full:
        raise ValueError(f"full is for Worlds that are stepped, and {world} makes films: leave it out")
    if learned.spec.film:  # other questions, see worldsim.probes.films
        return evaluate_films(learned, world, starts=starts, out=out, seed=seed)
    turns = learned.spec.simulator == SIMULATOR
    if full and not turns:
        raise ValueError(f"full is for Worlds of {SIMULATOR}, and the World {world} is one of {learned.spec.simulator}")
    if full:
        import matplotlib  # noqa: F401  now, and not at the end
    env = open_simulator(learned.spec)
    out = Path(out)
    lanes = [list(range(seed + first, seed + min(first + _LANES, starts))) for first in range(0, starts, _LANES)]
    # The first lanes go on for the long walk, so the others need no frames of their own for it.
    lengths = [walking.STEPS] + [rollouts.STEPS] * (len(lanes) - 1)
    work = sum(
        len(seeds) * (CONTEXT + steps - 1 + rollouts.frames_made(steps))
        for seeds, steps in zip(lanes, lengths, strict=True)
    )
    work += turns * turning.frames_made(len(lanes[0])) + full * goals.frames_made()
    with env, tqdm(total=work, unit=" frames", desc="evaluating", leave=False, disable=None) as bar:
        out.mkdir(parents=True, exist_ok=True)
        truth, made = [], []
        for seeds, steps in zip(lanes, lengths, strict=True):
            truth.append(explore(env, seeds, steps, bar.update))
            made.append(rollouts.roll(learned, truth[-1], bar.update))
        report: dict[str, Any] = {
            "command": shlex.join(
                ["worldsim", "eval", str(world), "--starts", str(starts), "--seed", str(seed), "--out", str(out)]
                + ["--full"] * full
            ),
            "world": str(world),
            "denoising_steps": learned.spec.steps,
            "dtype": str(learned.dtype).removeprefix("torch."),
            "seeds": [one for seeds in lanes for one in seeds],
            "prediction": _prediction(learned, truth, made),
            "one_step": _one_step(truth, made),
            "walk": _walk(truth[0], made[0]),
            "turning": _turning(learned, env, seed, len(lanes[0]), bar) if turns else None,
            "speed": [
                world_rate(learned, lanes=1, steps=steps, frames=300 if full else 30)
                for steps in sorted({1, 2, 4, learned.spec.steps})
            ],
            "full": goals.measure(learned, env, seed, bar.update) if full else None,
        }
    report = plain(report)
    print_report(report)
    (out / "eval.json").write_text(json.dumps(report, allow_nan=False) + "\n")
    _write_sheets(out, truth[0], made[0])
    written = ["eval.json", "prediction.png", "walk.png"]
    if full:
        pairs = np.concatenate([truth[0].frames[:, CONTEXT - 1 :], made[0].acted], 3)  # side by side
        page.write_page(out / "report.html", report, pairs, [out / name for name in written[1:]])
        written.append("report.html")
    print("\nwritten: " + ", ".join(str(out / name) for name in written))
    return report


def _prediction(world: World, truth: list[Stretch], made: list[Rollouts]) -> list[dict[str, Any]]:
    """One entry for each of MARKS: scores of each start, their means and the means of differences."""
    entries = []
    for step in MARKS:
        parts = []
        for true, roll in zip(truth, made, strict=True):
            target = true.after(step)
            shown = (roll.acted[:, step], true.after(0), roll.idled[:, step], rollouts.coded(world, target))
            parts.append([psnr(frames, target) for frames in shown])
        scores = dict(zip(SERIES, np.concatenate(parts, 1), strict=True))
        entries.append({"steps": step, **_compare(scores)})
    return entries


def _one_step(truth: list[Stretch], made: list[Rollouts]) -> dict[str, Any]:
    """Scores of one step on from POSITIONS true frames a start, of frames that move and of those that do not."""
    parts = []
    for true, roll in zip(truth, made, strict=True):
        target = true.frames[:, CONTEXT : CONTEXT + POSITIONS]
        before = true.frames[:, CONTEXT - 1 : CONTEXT + POSITIONS - 1]
        parts.append([psnr(frames, target) for frames in (roll.next_acted, before, roll.next_idled, roll.next_coded)])
    scores = np.concatenate(parts, 1)  # (series, starts, positions)
    moving = scores[1] < MOVING
    report: dict[str, Any] = {name: values.tolist() for name, values in zip(SERIES, scores, strict=True)}
    for name, chosen in (("all", np.ones_like(moving)), ("moving", moving), ("still", ~moving)):
        # The mean of a start is what counts once: its positions are much alike.
        count = chosen.sum(1)
        means = np.where(count, np.where(chosen, scores, 0).sum(2) / np.maximum(count, 1), np.nan)
        report[f"{name}_frames"] = int(count.sum())
        report[name] = _compare(dict(zip(SERIES, means, strict=True)))
    return report


def _compare(scores: dict[str, np.ndarray]) -> dict[str, Any]:
    """Scores in dB (starts,) by series: as they are, their means, and the mean lead of the World over each baseline."""
    return {
        "psnr": {name: values.tolist() for name, values in scores.items()},
        "mean": {name: mean_interval(values) for name, values in scores.items()},
        "lead": {name: mean_interval(scores["world"] - scores[name]) for name in ("copy", "noop")},
    }


def _walk(truth: Stretch, made: Rollouts) -> dict[str, Any]:
    return walking.walking(made.acted, truth.frames[:, CONTEXT - 1 :])


def _turning(world: World, env: gym.Env, seed: int, count: int, bar: tqdm) -> dict[str, Any]:
    places = standing_places(env, world.spec, seed + _TURN_SEEDS, count)
    return turning.turning(StandingTwin(env, world, places, bar.update))


def _write_sheets(out: Path, truth: Stretch, made: Rollouts) -> None:
    """prediction.png: truth above World above no actions, for each start; walk.png: a long walk, truth above World."""

    def rows(steps: list[int], idled: bool) -> list[list[tuple[str, np.ndarray]]]:
        names = ("truth", "World", "no actions")[: 2 + idled]
        columns = [frames[:, steps] for frames in (truth.frames[:, CONTEXT - 1 :], made.acted, made.idled)[: 2 + idled]]
        return [
            [(f"{seed}\n{name}", frames[lane]) for name, frames in zip(names, columns, strict=True)]
            for lane, seed in enumerate(truth.seeds)
        ]

    for name, steps, idled in (
        ("prediction", [0, 1, 2, 4, 8, 16, 32, 64], True),
        ("walk", list(range(0, walking.STEPS + 1, 20)), False),
    ):
        heads = [f"{step} step{'s' * (step > 1)}" if step else "context" for step in steps]
        write_sheet(out / f"{name}.png", heads, rows(steps, idled))

"""Quality against compute: `python demos/scaling_curve.py runs/scaling` trains a recipe for 1/16, 1/4 and all its time.

Every World learns from the same recording and is evaluated on the same held-out seeds; the plot is written beside them
(needs worldsim[report]). For the recipe `blocks` that takes hours: started again, it goes on where it was stopped.
Another recipe: `python demos/scaling_curve.py runs/scaling balls`. A World that the whole recipe made already can stand
for the last: `python demos/scaling_curve.py runs/scaling blocks blocks`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from worldsim.probes.prediction import evaluate
from worldsim.recipes import load_recipe
from worldsim.training.run import train

SHARES = (1 / 16, 1 / 4, 1)


def main(out: Path, recipe_name: str = "blocks", made: str | None = None) -> None:
    recipe = load_recipe(recipe_name)
    minutes = [share * recipe.minutes for share in SHARES]
    runs = [out / f"{recipe.name}-{share:g}" for share in SHARES]
    reports = []
    for run, budget in zip(runs, minutes, strict=True):
        if made is not None and run == runs[-1]:
            world = made
        else:
            world = str(train(recipe, run, minutes=budget, data=None if run == runs[0] else runs[0] / "frames"))
        figures = run / "eval" / "eval.json"
        if not figures.exists():
            evaluate(world, out=figures.parent)
        reports.append(json.loads(figures.read_text()))
    plot(out / f"{recipe.name}.svg", minutes, reports)


def plot(path: Path, minutes: list[float], reports: list[dict[str, Any]]) -> None:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for place, entry in enumerate(reports[0]["prediction"]):
        leads = [report["prediction"][place]["lead"]["copy"] for report in reports]
        means = [lead["mean"] for lead in leads]
        reach = [[lead["mean"] - lead["low"] for lead in leads], [lead["high"] - lead["mean"] for lead in leads]]
        axes.errorbar(minutes, means, reach, marker="o", capsize=3, label=f"{entry['steps']} steps ahead")
    axes.axhline(0, color="grey", linewidth=1)
    axes.set(xscale="log", xlabel="minutes of training", ylabel="dB above copying the last frame, 95% interval")
    axes.set_xticks(minutes, [f"{one:.0f}" if one >= 10 else f"{one:.1f}" for one in minutes])
    axes.legend()
    figure.savefig(path)
    print(f"The plot is in {path}")


if __name__ == "__main__":  # recording starts processes, which import this file
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), *sys.argv[2:4])

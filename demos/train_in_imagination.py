"""What an agent that learned in a World gains outside: `python demos/train_in_imagination.py runs/imagination 5`.

For each of so many seeds: N steps of BallsGoalSim are recorded, a World learns from them, an agent learns in the World;
another learns from N steps of the real thing, a third from 10 N; the fourth acts at random. All of them then play the
same 100 unseen episodes of the real environment. A World takes some 45 minutes: with a third argument, the directory of
an earlier `worldsim train balls_goal`, all seeds share that World and its recording of N steps, and the intervals tell
nothing of how Worlds differ. Raw returns are kept in OUT/scores.json, the table is printed. Started again, it goes on
where it was stopped.
"""

import json
import sys
from pathlib import Path

import numpy as np

from worldsim.agents.evaluation import evaluate
from worldsim.agents.ppo import PPOConfig
from worldsim.agents.training import train_agent
from worldsim.data.store import FrameStore
from worldsim.files import write_atomically
from worldsim.probes.intervals import mean_interval
from worldsim.recipes import load_recipe
from worldsim.training.run import train

ENV, IMAGINED = "worldsim/BallsGoalSim-v0", 60_000
AGENT = PPOConfig(channels=16, hidden=128, epochs=3)


def main(out: Path, seeds: int = 5, shared: Path | None = None) -> None:
    scores: dict[str, dict[str, list[float]]] = {}
    for seed in range(seeds):
        here = out / f"seed-{seed}"
        run = shared or here / "world"
        if shared is None:
            recipe = load_recipe("balls_goal").model_copy(update={"seed": 1_000_000 * seed})
            train(recipe, run)
        n = int(FrameStore.open(run / "frames").lengths.sum())
        imagined = AGENT.model_copy(update={"seed": seed, "steps": IMAGINED})
        policies = {
            "in the World of N steps": train_agent(
                here / "imagined", world=str(run / "world"), recording=run / "frames", config=imagined
            ),
            "N real steps": real(here / "real", seed, n),
            "10 N real steps": real(here / "more", seed, 10 * n),
            "random": "random",
        }
        for name, policy in policies.items():
            result = evaluate(str(policy), ENV, out=here / "eval" / name.replace(" ", "-"))
            scores.setdefault(name, {})[str(seed)] = result.returns
        write_atomically(out / "scores.json", json.dumps({"N": n, "returns": scores}, indent=1))

    print(f"Return in {ENV}, {seeds} seeds, 100 episodes each; N is {n:,} [95% interval over seeds]")
    for name, of_seeds in scores.items():
        mean = mean_interval(np.array([np.mean(returns) for returns in of_seeds.values()]))
        print(f"{name:<26}{mean.mean:6.2f} [{mean.low:.2f}, {mean.high:.2f}]")


def real(out: Path, seed: int, steps: int) -> Path:
    """An agent that learned from so many steps of the environment itself."""
    return train_agent(out, env_id=ENV, lanes=16, config=AGENT.model_copy(update={"seed": seed, "steps": steps}))


if __name__ == "__main__":  # recording starts processes, which import this file
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]), *map(Path, sys.argv[3:4]))

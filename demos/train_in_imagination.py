"""What an agent that learned in a World gains outside: `python demos/train_in_imagination.py runs/imagination 5`.

For each of so many seeds: N steps of BallsGoalSim are recorded, a World learns from them, an agent learns in the World;
another learns from N steps of the real thing, a third from 10 N; the fourth acts at random. All of them then play the
same 100 unseen episodes of the real environment. Raw returns are kept in OUT/scores.json, the table is printed. Started
again, it goes on where it was stopped. (With five seeds it takes some two hours on two cores.)
"""

import json
import sys
from pathlib import Path

import numpy as np

from worldsim.agents.evaluation import evaluate
from worldsim.agents.ppo import PPOConfig
from worldsim.agents.training import train_agent
from worldsim.files import write_atomically
from worldsim.probes.intervals import mean_interval
from worldsim.recipes import load_recipe
from worldsim.training.run import train

N, IMAGINED, ENV = 20_000, 400_000, "worldsim/BallsGoalSim-v0"


def main(out: Path, seeds: int = 5) -> None:
    scores: dict[str, dict[str, list[float]]] = {}
    for seed in range(seeds):
        here = out / f"seed-{seed}"
        recipe = load_recipe("balls_goal").model_copy(update={"frames": N, "seed": 1_000_000 * seed})
        world = train(recipe, here / "world")
        policies = {
            "in the World of N steps": train_agent(
                here / "imagined",
                world=str(world),
                recording=here / "world" / "frames",
                config=PPOConfig(steps=IMAGINED, seed=seed),
            ),
            "N real steps": train_agent(here / "real", env_id=ENV, lanes=16, config=PPOConfig(steps=N, seed=seed)),
            "10 N real steps": train_agent(
                here / "more", env_id=ENV, lanes=16, config=PPOConfig(steps=10 * N, seed=seed)
            ),
            "random": "random",
        }
        for name, policy in policies.items():
            result = evaluate(str(policy), ENV, out=here / "eval" / name.replace(" ", "-"))
            scores.setdefault(name, {})[str(seed)] = result.returns
        write_atomically(out / "scores.json", json.dumps(scores, indent=1))

    print(f"Return in {ENV}, {seeds} seeds, 100 episodes each; N is {N:,} [95% interval over seeds]")
    for name, of_seeds in scores.items():
        mean = mean_interval(np.array([np.mean(returns) for returns in of_seeds.values()]))
        print(f"{name:<26}{mean.mean:6.2f} [{mean.low:.2f}, {mean.high:.2f}]")


if __name__ == "__main__":  # recording starts processes, which import this file
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]))

"""How an agent's return in its World and outside part as it learns there: `python demos/reward_hacking.py OUT RUN`.

RUN: the directory of a `worldsim train` of a World with rewards, `balls_goal` or `crafter`. For each horizon an agent
learns in the World for 100,000 steps, and twelve agents on the way play from the same unseen states, inside and
outside, 60 steps at most: what the World pays more than the real thing is what they learned to exploit. How their mean
returns go together is printed too. Raw returns go to OUT/scores.json, the plot to OUT/reward_hacking.png (it needs the
extra "report"). Started again, it goes on where it was stopped. With `--init` they begin with an agent that is there
already, of `worldsim agent imitate` for example, which then plays too.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np
import tyro

import worldsim
from worldsim.agents.actor_critic import ActorCritic, ActorPolicy
from worldsim.agents.ppo_config import PPOConfig
from worldsim.agents.training import train_agent
from worldsim.files import write_atomically
from worldsim.probes.heldout import open_simulator
from worldsim.probes.intervals import mean_interval
from worldsim.probes.probe import Lab
from worldsim.probes.ranking import correlation, rank_violation, returns_inside, returns_outside
from worldsim.probes.twin import Start

FIRST_SEED = 9_500_000
AGENT = PPOConfig(channels=16, hidden=128, epochs=8, steps=100_000, keep=12)


class Playing:
    """An agent in one episode, as the ranking probe plays policies."""

    def __init__(self, agent: ActorCritic, start: Start) -> None:
        self.policy = ActorPolicy(agent, np.random.default_rng(start.seed))
        self.policy.reset(start.frames[-1], {"context": start.frames})

    def act(self, frame: np.ndarray) -> np.ndarray:
        return self.policy.act(frame, {})


def main(
    out: tyro.conf.Positional[Path],
    run: tyro.conf.Positional[Path],
    horizons: tuple[int, ...] = (16, 60),
    init: Path | None = None,
    starts: int = 100,
) -> None:
    world = worldsim.load(str(run / "world"))
    lab = Lab(world, open_simulator(world.spec))
    begin = [lab.begin(seed, frames=3) for seed in range(FIRST_SEED, FIRST_SEED + starts)]
    kept_scores = out / "scores.json"
    scores: dict[str, list[dict]] = json.loads(kept_scores.read_text()) if kept_scores.exists() else {}
    if any(len(row["inside"]) != starts for rows in scores.values() for row in rows):
        raise SystemExit(f"{kept_scores} is of another number of starts than {starts}: use another OUT")
    for horizon in horizons:
        here = out / f"horizon-{horizon}"
        train_agent(here, world=str(run / "world"), recording=run / "frames", config=AGENT, horizon=horizon, init=init)
        rows = scores.setdefault(str(horizon), [])
        kept = [(steps_of(path), path) for path in here.glob("agent-*.safetensors")]
        for steps, path in sorted([(0, init), *kept] if init else kept)[len(rows) :]:
            make = partial(Playing, ActorCritic.load(path))
            inside, outside = returns_inside(lab, world, begin, make), returns_outside(lab, begin, make)
            means = "  outside ".join("{:5.2f} [{:.2f}, {:.2f}]".format(*mean_interval(x)) for x in (inside, outside))
            print(f"horizon {horizon:>2}, {steps:>7,} steps: inside {means}", flush=True)
            rows.append({"steps": steps, "inside": inside.tolist(), "outside": outside.tolist()})
            write_atomically(kept_scores, json.dumps(scores, indent=1))
        inside, outside = (np.array([np.mean(row[name]) for row in rows]) for name in ("inside", "outside"))
        r, violation = correlation(inside, outside), rank_violation(inside, outside)
        print(f"horizon {horizon:>2}: {len(rows)} agents, r = {r:.2f}, mean maximum rank violation {violation:.3f}")
    plot(scores, out / "reward_hacking.png")


def steps_of(path: Path) -> int:
    """Of an agent that was kept on the way, by its name."""
    return int(path.stem.removeprefix("agent-"))


def plot(scores: dict[str, list[dict]], path: Path) -> None:
    """A panel for each horizon: both returns, with 95% intervals, against the steps that were learned from."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(scores), figsize=(5 * len(scores), 3.2), sharey=True, squeeze=False)
    for axes, (horizon, rows) in zip(panels[0], scores.items(), strict=True):
        for name, label in (("inside", "in the World"), ("outside", "outside")):
            means = [mean_interval(np.array(row[name])) for row in rows]
            steps = [row["steps"] for row in rows]
            axes.plot(steps, [mean.mean for mean in means], marker=".", label=label)
            axes.fill_between(steps, [mean.low for mean in means], [mean.high for mean in means], alpha=0.2)
        axes.set(title=f"imagined for {horizon} steps", xlabel="imagined steps learned from", ylabel="mean return")
        axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)

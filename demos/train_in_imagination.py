"""What an agent that learned in a World gains outside: `python demos/train_in_imagination.py runs/imagination`.

For each of some seeds: N steps of the recipe's environment are recorded, a World learns from them, an agent learns in
the World; another learns from N steps of the real thing, a third from `--more` times N (0: leave it out); the last one
acts at random. All of them then play the same 100 unseen episodes of the real environment; the first also plays 100 in
its World. A World takes some 45 minutes, of Crafter 90: with `--shared`, the directory of an earlier `worldsim train`,
all seeds share that World and its recording of N steps, and the intervals tell nothing of how Worlds differ. Raw
returns are kept in OUT/scores.json, the table is printed. Started again, it goes on where it was stopped. `--recipe
crafter` does the same in Crafter, where the agent of the World begins by imitating the recording, which is of a player
that knows what to do (what that alone is worth has a row of its own), and is to stay near that: with `--stay 0` it soon
does what only the World pays for.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from worldsim.agents.evaluation import Returns, evaluate
from worldsim.agents.imitation import imitate
from worldsim.agents.ppo_config import ImitationConfig, PPOConfig
from worldsim.agents.training import train_agent
from worldsim.data.store import FrameStore
from worldsim.files import write_atomically
from worldsim.probes.intervals import nested_interval
from worldsim.recipes import load_recipe
from worldsim.recipes.recipe import Recipe
from worldsim.training.run import train

AGENT = PPOConfig(channels=16, hidden=128, epochs=8, steps=100_000, keep=12)
IMITATES = {"balls_goal": None, "crafter": ImitationConfig(channels=16, hidden=128, learning_rate=1e-3)}
LANES = 16  # of a World and of the real thing: with more, an agent learns less often
HORIZON = 32  # imagined steps
INSIDE = 60  # steps at most of an episode that is played in a World


def main(
    out: tyro.conf.Positional[Path],
    seeds: int = 5,
    shared: Path | None = None,
    recipe: Literal["balls_goal", "crafter"] = "balls_goal",
    more: int = 10,
    stay: float = 1.0,
) -> None:
    if seeds < 1:
        raise SystemExit(f"--seeds must be at least 1, not {seeds}")
    plan = load_recipe(recipe)
    results: dict[str, list[Returns]] = {}
    for seed in range(seeds):
        here = out / f"seed-{seed}"
        run = shared or here / "world"
        if shared is None:
            train(plan.model_copy(update={"seed": 1_000_000 * seed}), run)
        n = sum(int(FrameStore.open(run / part).lengths.sum()) for part in ("frames", "starts"))
        config = AGENT.model_copy(update={"seed": seed})
        policies: dict[str, Path] = {}
        if (imitates := IMITATES[recipe]) is not None:
            begins = imitates.model_copy(update={"seed": seed})
            policies["imitating the recording"] = imitated(run / "frames", here / "imitated", begins)
        imagined = train_agent(
            here / "imagined", world=str(run / "world"), recording=run / "frames", horizon=HORIZON, lanes=LANES,
            config=config.model_copy(update={"stay": stay if policies else 0.0}),
            init=next(iter(policies.values()), None),
        )  # fmt: skip
        policies |= {"in the World of N steps": imagined, "N real steps": real(here / "real", plan, config, n)}
        if more:
            policies[f"{more} N real steps"] = real(here / "more", plan, config, more * n)
        for name, policy in [*policies.items(), ("random", "random")]:
            gained = played(policy, plan.env_id, here / "eval" / name.replace(" ", "-"), plan.env_kwargs)
            results.setdefault(name, []).append(gained)
        there = {"world": str(run / "world"), "max_episode_steps": INSIDE}
        gained = played(imagined, "worldsim/World-v0", here / "eval" / "inside", there)
        results.setdefault(f"its agent there, {INSIDE} steps", []).append(gained)
        scores = {name: [vars(result) for result in of_seeds] for name, of_seeds in results.items()}
        write_atomically(out / "scores.json", json.dumps({"N": n, "seeds": scores}, indent=1))

    print(f"Return in {plan.env_id} after learning ..., {seeds} seeds, 100 episodes each; N = {n:,} [95% over both]")
    for name, of_seeds in results.items():
        mean = nested_interval(np.array([result.returns for result in of_seeds]))
        score = f"  Crafter's score {np.mean([r.score for r in of_seeds]):.1f}%" if of_seeds[0].achieved else ""
        print(f"{name:<26}{mean.mean:6.2f} [{mean.low:.2f}, {mean.high:.2f}]{score}")


def imitated(recording: Path, out: Path, config: ImitationConfig) -> Path:
    """An agent that does what was done in a recording."""
    kept = out / "agent.safetensors"
    return kept if kept.exists() else imitate(recording, out, config=config)


def real(out: Path, plan: Recipe, config: PPOConfig, steps: int) -> Path:
    """An agent that learned from so many steps of the recipe's environment itself."""
    learns = config.model_copy(update={"steps": steps})
    return train_agent(out, env_id=plan.env_id, env_kwargs=plan.env_kwargs, lanes=LANES, config=learns)


def played(policy: str | Path, env_id: str, out: Path, env_kwargs: dict[str, Any]) -> Returns:
    """What a policy gains in 100 episodes; read from `out` if they were played before."""
    kept = out / "returns.json"
    if not kept.exists():
        return evaluate(str(policy), env_id, env_kwargs=env_kwargs, out=out)
    told = json.loads(kept.read_text())
    return Returns(**{field.name: told[field.name] for field in fields(Returns)})


if __name__ == "__main__":  # recording starts processes, which import this file
    tyro.cli(main, description=__doc__)

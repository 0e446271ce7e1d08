"""The loop of a model-based agent: record with the present policy, learn the World, learn to act in it, and again.

As in World Models (arXiv 1803.10122) and Dreamer (arXiv 1912.01603); here each part is a command of its own with its
own checkpoints, and the loop only calls them one after the other.
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

from worldsim.agents.actor_critic import ActorCriticConfig
from worldsim.agents.ppo_config import PPOConfig
from worldsim.agents.training import train_agent
from worldsim.data.episodes import open_env
from worldsim.data.record import join_stores, record_store
from worldsim.files import differences, write_atomically
from worldsim.recipes import load_recipe
from worldsim.training.run import train


def dream(
    recipe: str,
    out: Path,
    *,
    real_steps: int,
    rounds: int = 3,
    minutes: float | None = None,
    horizon: int = 32,
    lanes: int = 16,
    device: str = "auto",
    config: PPOConfig | None = None,
    tensorboard: bool = False,
    show: bool = True,
) -> Path:
    """An agent that learned in Worlds of at most `real_steps` steps of the recipe's environment; its path.

    In each round a share of the steps is recorded, first as the recipe says and then by the agent; the World goes on
    learning from all that is recorded, and the agent inside it. The tokenizer's encoder is learned in the first round
    and stays. (A World's start contexts are recorded besides: 32 times 22 steps with most recipes. The agent begins
    from the recordings.) minutes: for Worlds, all rounds together; the recipe's own length unless given. The steps of
    config are those of all rounds. tensorboard: write curves of Worlds and agents too. Goes on after a stop. ValueError
    for what there is not, does not fit, or is too little, before anything is recorded, and for an `out` that holds
    another such training.
    """
    plan, config = load_recipe(recipe), config or PPOConfig()
    slots = real_steps // max(rounds, 1) // plan.episode_frames
    if rounds < 1 or slots < 1 or config.steps < rounds:
        raise ValueError(
            f"{real_steps} real steps and {config.steps} imagined ones are too few for {rounds} rounds: each needs an "
            f"episode of {plan.episode_frames}, and a step of the agent"
        )
    if lanes < 1 or horizon < 1 or (minutes is not None and minutes <= 0):
        raise ValueError(f"lanes, horizon and minutes must be positive, got {lanes}, {horizon} and {minutes}")
    if config.stay:
        raise ValueError("stay is about an agent to begin with, and the first of these begins with none: leave it out")
    with closing(open_env(plan.env_id, plan.env_kwargs)) as env:
        ActorCriticConfig.of_env(env)
    _keep_to(out / "dream.json", {
        "recipe": plan.model_dump(mode="json"), "real_steps": real_steps, "rounds": rounds, "minutes": minutes,
        "horizon": horizon, "lanes": lanes, "agent": config.told(),
    })  # fmt: skip
    config = config.model_copy(update={"steps": config.steps // rounds})
    # The tokenizer has all of its minutes in the first round, and then stays.
    plan = plan.times(1.0 if minutes is None else minutes / plan.minutes)
    plan = plan.times(1 / rounds, parts=("dynamics_phases", "decoder_phases"))
    recorded: list[Path] = []
    world: Path | None = None
    agent: Path | None = None
    for number in range(1, rounds + 1):
        here = out / f"round-{number}"
        record_store(
            plan.env_id, slots * plan.episode_frames, here / "recorded", env_kwargs=plan.env_kwargs,
            policy=plan.policy if agent is None else str(agent), seed=plan.seed + number * 100_000,
            episode_frames=plan.episode_frames, progress=show,
        )  # fmt: skip
        recorded.append(here / "recorded")
        join_stores(recorded, here / "frames")
        world = train(
            plan, here / "world", device=device, data=here / "frames", init=None if world is None else str(world),
            tensorboard=tensorboard, show=show,
        )  # fmt: skip
        agent = train_agent(
            here / "agent", world=str(world), recording=here / "frames", horizon=horizon, lanes=lanes, device=device,
            config=config.model_copy(update={"seed": config.seed + number}), init=agent,
            tensorboard=tensorboard, show=show,
        )  # fmt: skip
    assert agent is not None
    return agent


def _keep_to(path: Path, settings: dict[str, object]) -> None:
    """ValueError if what is beside `path` was begun with other settings."""
    now = json.loads(json.dumps(settings))
    if path.exists() and (differing := differences(json.loads(path.read_text(encoding="utf-8")), now)):
        raise ValueError(f"{path.parent} was begun with other settings ({differing}): use another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(now, indent=1))

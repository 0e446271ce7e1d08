"""The loop of a model-based agent: record with the present policy, learn the World, learn to act in it, and again.

As in World Models (arXiv 1803.10122) and Dreamer (arXiv 1912.01603); here each part is a command of its own with its
own checkpoints, and the loop only calls them one after the other.
"""

from __future__ import annotations

from pathlib import Path

from worldsim.agents.ppo import PPOConfig
from worldsim.agents.training import train_agent
from worldsim.data.record import join_stores, record_store
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
    lanes: int = 32,
    device: str = "auto",
    config: PPOConfig | None = None,
    show: bool = True,
) -> Path:
    """An agent that has seen `real_steps` steps of the recipe's environment, and learned in Worlds of it.

    In each of the rounds a share of the steps is recorded (first as the recipe says, then by the agent), the World
    learns from all that is recorded, going on from the one before, and the agent goes on inside it. minutes: for the
    training of Worlds, all rounds together (the recipe's own length unless given). Of config, the steps are those of
    all rounds. The path of the agent. Goes on after a stop. ValueError for an unknown recipe or too few steps.
    """
    made, config = load_recipe(recipe), config or PPOConfig()
    if rounds < 1 or real_steps < rounds * made.episode_frames:
        raise ValueError(
            f"{real_steps} real steps in {rounds} rounds: each needs an episode of {made.episode_frames} at least"
        )
    whole = sum(p.minutes for p in made.tokenizer_phases + made.dynamics_phases + made.decoder_phases)
    share = (minutes or whole) / rounds
    config = config.model_copy(update={"steps": config.steps // rounds})
    recorded: list[Path] = []
    world: Path | None = None
    agent: Path | None = None
    for number in range(1, rounds + 1):
        here = out / f"round-{number}"
        record_store(
            made.env_id, real_steps // rounds, here / "recorded", env_kwargs=made.env_kwargs,
            policy=made.policy if agent is None else str(agent), seed=made.seed + number * 100_000,
            episode_frames=made.episode_frames, progress=show,
        )  # fmt: skip
        recorded.append(here / "recorded")
        join_stores(recorded, here / "frames")
        world = train(
            made, here / "world", device=device, minutes=share, data=here / "frames",
            init=None if world is None else str(world), show=show,
        )  # fmt: skip
        agent = train_agent(
            here / "agent", world=str(world), recording=here / "frames", horizon=horizon, lanes=lanes, device=device,
            config=config.model_copy(update={"seed": config.seed + number}), init=agent, show=show,
        )  # fmt: skip
    assert agent is not None
    return agent

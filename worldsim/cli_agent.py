"""`worldsim agent`: train agents and see what they gain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes
from tyro.extras import SubcommandApp

from worldsim.agents.ppo_config import ImitationConfig, PPOConfig
from worldsim.cli_arguments import Device, json_object

agent = SubcommandApp()
agent.__doc__ = "Train agents, in Worlds or in environments, and see what they gain."


@agent.command(name="train")
def agent_train(
    env: str | None = None,
    /,
    *,
    world: str | None = None,
    recording: Path | None = None,
    real_steps: int | None = None,
    rounds: int | None = None,
    minutes: float | None = None,
    horizon: int | None = None,
    lanes: int = 16,
    env_kwargs: str | None = None,
    init: Path | None = None,
    device: Device = "auto",
    tensorboard: bool = False,
    out: Path = Path("runs/agent"),
    config: Annotated[PPOConfig, OmitArgPrefixes] = PPOConfig(),  # noqa: B008
) -> None:
    """Train an agent by PPO in an environment or inside a World; the same command continues after a stop.

    Example: `worldsim agent train worldsim/BallsGoalSim-v0`,
    or `worldsim agent train --world runs/balls_goal/world --recording runs/balls_goal/frames`,
    or `worldsim agent train --world balls_goal --real-steps 20000`, which also makes the World.

    Args:
        env: Id of an environment with image observations, or `module:id`.
        world: Name or path of a World to learn in instead; with --real-steps the recipe of one.
        recording: Frames at random moments of which the World's episodes begin; its start contexts unless given.
        real_steps: Record so many steps, train the World on them and the agent in the World, in turns.
        rounds: How many such turns; 3 unless given.
        minutes: How long to train Worlds in all turns together; the recipe's own length unless given.
        horizon: Steps after which an episode in the World is cut off; 32 unless given.
        lanes: How many are stepped side by side; with more it learns faster by the clock, and less from each step.
        env_kwargs: Arguments of the environment as a JSON object.
        init: The agent.safetensors of another agent of the same sizes, whose weights to begin with.
        device: "auto" takes a CUDA device if there is one.
        tensorboard: Write curves for TensorBoard too (needs the extra worldsim[tensorboard]).
        out: Directory for agent.safetensors and the checkpoint.
        config: How it learns.
    """
    if horizon is not None and world is None:
        raise ValueError("--horizon is of a World: an environment says itself when its episodes end")
    if real_steps is not None:
        from worldsim.agents.dreaming import dream

        if world is None or any(given is not None for given in (env, recording, env_kwargs, init)):
            raise ValueError("--real-steps goes with --world RECIPE alone: the World and its recording are made then")
        dream(
            world, out, real_steps=real_steps, rounds=3 if rounds is None else rounds, minutes=minutes,
            horizon=32 if horizon is None else horizon, lanes=lanes,
            device=device, config=config, tensorboard=tensorboard,
        )  # fmt: skip
        return
    if rounds is not None or minutes is not None:
        raise ValueError("--rounds and --minutes are for a World that is made on the way: they go with --real-steps")
    from worldsim.agents.training import train_agent

    train_agent(
        out, env_id=env, world=world, recording=recording, horizon=32 if horizon is None else horizon, lanes=lanes,
        env_kwargs=json_object(env_kwargs, "--env-kwargs"), device=device, config=config, init=init,
        tensorboard=tensorboard,
    )  # fmt: skip


@agent.command(name="imitate")
def agent_imitate(
    recording: Path,
    /,
    *,
    out: Path = Path("runs/imitated"),
    device: Device = "auto",
    config: Annotated[ImitationConfig, OmitArgPrefixes] = ImitationConfig(),  # noqa: B008
) -> None:
    """Train an agent to do what was done in a recording (behavioural cloning), to compare with or to begin with.

    Example: `worldsim agent imitate runs/crafter/frames --out runs/imitated`, and then `worldsim agent train
    --world runs/crafter/world --recording runs/crafter/frames --init runs/imitated/agent.safetensors`

    Args:
        recording: What `worldsim train` leaves in OUT/frames.
        out: Directory for agent.safetensors.
        device: "auto" takes a CUDA device if there is one.
        config: How it learns.
    """
    from worldsim.agents.imitation import imitate

    imitate(recording, out, config=config, device=device)


@agent.command(name="eval")
def agent_eval(
    policies: tuple[str, ...],
    /,
    *,
    env: str,
    env_kwargs: str | None = None,
    episodes: int = 100,
    seed: int = 9_000_000,
    out: Path | None = None,
) -> None:
    """Let a policy play, and print what it gains: mean and interquartile mean with 95% intervals.

    Example: `worldsim agent eval runs/agent/agent.safetensors --env worldsim/BallsGoalSim-v0 --out runs/agent/eval`

    Args:
        policies: One or more, each a file agent.safetensors that `worldsim agent` wrote, or "random", "scripted" and
            "seeking" (of BallsGoalSim), "own" (a World's own policy, in that World), or "plan:WORLD", which tries out
            futures in a World. Of some, for example agents that learned with other seeds, it also says what they gain
            together.
        env: Id of the environment, real or learned, or `module:id`.
        env_kwargs: Arguments of the environment as a JSON object, for example '{"world": "runs/balls_goal/world"}'.
        episodes: How many episodes to play.
        seed: Seed of the first; the others count up from it.
        out: Directory for returns.json and a video of the first four; of several policies, for one such each, 1, 2, ...
    """
    from worldsim.agents.evaluation import evaluate, together

    if not policies:
        raise ValueError("name a policy: a file that `worldsim agent train` wrote, or for example random")
    arguments = json_object(env_kwargs, "--env-kwargs")
    results = []
    for number, policy in enumerate(policies, 1):
        here = out / str(number) if out is not None and len(policies) > 1 else out
        results.append(evaluate(policy, env, env_kwargs=arguments, episodes=episodes, seed=seed, out=here))
        print(results[-1].table())
    if len(results) > 1:
        print(together(results))

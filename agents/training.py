"""`worldsim agent train`: an agent learns in an environment, a real one or a learned World, and is kept in a file."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym

from worldsim.agents.ppo import PPO
from worldsim.agents.ppo_config import PPOConfig
from worldsim.data.episodes import open_env
from worldsim.files import alone, digest
from worldsim.machine import pick_device
from worldsim.world import load


def imagined_lanes(
    world: str, lanes: int, *, horizon: int, recording: str | Path | None = None, device: str = "auto"
) -> gym.vector.VectorEnv:
    """Lanes of a World whose frames stay on its device; episodes are cut off after `horizon` steps.

    They begin at random moments of `recording`, or from the World's start contexts. ValueError for what there is not.
    """
    begin: dict[str, Any] = {} if recording is None else {"recording": str(recording)}
    return gym.make_vec(
        "worldsim/World-v0", num_envs=lanes, world=world, output="torch", device=device, max_episode_steps=horizon,
        **begin,
    )  # fmt: skip


def real_lanes(env_id: str, lanes: int, env_kwargs: dict[str, Any] | None = None) -> gym.vector.VectorEnv:
    """Lanes of any environment with image observations, one after the other in this process."""
    open_env(env_id, env_kwargs or {}).close()  # says what does not fit
    return gym.make_vec(env_id.rpartition(":")[2], num_envs=lanes, **(env_kwargs or {}))


def train_agent(
    out: Path,
    *,
    env_id: str | None = None,
    world: str | None = None,
    recording: Path | None = None,
    horizon: int = 32,
    lanes: int = 16,
    env_kwargs: dict[str, Any] | None = None,
    device: str = "auto",
    config: PPOConfig | None = None,
    init: Path | None = None,
    tensorboard: bool = False,
    show: bool = True,
) -> Path:
    """Train an agent by PPO in the environment `env_id` or in a learned World; the path of its agent.safetensors.

    init: the agent.safetensors of another to begin with. tensorboard: write curves to `out`/tensorboard too. Goes on
    after a stop. ValueError unless one of the two is given and fits, if `out` holds another training, or while another
    process trains there.
    """
    if (env_id is None) == (world is None):
        raise ValueError("an agent learns in an environment or in a World: give one of the two")
    if lanes < 1 or horizon < 1:
        raise ValueError(f"lanes and horizon must be at least 1, got {lanes} and {horizon}")
    if config is not None and config.stay and init is None:
        raise ValueError("stay is about the agent that it begins with: give that one (init), or leave it out")
    learned_in: dict[str, Any] = {"lanes": lanes, "init": init and digest(init)}
    if world is not None:
        if env_kwargs:
            raise ValueError("a World takes no arguments of an environment: leave out env_kwargs")
        envs = imagined_lanes(world, lanes, horizon=horizon, recording=recording, device=device)
        learned_in |= {
            "world": load(world, device=device).digest,
            "horizon": horizon,
            "recording": recording and str(recording),
        }
    else:
        assert env_id is not None
        if recording is not None:
            raise ValueError("a recording is for episodes of a World to begin from, not of an environment")
        envs = real_lanes(env_id, lanes, env_kwargs)
        learned_in |= {"env": env_id, "env_kwargs": env_kwargs or {}}
    with closing(envs), alone(out):
        learner = PPO(envs, config or PPOConfig(), out, pick_device(device), learned_in, tensorboard)
        if init is not None:
            learner.begin_with(init)
        learner.train(show=show)
    print(f"The agent is in {out / 'agent.safetensors'}", file=sys.stderr)
    return out / "agent.safetensors"

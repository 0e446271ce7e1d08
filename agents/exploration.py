"""Policies for recording: they move about so that every action and its effect is seen often, alone and with others."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldsim.agents.blocks_explorer import BlocksExplorer, is_blocks_action_space

_MEAN_HOLD = 6.0  # ticks that a discrete choice is held on average
_MEAN_STRETCH = 30.0  # ticks between changes of how fast a continuous action wanders


class Policy(Protocol):
    """What recording asks of a policy. `act` must return an element of the environment's action space."""

    def reset(self, obs: np.ndarray, info: dict[str, Any]) -> None: ...

    def act(self, obs: np.ndarray, info: dict[str, Any]) -> Any: ...


class StickyRandomPolicy:
    """Random actions in any action space: each discrete part is held for a while, each continuous one drifts smoothly.

    Parts of Dict and Tuple spaces change independently, so that the effect of each is separable.
    """

    def __init__(self, space: spaces.Space, rng: np.random.Generator) -> None:
        self._draw = _part(space, rng)

    def reset(self, obs: np.ndarray, info: dict[str, Any]) -> None:
        """Nothing to do: the policy looks at nothing and may go on with what it was doing."""

    def act(self, obs: np.ndarray, info: dict[str, Any]) -> Any:
        return self._draw()


def _part(space: spaces.Space, rng: np.random.Generator) -> Callable[[], Any]:
    if isinstance(space, spaces.Dict):
        parts = {key: _part(sub, rng) for key, sub in space.spaces.items()}
        return lambda: {key: draw() for key, draw in parts.items()}
    if isinstance(space, spaces.Tuple):
        draws = [_part(sub, rng) for sub in space.spaces]
        return lambda: tuple(draw() for draw in draws)
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        return _Drift(space, rng)
    return _Hold(space, rng)


class _Hold:
    """A sample of the space, held for a random number of ticks."""

    def __init__(self, space: spaces.Space, rng: np.random.Generator) -> None:
        self._space = copy.deepcopy(space)  # the environment's own space keeps its random state
        self._space.seed(int(rng.integers(2**31)))
        self._rng = rng
        self._left = 0

    def __call__(self) -> Any:
        if self._left <= 0:
            self._value = self._space.sample()
            self._left = int(self._rng.geometric(1.0 / _MEAN_HOLD))
        self._left -= 1
        return self._value


class _Drift:
    """A point of a Box that wanders: a mean-reverting random walk that is now slow, now fast, and sometimes at rest."""

    def __init__(self, space: spaces.Box, rng: np.random.Generator) -> None:
        self._space = space
        self._rng = rng
        # Unbounded sides are explored within one unit of zero, or of the other side.
        low = np.where(np.isfinite(space.low), space.low, np.where(np.isfinite(space.high), space.high - 2, -1.0))
        high = np.where(np.isfinite(space.high), space.high, low + 2)
        self._middle, self._half = (low + high) / 2, (high - low) / 2
        self._state = rng.uniform(-1, 1, space.shape)
        self._left = 0

    def __call__(self) -> np.ndarray:
        if self._left <= 0:
            self._left = int(self._rng.geometric(1.0 / _MEAN_STRETCH))
            self._memory = self._rng.choice([0.0, 0.8, 0.95])
            self._target = self._rng.choice([0.0, 1.0]) * self._rng.uniform(-1, 1, self._space.shape)
        self._left -= 1
        noise = self._rng.normal(size=self._space.shape) * 0.6 * np.sqrt(1 - self._memory**2)
        self._state = self._target + self._memory * (self._state - self._target) + noise
        value = self._middle + self._half * np.clip(self._state, -1, 1)
        return np.clip(value, self._space.low, self._space.high).astype(self._space.dtype)


def _is_blocks_sim(env: gym.Env) -> bool:
    # A World learned from it has the same action space, but cannot say where the player is and what is in the way.
    return is_blocks_action_space(env.action_space) and hasattr(env.unwrapped, "block_map")


def _blocks(env: gym.Env, rng: np.random.Generator, rest: float = 0.0) -> Policy:
    if not _is_blocks_sim(env):
        raise ValueError(f"the policies 'blocks' and 'resting' are for worldsim/BlocksSim-v0, not for {env}")
    return BlocksExplorer(rng, rest)


def _random(env: gym.Env, rng: np.random.Generator) -> Policy:
    return StickyRandomPolicy(env.action_space, rng)


def _auto(env: gym.Env, rng: np.random.Generator) -> Policy:
    return (_blocks if _is_blocks_sim(env) else _random)(env, rng)


class GoalSeeker:
    """Pushes the ball of worldsim/BallsGoalSim-v0 straight to the mark; reads the truth in `info`, not the picture."""

    def __init__(self, space: spaces.Box) -> None:
        self._space = space

    def reset(self, obs: np.ndarray, info: dict[str, Any]) -> None:
        """Nothing to remember."""

    def act(self, obs: np.ndarray, info: dict[str, Any]) -> np.ndarray:
        push = 6 * (info["mark"] - info["positions"][0]) - 1.5 * info["velocities"][0]
        return np.clip(push, self._space.low, self._space.high).astype(np.float32)


class OwnPolicy:
    """What the player who was recorded would do next, by the World's own head, in a learned environment."""

    def __init__(self, env: gym.Env) -> None:
        self._env: Any = env.unwrapped

    def reset(self, obs: np.ndarray, info: dict[str, Any]) -> None:
        """Nothing to remember: the World does."""

    def act(self, obs: np.ndarray, info: dict[str, Any]) -> Any:
        return self._env.policy_action()


def _scripted(env: gym.Env, rng: np.random.Generator) -> Policy:
    from worldsim.envs.balls_goal import BallsGoalSimEnv

    if not isinstance(env.unwrapped, BallsGoalSimEnv):
        raise ValueError(f"the policy 'scripted' is for worldsim/BallsGoalSim-v0, not for {env}")
    assert isinstance(env.action_space, spaces.Box)
    return GoalSeeker(env.action_space)


def _own(env: gym.Env, rng: np.random.Generator) -> Policy:
    if not hasattr(env.unwrapped, "policy_action"):
        raise ValueError(f"the policy 'own' is that of a learned World, and {env} is none")
    return OwnPolicy(env)


def _trained(path: str, env: gym.Env, rng: np.random.Generator) -> Policy:
    from worldsim.agents.actor_critic import ActorCritic, ActorCriticConfig, ActorPolicy

    agent = ActorCritic.load(path)
    here = ActorCriticConfig.of_env(env)
    if (agent.config.size, agent.config.action) != (here.size, here.action):
        raise ValueError(
            f"the agent {path} sees frames of {agent.config.size} and acts in {agent.config.action}; {env} has "
            f"{here.size} and {here.action}"
        )
    return ActorPolicy(agent, rng)


def _planner(world: str, env: gym.Env, rng: np.random.Generator) -> Policy:
    import worldsim
    from worldsim.agents.planner import Planner
    from worldsim.spec import space_to_json

    loaded = worldsim.load(world)
    shape = (env.observation_space.shape or ())[:2]
    if (loaded.spec.size, loaded.spec.action) != (shape, space_to_json(env.action_space)):
        raise ValueError(
            f"the World {world} has frames of {loaded.spec.size} and the actions {loaded.spec.action}; {env} has "
            f"{shape} and {space_to_json(env.action_space)}"
        )
    return Planner(loaded, rng)


POLICIES: dict[str, Callable[[gym.Env, np.random.Generator], Policy]] = {
    "auto": _auto,
    "blocks": _blocks,
    "resting": partial(_blocks, rest=2.0),
    "random": _random,
    "scripted": _scripted,
    "own": _own,
}


def make_policy(name: str, env: gym.Env, rng: np.random.Generator) -> Policy:
    """The policy of that name for the environment: "random" for any, "blocks" for BlocksSim, "auto" picks one of them.

    "resting" is "blocks" that also does nothing for seconds; a World learns from that to stay as it is. "scripted" is
    for BallsGoalSim and goes straight to the mark; "own" is the policy of a learned World; "plan:WORLD" tries out
    futures in a World, by name or path; the path of a file agent.safetensors is an agent of `worldsim agent train`.

    All of the policy's randomness comes from `rng`. ValueError for an unknown name, or one that does not fit.
    """
    if name.endswith(".safetensors"):
        return _trained(name, env, rng)
    if name.startswith("plan:"):
        return _planner(name.removeprefix("plan:"), env, rng)
    if name not in POLICIES:
        raise ValueError(
            f"unknown policy {name!r}; there are {', '.join(sorted(POLICIES))}; plan:WORLD; files agent.safetensors"
        )
    return POLICIES[name](env, rng)

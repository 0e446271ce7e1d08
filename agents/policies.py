"""All that can be at the controls of an environment, by name: explorers, baselines, agents, planners."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldsim.agents.blocks_explorer import BlocksExplorer, is_blocks_action_space
from worldsim.agents.blocks_filming import BlocksFilming
from worldsim.agents.crafter_explorer import CrafterExplorer
from worldsim.agents.exploration import PausingPolicy, StickyRandomPolicy
from worldsim.agents.pushing import PushingPolicy, scene_of
from worldsim.spec import space_to_json


class Policy(Protocol):
    """What recording asks of a policy. `act` must return an element of the environment's action space."""

    def reset(self, obs: np.ndarray, info: dict[str, Any]) -> None: ...

    def act(self, obs: np.ndarray, info: dict[str, Any]) -> Any: ...


class GoalSeeker:
    """Pushes the ball of worldsim/BallsGoalSim-v0 straight to the mark; reads the truth in `info`, not the picture."""

    def __init__(self, space: spaces.Box) -> None:
        self._space = space

    def reset(self, obs: np.ndarray, info: dict[str, Any]) -> None:
        """Nothing to remember."""

    def act(self, obs: np.ndarray, info: dict[str, Any]) -> np.ndarray:
        push = 6 * (info["mark"] - info["positions"][0]) - 1.5 * info["velocities"][0]
        return np.clip(push, self._space.low, self._space.high).astype(np.float32)


class SeekingPolicy:
    """Pushes the ball of worldsim/BallsGoalSim-v0 to the mark or anywhere else, hard or gently, or at random, by turns.

    Who only pushes at random gets there more seldom and, unlike agents, hardly ever pushes one way for long. It reads
    the truth in `info`, not the picture.
    """

    _lasts = 20  # ticks on average, until it does something new
    _kinds = (("mark", 0.5), ("place", 0.2), ("random", 0.3))  # where it pushes to, and how often
    _gentlest, _hardest = 0.5, 20.0  # push by distance from there

    def __init__(self, space: spaces.Box, rng: np.random.Generator) -> None:
        self._space, self._rng = space, rng
        self._random = StickyRandomPolicy(space, rng)
        self._left = 0

    def reset(self, obs: np.ndarray, info: dict[str, Any]) -> None:
        """Begin with something new."""
        self._left = 0

    def act(self, obs: np.ndarray, info: dict[str, Any]) -> np.ndarray:
        if self._left <= 0:
            self._left = int(self._rng.geometric(1 / self._lasts))
            self._kind = self._rng.choice([kind for kind, _ in self._kinds], p=[share for _, share in self._kinds])
            self._place = self._rng.uniform(0.1, 0.9, 2)
            self._gain = self._gentlest * (self._hardest / self._gentlest) ** self._rng.uniform()
            self._damping = self._rng.uniform(0, 3)
            self._noise = self._rng.choice([0.0, 0.3])
        self._left -= 1
        if self._kind == "random":
            return self._random.act(obs, info)
        goal = info["mark"] if self._kind == "mark" else self._place
        push = self._gain * (goal - info["positions"][0]) - self._damping * info["velocities"][0]
        push = push + self._noise * self._rng.normal(size=2)
        return np.clip(push, self._space.low, self._space.high).astype(np.float32)


class OwnPolicy:
    """What the player who was recorded would do next, by the World's own head, in a learned environment."""

    def __init__(self, env: gym.Env) -> None:
        self._env: Any = env.unwrapped

    def reset(self, obs: np.ndarray, info: dict[str, Any]) -> None:
        """Nothing to remember: the World does."""

    def act(self, obs: np.ndarray, info: dict[str, Any]) -> Any:
        return self._env.policy_action()


def _is_blocks_sim(env: gym.Env) -> bool:
    # A World learned from it has the same action space, but cannot say where the player is and what is in the way.
    return is_blocks_action_space(env.action_space) and hasattr(env.unwrapped, "block_map")


def _blocks(
    env: gym.Env, rng: np.random.Generator, make: Callable[[np.random.Generator], Policy] = BlocksExplorer
) -> Policy:
    if not _is_blocks_sim(env):
        raise ValueError(
            f"the policies blocks, resting, building, editing and filming are for worldsim/BlocksSim-v0, not for {env}"
        )
    return make(rng)


def _random(env: gym.Env, rng: np.random.Generator) -> Policy:
    return StickyRandomPolicy(env.action_space, rng)


def _pauses(env: gym.Env, rng: np.random.Generator) -> Policy:
    if not isinstance(env.action_space, spaces.Box):
        raise ValueError(f"the policy 'pauses' is for actions that are a Box, not for {env}")
    return PausingPolicy(env.action_space, rng)


def _is_crafter_sim(env: gym.Env) -> bool:
    # By the name of the class, because its module cannot be imported where the extra is not installed.
    return any(kind.__name__ == "CrafterSimEnv" for kind in type(env.unwrapped).__mro__)


def _crafter(env: gym.Env, rng: np.random.Generator) -> Policy:
    if not _is_crafter_sim(env):
        raise ValueError(f"the policy 'crafter' is for worldsim/CrafterSim-v0, not for {env}")
    names: list[str] = env.unwrapped.action_names  # type: ignore[attr-defined]
    return CrafterExplorer(names, rng)


def _auto(env: gym.Env, rng: np.random.Generator) -> Policy:
    if _is_blocks_sim(env):
        return _blocks(env, rng)
    if _is_crafter_sim(env):
        return _crafter(env, rng)
    return (PushingPolicy if scene_of(env) else _random)(env, rng)


def _scripted(env: gym.Env, rng: np.random.Generator) -> Policy:
    return GoalSeeker(_pushes(env, "scripted"))


def _seeking(env: gym.Env, rng: np.random.Generator) -> Policy:
    return SeekingPolicy(_pushes(env, "seeking"), rng)


def _pushes(env: gym.Env, policy: str) -> spaces.Box:
    """The action space of a BallsGoalSim; ValueError for any other."""
    from worldsim.envs.balls_goal import BallsGoalSimEnv

    if not isinstance(env.unwrapped, BallsGoalSimEnv):
        raise ValueError(f"the policy {policy!r} is for worldsim/BallsGoalSim-v0, not for {env}")
    assert isinstance(env.action_space, spaces.Box)
    return env.action_space


def _own(env: gym.Env, rng: np.random.Generator) -> Policy:
    if not hasattr(env.unwrapped, "policy_action"):
        raise ValueError(f"the policy 'own' is that of a learned World, and {env} is none")
    return OwnPolicy(env)


POLICIES: dict[str, Callable[[gym.Env, np.random.Generator], Policy]] = {
    "auto": _auto,
    "blocks": _blocks,
    "crafter": _crafter,
    "resting": partial(_blocks, make=partial(BlocksExplorer, rest=2.0)),
    "building": partial(_blocks, make=partial(BlocksExplorer, rest=2.0, edit=14.0)),
    "editing": partial(_blocks, make=partial(BlocksExplorer, rest=1.0, click=80.0)),
    "filming": partial(_blocks, make=BlocksFilming),
    "random": _random,
    "pauses": _pauses,
    "scripted": _scripted,
    "seeking": _seeking,
    "own": _own,
}


def make_policy(name: str, env: gym.Env, rng: np.random.Generator) -> Policy:
    """The policy of that name for the environment: "random" for any, "blocks" for BlocksSim, "crafter" for CrafterSim;
    "auto" picks the one that fits, which in PushTSim and TableSim goes about pushing things.

    "resting" is "blocks" that also does nothing for seconds; a World learns from that to stay as it is. "building" is
    "resting" that also breaks and places blocks over and over, which a World learns late; "editing" does so mostly
    where nothing was done lately. "filming" walks and looks about the block world slowly, as with a camera. "pauses"
    acts at random in a Box for half of the time, and for half of it not at all. "scripted" is for BallsGoalSim and goes
    straight to the mark, "seeking" there and elsewhere, in many ways; "own" is the policy of a learned World;
    "plan:WORLD" tries out futures in a World, by name or path; the path of a file agent.safetensors is an agent of
    `worldsim agent`.

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


def _trained(path: str, env: gym.Env, rng: np.random.Generator) -> Policy:
    from worldsim.agents.actor_critic import ActorCritic, ActorPolicy

    agent = ActorCritic.load(path)
    _check_fit(f"the agent {path}", agent.config.size, agent.config.action, env)
    return ActorPolicy(agent, rng)


def _planner(world: str, env: gym.Env, rng: np.random.Generator) -> Policy:
    import worldsim
    from worldsim.agents.planner import Planner

    loaded = worldsim.load(world)
    _check_fit(f"the World {world}", loaded.spec.size, loaded.spec.action, env)
    return Planner(loaded, rng)


def _check_fit(what: str, size: tuple[int, int], action: dict[str, Any], env: gym.Env) -> None:
    """ValueError unless the environment has frames of that size and that action space."""
    here = (env.observation_space.shape or ())[:2], space_to_json(env.action_space)
    if (size, action) != here:
        raise ValueError(f"{what} is for frames of {size} and the actions {action}; {env} has {here[0]} and {here[1]}")

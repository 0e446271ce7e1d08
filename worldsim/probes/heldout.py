"""Truth to compare a World with: what its simulator shows on seeds that no recording has used, and idle actions there.

Recordings count their seeds up from 0 and start contexts from 5,000,000; probes begin at 7,000,000.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldsim.agents import make_policy
from worldsim.data.episodes import open_env
from worldsim.simulation import Simulation
from worldsim.spec import WorldSpec
from worldsim.world import World

CONTEXT = 16  # true frames that a World is shown before it goes on by itself
_WARM_UP = (10, 40)  # ticks that the policy has already played when the context begins, so that starts differ
_TRIES = 20


@dataclass(frozen=True)
class Stretch:
    """Lanes of truth: frames uint8 (lanes, T, H, W, 3), flat actions float32 (lanes, T - 1, A) between them, seeds."""

    frames: np.ndarray
    actions: np.ndarray
    seeds: list[int]

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def steps(self) -> int:
        """How many frames there are after the context."""
        return self.frames.shape[1] - CONTEXT

    def after(self, step: int) -> np.ndarray:
        """The true frames `step` steps after the context, uint8 (lanes, H, W, 3); step 0 is the context's last."""
        return self.frames[:, CONTEXT - 1 + step]

    def taken(self, step: int) -> np.ndarray:
        """The flat actions (lanes, A) that led to the frames `step` steps after the context."""
        return self.actions[:, CONTEXT - 2 + step]

    def start(self, world: World) -> Simulation:
        """The World with the context of these lanes before it."""
        context, actions = self.frames[:, :CONTEXT], self.actions[:, : CONTEXT - 1]
        return world.start(len(self), self.seeds, context=context, actions=actions)


def open_simulator(spec: WorldSpec) -> gym.Env:
    """The simulator that a World was trained on, its episodes not cut off in time; ValueError if the World has none."""
    if spec.simulator is None:
        raise ValueError(
            f"the World {spec.name!r} has no simulator to be compared with: its spec names none; "
            "evaluate a World that was trained on a recording of an environment"
        )
    # Environments are often registered with a time limit; probes look further than that.
    return open_env(spec.simulator, {**spec.simulator_kwargs, "max_episode_steps": 1_000_000})


def explore(env: gym.Env, seeds: list[int], steps: int, tick: Callable[[], Any]) -> Stretch:
    """Let the exploration policy play from each seed: a context and `steps` further frames.

    tick: called for every frame that is kept. ValueError if the episodes are too short for that.
    """
    played = [_play(env, seed, CONTEXT + steps, tick) for seed in seeds]
    frames, actions = (np.stack(part) for part in zip(*played, strict=True))
    return Stretch(frames, actions, seeds)


def _play(env: gym.Env, seed: int, count: int, tick: Callable[[], Any]) -> tuple[np.ndarray, np.ndarray]:
    for attempt in range(_TRIES):
        # Environments that end by themselves may do so too early: then another episode stands in.
        frames: list[np.ndarray] = []
        actions: list[np.ndarray] = []
        for frame, action, _ in wander(env, seed + attempt * 1_000_000):
            frames.append(frame)
            if len(frames) == count:
                return np.stack(frames), np.stack(actions)
            actions.append(np.asarray(spaces.flatten(env.action_space, action), np.float32))
            tick()
    raise ValueError(
        f"episodes of {env.spec.id if env.spec else env} are too short for this: none of {_TRIES} from seed {seed} on "
        f"lasted {count} frames"
    )


def wander(env: gym.Env, seed: int) -> Iterator[tuple[np.ndarray, Any, dict[str, Any]]]:
    """Frames, the policy's actions at them and infos, after a warm-up of random length, until the episode ends."""
    rng = np.random.default_rng([seed, 0xE7A1])
    policy = make_policy("auto", env, rng)
    skipped = int(rng.integers(_WARM_UP[0], _WARM_UP[1] + 1))
    frame, info = env.reset(seed=seed)
    policy.reset(frame, info)
    ended = False
    while not ended:
        frame = np.array(frame)  # a copy: some environments draw into the same array again
        action = policy.act(frame, info)
        if skipped <= 0:
            yield frame, action, info
        skipped -= 1
        frame, _, terminated, truncated, info = env.step(action)
        ended = terminated or truncated


def idle(space: spaces.Space, last: Any) -> Any:
    """The action of doing nothing: keys at their first value, numbers at 0 (or the bound next to it).

    last: the action before it. An entry "hotbar" says what is held from now on: letting it go would be an action.
    """
    if isinstance(space, spaces.Dict):
        return {key: last[key] if key == "hotbar" else idle(part, last[key]) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(idle(part, value) for part, value in zip(space.spaces, last, strict=True))
    if isinstance(space, spaces.Discrete):
        return space.start
    if isinstance(space, spaces.Box):
        return np.clip(np.zeros(space.shape), space.low, space.high).astype(space.dtype)
    if isinstance(space, spaces.MultiDiscrete):
        return space.start.copy()
    return np.zeros(space.shape, space.dtype)


def idle_flat(spec: WorldSpec, last: np.ndarray) -> np.ndarray:
    """Idle actions after the flat actions `last` (lanes, A), flat float32 (lanes, A)."""
    return np.stack([spec.flatten(idle(spec.action_space, spec.unflatten(row))) for row in last])

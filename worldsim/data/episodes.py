"""Playing a policy in a Gymnasium environment and keeping what happened: episodes of frames, actions and outcomes.

A recording is cut into slots of equal length. One slot is one episode, or several in a row where the environment ends
earlier; what a slot holds depends on its number and the settings alone, never on who records it or when.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldsim.agents import make_policy
from worldsim.spec import space_to_json

DEFAULT_FPS = 20  # for environments that do not say their frame rate
# Descriptions of an episode's start that are kept besides the captions of its rows, as (style, language).
PARAPHRASES = (("short", "en"), ("long", "en"), ("short", "zh"), ("long", "zh"), ("short", "en"), ("long", "en"))


@dataclass(frozen=True)
class RecordSettings:
    """All that decides what is recorded: two recordings with the same settings hold the same episodes.

    env_id: a Gymnasium id, or "module:Id" for an environment that `module` registers when imported.
    seed: slot i starts with `env.reset(seed=seed + i)`.
    episode_frames: rows in a slot, and so the longest episode.
    """

    env_id: str
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    policy: str = "auto"
    seed: int = 0
    episode_frames: int = 256

    def __post_init__(self) -> None:
        if self.episode_frames < 2:
            raise ValueError(f"episode_frames must be at least 2, got {self.episode_frames}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")

    def slots(self, frames: int) -> int:
        """How many slots hold at least `frames` frames; ValueError unless `frames` is positive."""
        if frames <= 0:
            raise ValueError(f"the number of frames to record must be positive, got {frames}")
        return -(-frames // self.episode_frames)


@dataclass(frozen=True)
class Episode:
    """T rows in a row: actions[t] was taken at frames[t] and led to frames[t + 1] and to rewards[t], terminated[t], ...

    frames uint8 (T, H, W, 3); actions float32 (T, A), flat; rewards float32 (T,); terminated, truncated bool (T,);
    captions: descriptions of the episode's start, in several wordings where the environment has them;
    row_captions: the caption of each row (T strings), empty if the environment gives none.
    """

    frames: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    seed: int
    captions: list[str]
    row_captions: list[str]

    def __len__(self) -> int:
        return len(self.actions)

    def caption_changes(self) -> list[tuple[int, str]]:
        """The rows at which the caption becomes another one, with it; the first row is always among them."""
        rows = self.row_captions
        return [(row, text) for row, text in enumerate(rows) if row == 0 or text != rows[row - 1]]


def open_env(env_id: str, env_kwargs: dict[str, Any]) -> gym.Env:
    """Make the environment; ValueError if it is unknown, cannot be made, or has no image observations.

    Its observations must be uint8 (H, W, 3), its actions a space that can be stored and flattened.
    """
    try:
        env = gym.make(env_id, disable_env_checker=True, **env_kwargs)
    except gym.error.UnregisteredEnv as error:
        message = f"unknown environment {env_id!r}: {error}. An environment of your own is named 'module:Id'"
        raise ValueError(message) from error
    except (gym.error.Error, ImportError, TypeError) as error:
        raise ValueError(f"environment {env_id!r} cannot be made with {env_kwargs}: {error}") from error
    space = env.observation_space
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or len(space.shape) != 3 or space.shape[2] != 3:
        env.close()
        raise ValueError(
            f"environment {env_id!r} has no image observations: they must be uint8 (height, width, 3), "
            f"but its observation space is {space}"
        )
    try:
        space_to_json(env.action_space)
        spaces.flatdim(env.action_space)
    except (TypeError, NotImplementedError, ValueError) as error:
        env.close()
        raise ValueError(f"the actions of environment {env_id!r} cannot be recorded: {error}") from error
    return env


@dataclass(frozen=True)
class EnvFacts:
    """What a recording says about the environment: (height, width), frames a second, its action space."""

    size: tuple[int, int]
    fps: int
    action: dict[str, Any]
    action_dim: int


def env_facts(env_id: str, env_kwargs: dict[str, Any]) -> EnvFacts:
    """Make the environment as `open_env` does, and look."""
    with contextlib.closing(open_env(env_id, env_kwargs)) as env:
        height, width, _ = env.observation_space.shape or ()
        fps = round(float(env.metadata.get("render_fps") or DEFAULT_FPS))
        return EnvFacts((height, width), fps, space_to_json(env.action_space), int(spaces.flatdim(env.action_space)))


class Recorder:
    """One environment in one process that records any slot of a recording."""

    def __init__(self, settings: RecordSettings) -> None:
        self.settings = settings
        self.env = open_env(settings.env_id, settings.env_kwargs)
        make_policy(settings.policy, self.env, np.random.default_rng(0))  # an unknown policy is an error right away

    def slot(self, index: int) -> list[Episode]:
        """Record slot `index`: episodes with `episode_frames` rows in total."""
        episodes: list[Episode] = []
        left = self.settings.episode_frames
        first_seed = self.settings.seed + index
        policy = make_policy(self.settings.policy, self.env, np.random.default_rng([first_seed, 0x9E3779B9]))
        while left:
            seed = first_seed
            if episodes:  # the slot goes on with further episodes, which need seeds of their own
                seed = int(np.random.SeedSequence([first_seed, len(episodes)]).generate_state(1)[0]) >> 1
            episodes.append(self._episode(policy, seed, left))
            left -= len(episodes[-1])
        return episodes

    def _episode(self, policy: Any, seed: int, rows: int) -> Episode:
        env = self.env
        frames, actions, rewards, terminated, truncated, row_captions = [], [], [], [], [], []
        frame, info = env.reset(seed=seed)
        captions = _paraphrases(env, seed)
        policy.reset(frame, info)
        for _ in range(rows):
            frames.append(np.array(frame))  # a copy: some environments draw into the same array again
            if "caption" in info:
                row_captions.append(str(info["caption"]))
            action = policy.act(frame, info)
            actions.append(np.asarray(spaces.flatten(env.action_space, action), np.float32))
            frame, reward, ended, cut, info = env.step(action)
            rewards.append(float(reward))
            terminated.append(bool(ended))
            truncated.append(bool(cut))
            if ended or cut:
                break
        return Episode(
            frames=np.stack(frames),
            actions=np.stack(actions),
            rewards=np.asarray(rewards, np.float32),
            terminated=np.asarray(terminated),
            truncated=np.asarray(truncated),
            seed=seed,
            captions=captions,
            row_captions=row_captions if len(row_captions) == len(frames) else [],
        )


def _paraphrases(env: gym.Env, seed: int) -> list[str]:
    caption: Callable[..., str] | None = getattr(env.unwrapped, "caption", None)
    if not callable(caption):
        return []
    rng = np.random.default_rng([seed, 0xCA97])
    return [caption(rng, style=style, language=language) for style, language in PARAPHRASES]

"""`worldsim agent eval`: how much a policy gains in an environment, a real one or a learned World."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from worldsim.agents.policies import make_policy
from worldsim.clip import Clip
from worldsim.data.episodes import DEFAULT_FPS, open_env
from worldsim.files import write_atomically
from worldsim.probes.intervals import Interval, mean_interval, nested_interval, share_interval

FILMED = 4  # episodes in the video


@dataclass(frozen=True)
class Returns:
    """What a policy gained: one return, length in steps and way to end (True: terminated) for each episode.

    achieved: where an environment has achievements, whether each was reached in each episode.
    """

    policy: str
    env_id: str
    returns: list[float]
    lengths: list[int]
    terminated: list[bool]
    achieved: dict[str, list[bool]] = field(default_factory=dict)

    @property
    def mean(self) -> Interval:
        """Mean return and its 95% interval over episodes."""
        return mean_interval(np.array(self.returns))

    @property
    def iqm(self) -> Interval:
        """Interquartile mean of the returns and its 95% interval, arXiv 2108.13264."""
        return mean_interval(np.array(self.returns), cut=0.25)

    @property
    def score(self) -> float:
        """That of Crafter (arXiv 2109.06780) in percent: a geometric mean of the shares of episodes with each
        achievement, each increased by 1. 0 where there are none."""
        shares = [100 * float(np.mean(reached)) for reached in self.achieved.values()]
        return float(np.expm1(np.log1p(shares).mean())) if shares else 0.0

    def table(self) -> str:
        """A few lines for people to read."""
        rows = [("mean return", self.mean), ("interquartile mean", self.iqm)]
        rows.append(("steps an episode", mean_interval(np.array(self.lengths))))
        rows.append(("share terminated", share_interval(np.array(self.terminated))))
        achieved = [(name, share_interval(np.array(reached))) for name, reached in self.achieved.items()]
        told = [f"{name:<20}{v.mean:8.3f} [{v.low:.3f}, {v.high:.3f}]" for name, v in rows + achieved]
        if achieved:
            told.insert(len(rows), f"{'score':<20}{self.score:8.3f}%, as in arXiv 2109.06780, of the achievements:")
        return "\n".join([f"{self.policy} in {self.env_id}, {len(self.returns)} episodes [95% interval]", *told])


def together(results: Sequence[Returns]) -> str:
    """A few lines of what several agents gained in the same episodes, with intervals over agents and episodes."""
    values = np.array([result.returns for result in results])
    rows = [("mean return", nested_interval(values)), ("interquartile mean", nested_interval(values, cut=0.25))]
    told = [f"{name:<20}{v.mean:8.3f} [{v.low:.3f}, {v.high:.3f}]" for name, v in rows]
    return "\n".join([f"all {len(results)} together [95% interval over agents and episodes]", *told])


def evaluate(
    policy: str,
    env_id: str,
    *,
    env_kwargs: dict[str, Any] | None = None,
    episodes: int = 100,
    seed: int = 9_000_000,
    out: Path | None = None,
    show: bool = True,
) -> Returns:
    """Let a policy (see `worldsim.agents.make_policy`) play episodes of the seeds from `seed` on.

    The policy draws from a generator of its own. out: a directory for returns.json, the raw figures, and episodes.mp4,
    the first four. ValueError for a policy or an environment that there is not, or that do not fit each other.
    """
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {episodes}")
    with closing(open_env(env_id, env_kwargs or {})) as env:
        if env.spec is None or env.spec.max_episode_steps is None:
            raise ValueError(f"episodes of {env_id} need not end: give max_episode_steps in its arguments")
        rng = np.random.default_rng([seed, 0x9E3779B9])  # not the stream that the first reset draws from
        player = make_policy(policy, env, rng)
        fps = round(float(env.metadata.get("render_fps") or DEFAULT_FPS))
        returns, lengths, terminated, film = [], [], [], []
        achieved: dict[str, list[bool]] = {}
        for episode in tqdm(range(episodes), "episodes", disable=not show):
            frame, info = env.reset(seed=seed + episode)
            player.reset(frame, info)
            gained, frames, ended, cut = 0.0, [np.array(frame)], False, False
            while not (ended or cut):
                frame, reward, ended, cut, info = env.step(player.act(frame, info))
                gained += float(reward)
                frames.append(np.array(frame))
            returns.append(gained)
            lengths.append(len(frames) - 1)
            terminated.append(bool(ended))
            for name, count in info.get("achievements", {}).items():
                achieved.setdefault(name, []).append(count > 0)
            if out is not None and episode < FILMED:
                film += frames
    result = Returns(policy, env_id, returns, lengths, terminated, achieved)
    if out is not None:
        figures = vars(result) | {"seed": seed, "mean": result.mean._asdict(), "iqm": result.iqm._asdict()}
        if achieved:
            figures |= {"score": result.score}
        write_atomically(out / "returns.json", json.dumps(figures, indent=1))
        Clip(np.stack(film), fps=fps).save(out / "episodes.mp4", scale=max(1, 256 // film[0].shape[0]))
    return result

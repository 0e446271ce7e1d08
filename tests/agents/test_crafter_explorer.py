"""The explorer of Crafter does in minutes what chance hardly ever does, and an agent's achievements are counted."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from worldsim.agents import make_policy
from worldsim.agents.evaluation import Returns, evaluate
from worldsim.envs.crafter import CrafterSimEnv


def achieved_by(policy: str, seeds: range, steps: int = 300) -> set[str]:
    """What was achieved in the episodes of some seeds."""
    env = CrafterSimEnv()
    achieved = set()
    for seed in seeds:
        obs, info = env.reset(seed=seed)
        explorer = make_policy(policy, env, np.random.default_rng(seed))
        explorer.reset(obs, info)
        for _ in range(steps):
            obs, _, terminated, _, info = env.step(explorer.act(obs, info))
            if terminated:
                break
        achieved |= {name for name, count in info["achievements"].items() if count}
    return achieved


def test_it_collects_and_makes_what_chance_does_not() -> None:
    achieved = achieved_by("auto", range(4))
    assert {"collect_wood", "place_table", "make_wood_pickaxe", "make_wood_sword", "collect_drink"} <= achieved
    assert len(achieved) >= 1.5 * len(achieved_by("random", range(4)))


def test_it_knows_which_cells_are_what() -> None:
    from worldsim.agents.crafter_explorer import _NAMES

    game = CrafterSimEnv()._game
    number = {str(name or "none"): index for name, index in game._sem_view._mat_ids.items()}
    number |= {kind.__name__.lower(): index for kind, index in game._sem_view._obj_ids.items()}
    assert [name for name, _ in sorted(number.items(), key=lambda item: item[1])] == _NAMES


def test_its_randomness_is_that_of_its_generator() -> None:
    env = CrafterSimEnv()
    taken = []
    for _ in range(2):
        obs, info = env.reset(seed=5)
        explorer = make_policy("crafter", env, np.random.default_rng(1))
        explorer.reset(obs, info)
        actions = []
        for _ in range(40):
            actions.append(explorer.act(obs, info))
            obs, _, _, _, info = env.step(actions[-1])
        taken.append(actions)
    assert taken[0] == taken[1]


def test_it_is_for_crafter_alone() -> None:
    with pytest.raises(ValueError, match="CrafterSim"):
        make_policy("crafter", gym.make("worldsim/BallsSim-v0"), np.random.default_rng(0))


def test_achievements_are_told(tmp_path: Path) -> None:
    kwargs = {"max_episode_steps": 120}
    result = evaluate("crafter", "worldsim/CrafterSim-v0", env_kwargs=kwargs, episodes=2, out=tmp_path, show=False)
    assert len(result.achieved) == 22
    assert sum(result.achieved["collect_wood"]) > 0
    assert "collect_wood" in result.table()
    kept = json.loads((tmp_path / "returns.json").read_text())
    assert kept["achieved"]["collect_wood"] == result.achieved["collect_wood"]
    assert kept["score"] == pytest.approx(result.score)
    assert result.score > 0


def test_the_score_is_that_of_the_paper() -> None:
    result = Returns("p", "e", [0.0, 0.0], [1, 1], [True, True], {"a": [True, True], "b": [False, False]})
    assert result.score == pytest.approx(np.sqrt(101) - 1)

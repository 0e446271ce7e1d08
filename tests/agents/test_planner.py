"""The planner finds what pays in a World, and says what it cannot plan in."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

import worldsim
from worldsim.agents import make_policy
from worldsim.agents.planner import Planner
from worldsim.simulation import Simulation, StepResult


def test_it_takes_the_action_that_pays(agent_world_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The World's own predictions of reward are replaced: to push right and not up is what pays."""
    world = worldsim.load(agent_world_dir, device="cpu", dtype="float32")
    step = Simulation.step

    def paid(run: Simulation, actions: torch.Tensor) -> StepResult:
        result = step(run, actions)
        result.rewards[:] = actions[:, 0] - actions[:, 1].abs()
        return result

    monkeypatch.setattr(Simulation, "step", paid)
    planner = Planner(world, np.random.default_rng(0), horizon=2, candidates=64, elite=8, rounds=4)
    frame = np.zeros((48, 48, 3), np.uint8)
    planner.reset(frame, {})
    for _ in range(3):
        push = planner.act(frame, {})
        assert world.spec.action_space.contains(push)
        assert push[0] > 0.7
        assert abs(push[1]) < 0.3


def test_what_comes_after_the_end_does_not_count(agent_world_dir: Path) -> None:
    world = worldsim.load(agent_world_dir, device="cpu", dtype="float32")
    planner = Planner(world, np.random.default_rng(0))

    class Run:
        def step(self, actions: torch.Tensor) -> StepResult:
            ends = torch.tensor([True, False])
            nothing = torch.zeros(0)
            return StepResult(nothing, torch.ones(2), ends, nothing, nothing, None)

    gained = planner._gained(Run(), torch.zeros(2, 3, 2))
    assert gained.tolist() == pytest.approx([1.0, 1 + 0.97 + 0.97**2])


def test_it_plays_the_world_itself_and_keeps_the_context_short(agent_world_dir: Path) -> None:
    env = gym.make("worldsim/World-v0", world=str(agent_world_dir), max_episode_steps=12)
    planner = make_policy(f"plan:{agent_world_dir}", env, np.random.default_rng(0))
    assert isinstance(planner, Planner)
    planner.horizon, planner.candidates, planner.elite, planner.rounds = 2, 4, 2, 1
    frame, info = env.reset(seed=0)
    planner.reset(frame, info)
    for _ in range(12):
        frame, *_ = env.step(planner.act(frame, {}))
    assert len(planner._frames) == planner.world.spec.context_length + 1


def test_a_world_of_something_else_is_refused(agent_world_dir: Path, tiny_world_dir: Path) -> None:
    env = gym.make("worldsim/World-v0", world=str(tiny_world_dir))
    with pytest.raises(ValueError, match="has frames of"):
        make_policy(f"plan:{agent_world_dir}", env, np.random.default_rng(0))
    with pytest.raises(ValueError, match="elite"):
        Planner(worldsim.load(agent_world_dir), np.random.default_rng(0), candidates=4, elite=8)

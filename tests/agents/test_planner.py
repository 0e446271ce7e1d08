"""The planner finds what pays in a World, and says what it cannot plan in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import worldsim
from worldsim.agents import make_policy
from worldsim.agents.planner import Planner
from worldsim.simulation import Simulation, StepResult
from worldsim.world import World


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
    # The plan itself has narrowed: most of its first step is a hard push right, and none up or down.
    right, up = planner._plan[0].view(2, -1)
    assert right[-4:].sum() > 0.6
    assert up[7:14].sum() > 0.6


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


def test_it_plans_from_the_frames_it_saw_and_the_actions_it_took(
    agent_world_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = gym.make("worldsim/World-v0", world=str(agent_world_dir), max_episode_steps=12)
    begun = []
    start = World.start

    def watched(world: World, *args: Any, **kwargs: Any) -> Simulation:
        begun.append((kwargs["context"], kwargs["actions"]))
        return start(world, *args, **kwargs)

    planner = make_policy(f"plan:{agent_world_dir}", env, np.random.default_rng(0))
    assert isinstance(planner, Planner)
    planner.horizon, planner.candidates, planner.elite, planner.rounds = 2, 4, 2, 1
    frame, info = env.reset(seed=0)
    planner.reset(frame, info)
    monkeypatch.setattr(World, "start", watched)
    frames, taken = [frame], []
    for _ in range(12):
        taken.append(planner.act(frames[-1], {}))
        frames.append(env.step(taken[-1])[0])
    seen = planner.world.spec.context_length + 1
    for step, (context, actions) in enumerate(begun):
        first = max(step + 1 - seen, 0)
        assert np.array_equal(context, frames[first : step + 1])
        assert np.array_equal(actions, np.array(taken[first:step]).reshape(-1, 2))


def test_a_world_of_something_else_is_refused(agent_world_dir: Path, tiny_world_dir: Path) -> None:
    env = gym.make("worldsim/World-v0", world=str(tiny_world_dir))
    with pytest.raises(ValueError, match="is for frames of"):
        make_policy(f"plan:{agent_world_dir}", env, np.random.default_rng(0))
    with pytest.raises(ValueError, match="elite"):
        Planner(worldsim.load(agent_world_dir), np.random.default_rng(0), candidates=4, elite=8)

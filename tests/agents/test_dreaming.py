"""The loop: real steps, a World of them, an agent in the World, and again with the agent at the controls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldsim.agents.dreaming import dream
from worldsim.agents.ppo import PPOConfig
from worldsim.data.record import join_stores, record_store
from worldsim.data.store import FrameStore
from worldsim.recipes import load_recipe
from worldsim.training.loop import Phase


def test_two_rounds_from_nothing(tmp_path: Path) -> None:
    recipe = load_recipe("balls_goal").model_copy(
        update={
            "tokenizer_phases": [Phase(minutes=1, batch=8)],
            "dynamics_phases": [Phase(minutes=1, batch=4, time=8)],
            "compiled": False,
            "starts": 2,
        }
    )
    (tmp_path / "small.json").write_text(recipe.model_dump_json())
    settings = PPOConfig(steps=64, rollout=4, channels=8, hidden=16)
    agent = dream(
        str(tmp_path / "small.json"), tmp_path / "out", real_steps=600, rounds=2, minutes=0.04, horizon=4, lanes=4,
        config=settings, show=False,
    )  # fmt: skip
    assert agent == tmp_path / "out" / "round-2" / "agent" / "agent.safetensors"
    first, second = (FrameStore.open(tmp_path / "out" / f"round-{n}" / "frames") for n in (1, 2))
    assert first.lengths.sum() == 300
    assert second.lengths.sum() == 600
    assert second.policy.endswith("round-1/agent/agent.safetensors")
    assert np.array_equal(second.frames[:300], first.frames[:300])
    assert len(set(second.seeds.tolist())) == len(second)
    # Again: all that is done stays.
    before = agent.stat().st_mtime_ns
    world = tmp_path / "out" / "round-2" / "world" / "world" / "weights.safetensors"
    made = world.read_bytes()
    dream(
        str(tmp_path / "small.json"), tmp_path / "out", real_steps=600, rounds=2, minutes=0.04, horizon=4, lanes=4,
        config=settings, show=False,
    )  # fmt: skip
    assert world.read_bytes() == made
    assert agent.stat().st_mtime_ns >= before


def test_too_few_steps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="100 real steps in 3 rounds"):
        dream("balls_goal", tmp_path, real_steps=100)


def test_recordings_of_different_things_are_not_joined(tmp_path: Path) -> None:
    for name, balls in (("one", 1), ("two", 2)):
        record_store(
            "worldsim/BallsSim-v0", 20, tmp_path / name, env_kwargs={"balls": balls}, episode_frames=10, workers=1,
            progress=False,
        )  # fmt: skip
    with pytest.raises(ValueError, match="cannot be joined"):
        join_stores([tmp_path / "one", tmp_path / "two"], tmp_path / "both")

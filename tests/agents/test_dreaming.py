"""The loop: real steps, a World of them, an agent in the World, and again with the agent at the controls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldsim.agents.dreaming import dream
from worldsim.agents.ppo_config import PPOConfig
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
    assert FrameStore.open(tmp_path / "out" / "round-2" / "recorded").policy.endswith("round-1/agent/agent.safetensors")
    assert second.policy == "auto", "more of it can be recorded wherever the agent lies"
    assert np.array_equal(second.frames[:300], first.frames[:300])
    assert len(set(second.seeds.tolist())) == len(second)
    # Again: all that is done stays.
    weights = tmp_path / "out" / "round-2" / "world" / "world" / "weights.safetensors"
    made = agent.read_bytes(), weights.read_bytes()
    dream(
        str(tmp_path / "small.json"), tmp_path / "out", real_steps=600, rounds=2, minutes=0.04, horizon=4, lanes=4,
        config=settings, show=False,
    )  # fmt: skip
    assert (agent.read_bytes(), weights.read_bytes()) == made
    with pytest.raises(ValueError, match="real_steps: 600 there, 900 now"):
        dream(
            str(tmp_path / "small.json"), tmp_path / "out", real_steps=900, rounds=2, minutes=0.04, horizon=4, lanes=4,
            config=settings, show=False,
        )  # fmt: skip


def test_too_few_steps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stay is about an agent to begin with"):
        dream("balls_goal", tmp_path, real_steps=1000, config=PPOConfig(stay=1.0))
    with pytest.raises(ValueError, match="too few for 3 rounds"):
        dream("balls_goal", tmp_path, real_steps=100)
    with pytest.raises(ValueError, match="must be positive"):
        dream("balls_goal", tmp_path, real_steps=1000, lanes=0)
    assert not list(tmp_path.iterdir())


def test_a_join_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    for number in range(2):
        record_store(
            "worldsim/BallsSim-v0", 40, tmp_path / f"part{number}", episode_frames=10, workers=1, seed=100 * number,
            progress=False,
        )  # fmt: skip
    parts = [tmp_path / "part0", tmp_path / "part1"]
    join_stores(parts, tmp_path / "both")
    whole = FrameStore.open(tmp_path / "both")
    assert whole.seeds.tolist() == [0, 1, 2, 3, 100, 101, 102, 103]
    lines = (tmp_path / "both" / "episodes.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "both" / "episodes.jsonl").write_text("".join(lines[:5]) + lines[5][:20])
    frames = np.array(whole.frames)
    join_stores(parts, tmp_path / "both")
    again = FrameStore.open(tmp_path / "both")
    assert sorted(again.seeds.tolist()) == whole.seeds.tolist()
    assert np.array_equal(again.frames, frames)


def test_recordings_of_different_things_are_not_joined(tmp_path: Path) -> None:
    for name, balls in (("one", 1), ("two", 2)):
        record_store(
            "worldsim/BallsSim-v0", 20, tmp_path / name, env_kwargs={"balls": balls}, episode_frames=10, workers=1,
            progress=False,
        )  # fmt: skip
    with pytest.raises(ValueError, match="env_kwargs"):
        join_stores([tmp_path / "one", tmp_path / "two"], tmp_path / "both")

"""Imitation: it does what was done, tells what was gained, and keeps to episodes."""

from __future__ import annotations

from pathlib import Path

import corridor
import numpy as np
import pytest
import torch

from worldsim.agents.actor_critic import ActorCritic, FrameStack
from worldsim.agents.evaluation import evaluate
from worldsim.agents.imitation import imitate, value_targets
from worldsim.agents.ppo_config import ImitationConfig, PPOConfig
from worldsim.agents.training import train_agent
from worldsim.cli import main
from worldsim.data.episodes import Episode, RecordSettings, env_facts
from worldsim.data.store import FrameStore, StoreWriter

SMALL = {"channels": 8, "hidden": 32, "stack": 1}


def corridor_store(directory: Path, episodes: int, ended: bool = True, wrong: bool = False) -> Path:
    """Episodes in which the bar goes straight to the red end, both steps of each, or to the other one."""
    settings = RecordSettings("Corridor-v0", policy="straight", episode_frames=2)
    writer = StoreWriter(directory, settings, env_facts("Corridor-v0", {}))
    writer.prepare(episodes)
    env = corridor.Corridor()
    for number in range(episodes):
        frames = [env.reset(seed=number)[0]]
        action = int((env.goal > 0) != wrong)
        frames.append(env.step(action)[0])
        over = np.array([False, ended])
        writer.commit(number, writer.write(number, [Episode(
            frames=np.stack(frames), actions=np.eye(2, dtype=np.float32)[[action] * 2],
            rewards=np.array([0, 1], np.float32), terminated=over, truncated=np.array([False, not ended]), seed=number,
            captions=[], row_captions=[],
        )]))  # fmt: skip
    return directory


def test_it_does_what_was_done(tmp_path: Path) -> None:
    recording = corridor_store(tmp_path / "frames", 64)
    config = ImitationConfig(passes=20, batch=16, learning_rate=2e-3, **SMALL)
    agent = imitate(recording, tmp_path / "agent", config=config, show=False)
    assert evaluate(str(agent), "Corridor-v0", episodes=30, show=False).mean.mean > 0.9  # the best is 1, chance is 0
    # And another agent can begin with it: after one update it still knows.
    begun = train_agent(
        tmp_path / "begun", env_id="Corridor-v0", lanes=4, init=agent, show=False,
        config=PPOConfig(steps=16, rollout=4, **SMALL),
    )  # fmt: skip
    assert evaluate(str(begun), "Corridor-v0", episodes=30, show=False).mean.mean > 0.9


def test_an_agent_stays_near_the_one_that_it_began_with(tmp_path: Path) -> None:
    """Where the recording went the other way: to the end that costs 1."""
    wrong = corridor_store(tmp_path / "frames", 64, wrong=True)
    config = ImitationConfig(passes=10, batch=16, learning_rate=2e-3, **SMALL)
    init = imitate(wrong, tmp_path / "wrong", config=config, show=False)

    def gained(stay: float) -> float:
        learns = PPOConfig(steps=4096, learning_rate=2e-3, stay=stay, **SMALL)
        out = tmp_path / str(stay)
        agent = train_agent(out, env_id="Corridor-v0", lanes=16, init=init, config=learns, show=False)
        return evaluate(str(agent), "Corridor-v0", episodes=30, show=False).mean.mean

    near = gained(20.0)
    assert near < -0.5
    assert gained(0.0) > near + 0.5
    with pytest.raises(ValueError, match="stay is about the agent that it begins with"):
        train_agent(tmp_path / "alone", env_id="Corridor-v0", config=PPOConfig(stay=1.0, **SMALL), show=False)


def test_it_is_shown_what_it_sees_when_it_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = corridor_store(tmp_path / "frames", 8)
    store = FrameStore.open(recording)
    wanted = set()
    for episode in range(len(store)):
        frames, stack = torch.from_numpy(store.episode(episode).frames), FrameStack(1, 3, (36, 36))
        stack.begin(0, frames[0])
        wanted.add(stack.frames[0].numpy().tobytes())
        stack.push(frames[1:2])
        wanted.add(stack.frames[0].numpy().tobytes())
    seen = set()
    look = ActorCritic.forward

    def watched(agent: ActorCritic, stacked: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.update(picture.numpy().tobytes() for picture in stacked)
        return look(agent, stacked)

    monkeypatch.setattr(ActorCritic, "forward", watched)
    imitate(recording, tmp_path / "agent", config=ImitationConfig(passes=1, **SMALL | {"stack": 3}), show=False)
    assert seen == wanted


def test_the_command_and_what_it_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording = corridor_store(tmp_path / "frames", 4)
    command = ["agent", "imitate", str(recording), "--out", str(tmp_path / "agent"), "--passes", "1", "--hidden", "16"]
    assert main(command) == 0
    kept = (tmp_path / "agent" / "agent.safetensors").read_bytes()
    assert ActorCritic.load(tmp_path / "agent" / "agent.safetensors").config.hidden == 16
    assert main([*command, "--learning-rate", "1e38"]) != 0
    assert "no number any more" in capsys.readouterr().err
    assert (tmp_path / "agent" / "agent.safetensors").read_bytes() == kept
    loop = ["agent", "train", "--world", "balls_goal", "--real-steps", "1000", "--init", str(tmp_path)]
    assert main(loop) != 0
    assert "--real-steps goes with --world RECIPE alone" in capsys.readouterr().err


def test_values_are_what_was_still_gained(tmp_path: Path) -> None:
    first, returns, known = value_targets(FrameStore.open(corridor_store(tmp_path / "ended", 2)), 0.5)
    assert first.tolist() == [0, 0, 2, 2]
    assert returns.tolist() == [0.5, 1.0] * 2
    assert known.tolist() == [1.0] * 4
    cut = FrameStore.open(corridor_store(tmp_path / "cut", 2, ended=False))
    assert value_targets(cut, 0.5)[2].tolist() == [0.0] * 4  # what would have come is not known, and counts half
    assert value_targets(cut, 0.1)[2].tolist() == [1.0, 0.0] * 2  # of what comes two steps later a hundredth counts


def test_a_recording_of_one_episode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds one episode"):
        imitate(corridor_store(tmp_path / "frames", 1), tmp_path / "agent", show=False)

"""PPO: it learns, counts advantages as the paper does, goes on after a stop, and takes any vector environment."""

from __future__ import annotations

from pathlib import Path

import corridor  # noqa: F401 - registers Corridor-v0
import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from worldsim.agents.actor_critic import ActorCritic, ActorCriticConfig, ActorPolicy, FrameStack
from worldsim.agents.evaluation import evaluate
from worldsim.agents.ppo import PPO, Lanes, PPOConfig, Rollout, advantages
from worldsim.agents.training import imagined_lanes, train_agent

CPU = torch.device("cpu")
SMALL = {"channels": 8, "hidden": 32}


def test_it_learns_to_go_where_the_reward_is(tmp_path: Path) -> None:
    envs = gym.make_vec("Corridor-v0", num_envs=16)
    config = PPOConfig(steps=4096, rate=2e-3, stack=1, **SMALL)
    PPO(envs, config, tmp_path, CPU).train(show=False)
    result = evaluate(str(tmp_path / "agent.safetensors"), "Corridor-v0", episodes=30, show=False)
    assert result.mean.mean > 0.9  # the best is 1
    assert evaluate("random", "Corridor-v0", episodes=200, show=False).mean.high < 0.5


def test_advantages_stop_where_an_episode_does() -> None:
    # One lane: two steps, the second truncated, then the step that only begins anew, then one that terminates.
    column = torch.tensor
    rollout = Rollout(
        stacked=torch.zeros(0), actions=torch.zeros(0), chances=torch.zeros(0),
        values=column([[1.0], [2.0], [3.0], [4.0], [5.0]]),
        rewards=column([[0.5], [1.0], [0.0], [2.0]]),
        ended=column([[False], [False], [False], [True]]),
        over=column([[False], [True], [False], [True]]),
        real=column([[True], [True], [False], [True]]),
    )  # fmt: skip
    found = advantages(rollout, discount=0.5, trace=0.5)[:, 0].tolist()
    truncated = 1.0 + 0.5 * 3.0 - 2.0  # what would have come after it is the value of the last frame
    assert found == pytest.approx([0.5 + 0.5 * 2.0 - 1.0 + 0.25 * truncated, truncated, 0.0, 2.0 - 4.0])


def test_lanes_stack_frames_of_their_own_episode_only() -> None:
    envs = gym.make_vec("Corridor-v0", num_envs=1)
    lanes = Lanes(envs, 3, (36, 36), CPU)
    lanes.reset(seed=0)
    assert torch.equal(lanes.stacked[:, 0], lanes.stacked[:, 2])
    right = torch.tensor([[0.0, 1.0]])
    before = lanes.stacked
    while not lanes.over[0]:
        before = lanes.stacked
        lanes.step(right)
    assert torch.equal(lanes.stacked[:, :2], before[:, 1:])  # the last frame of an episode is still shown
    lanes.step(right)
    assert torch.equal(lanes.stacked[:, 0], lanes.stacked[:, 2])


def test_a_context_warms_the_stack() -> None:
    stack = FrameStack(1, 3, (2, 2))
    context = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 2, 2, 3)
    stack.begin(0, context[-1], context.numpy())
    assert stack.frames[0, :, 0, 0, 0].tolist() == [2, 3, 4]
    stack.begin(0, context[-1], context[:1].numpy())
    assert stack.frames[0, :, 0, 0, 0].tolist() == [0, 0, 0]


def test_it_goes_on_after_a_stop_and_refuses_another_training(tmp_path: Path) -> None:
    first = PPO(gym.make_vec("Corridor-v0", num_envs=4), PPOConfig(steps=128, **SMALL), tmp_path, CPU)
    first.train(show=False)
    # The same command again: nothing is left to do, and nothing is lost.
    again = PPO(gym.make_vec("Corridor-v0", num_envs=4), PPOConfig(steps=128, **SMALL), tmp_path, CPU)
    kept = again.train(show=False)
    assert again.progress.steps == 128
    for ours, theirs in zip(first.agent.parameters(), kept.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    other = PPO(gym.make_vec("Corridor-v0", num_envs=4), PPOConfig(steps=256, **SMALL), tmp_path, CPU)
    with pytest.raises(ValueError, match="another --out"):
        other.train(show=False)


def test_it_learns_in_a_learned_world(ending_world_dir: Path, tiny_world_dir: Path, tmp_path: Path) -> None:
    # A World of 32 pixels is too small for the convolutions: a sentence, not a crash.
    with pytest.raises(ValueError, match="36 pixels or more"):
        train_agent(tmp_path, world=str(tiny_world_dir), lanes=2, show=False)
    envs = imagined_lanes(str(tiny_world_dir), 2, horizon=3)
    assert isinstance(envs.reset(seed=0)[0], torch.Tensor)


def test_the_lanes_must_reset_themselves() -> None:
    envs = gym.make_vec("Corridor-v0", num_envs=2, vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP})
    with pytest.raises(ValueError, match="NEXT_STEP"):
        Lanes(envs, 3, (36, 36), CPU)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give one of the two"),
        ({"env_id": "Corridor-v0", "world": "blocks"}, "give one of the two"),
        ({"env_id": "Corridor-v0", "lanes": 0}, "at least 1"),
        ({"env_id": "CartPole-v1"}, "image observations"),
        ({"world": "nowhere"}, "there is no World 'nowhere'"),
    ],
)
def test_what_cannot_be_learned_in_is_said(given: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        train_agent(tmp_path, show=False, **given)


def test_an_agent_is_kept_in_a_file(tmp_path: Path) -> None:
    env = gym.make("Corridor-v0")
    agent = ActorCritic(ActorCriticConfig.of_env(env, stack=2, **SMALL))
    agent.save(tmp_path / "agent.safetensors")
    loaded = ActorCritic.load(tmp_path / "agent.safetensors")
    frames = torch.randint(0, 256, (3, 2, 36, 36, 3), dtype=torch.uint8)
    for ours, theirs in zip(agent(frames), loaded(frames), strict=True):
        assert torch.equal(ours, theirs)
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="damaged"):
        ActorCritic.load(tmp_path / "broken.safetensors")
    other = {"action": {"kind": "discrete", "n": 3, "start": 0}}
    ActorCritic(agent.config.model_copy(update=other)).save(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="sees frames of"):
        evaluate(str(tmp_path / "other.safetensors"), "Corridor-v0", episodes=1, show=False)


def test_the_greedy_policy_takes_the_likeliest_action() -> None:
    env = gym.make("Corridor-v0")
    agent = ActorCritic(ActorCriticConfig.of_env(env, **SMALL))
    with torch.no_grad():
        agent.act.bias.copy_(torch.tensor([0.0, 1.0]))
    frame, info = env.reset(seed=0)
    drawn = []
    for greedy in (True, False):
        policy = ActorPolicy(agent, np.random.default_rng(0), greedy=greedy)
        policy.reset(frame, info)
        drawn.append({int(policy.act(frame, info)) for _ in range(50)})
    assert drawn == [{1}, {0, 1}]

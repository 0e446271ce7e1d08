"""PPO: it learns, counts advantages as the paper does, goes on after a stop, and takes any vector environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import corridor  # noqa: F401 - registers Corridor-v0
import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from worldsim.agents.actor_critic import ActorCritic, ActorCriticConfig, FrameStack, halved
from worldsim.agents.evaluation import evaluate
from worldsim.agents.ppo import PPO, Rollout, Stepper, advantages
from worldsim.agents.ppo_config import PPOConfig
from worldsim.agents.training import imagined_lanes, train_agent
from worldsim.data.record import record_store
from worldsim.data.store import FrameStore
from worldsim.envs import VectorDiscreteActions
from worldsim.spec import space_to_json

CPU = torch.device("cpu")
SMALL = {"channels": 8, "hidden": 32}


def test_it_learns_to_go_where_the_reward_is(tmp_path: Path) -> None:
    envs = gym.make_vec("Corridor-v0", num_envs=16)
    config = PPOConfig(steps=4096, learning_rate=2e-3, stack=1, **SMALL)
    PPO(envs, config, tmp_path, CPU).train(show=False)
    result = evaluate(str(tmp_path / "agent.safetensors"), "Corridor-v0", episodes=30, show=False)
    assert result.mean.mean > 0.9  # the best is 1
    assert evaluate("random", "Corridor-v0", episodes=200, show=False).mean.high < 0.5


def test_advantages_stop_where_an_episode_does() -> None:
    # One lane: two steps, the second truncated, then the step that only begins anew, then one that terminates.
    column = torch.tensor
    rollout = Rollout(
        stacked=torch.zeros(0), actions=torch.zeros(0), log_probs=torch.zeros(0),
        values=column([[1.0], [2.0], [3.0], [4.0], [5.0]]),
        rewards=column([[0.5], [1.0], [0.0], [2.0]]),
        terminated=column([[False], [False], [False], [True]]),
        done=column([[False], [True], [False], [True]]),
        real=column([[True], [True], [False], [True]]),
    )  # fmt: skip
    found = advantages(rollout, discount=0.5, gae_lambda=0.5)[:, 0].tolist()
    truncated = 1.0 + 0.5 * 3.0 - 2.0  # what would have come after it is the value of the last frame
    assert found == pytest.approx([0.5 + 0.5 * 2.0 - 1.0 + 0.25 * truncated, truncated, 0.0, 2.0 - 4.0])


def test_lanes_stack_frames_of_their_own_episode_only() -> None:
    envs = gym.make_vec("Corridor-v0", num_envs=1)
    lanes = Stepper(envs, 3, (36, 36), CPU)
    lanes.reset(seed=0)
    assert torch.equal(lanes.stacked[..., 0, :], lanes.stacked[..., 2, :])
    right = torch.tensor([[0.0, 1.0]])
    before = lanes.stacked
    while not lanes.done[0]:
        before = lanes.stacked
        lanes.step(right)
    assert torch.equal(lanes.stacked[..., :2, :], before[..., 1:, :])  # the last frame of an episode is still shown
    lanes.step(right)
    assert torch.equal(lanes.stacked[..., 0, :], lanes.stacked[..., 2, :])


def test_a_context_warms_the_stack() -> None:
    stack = FrameStack(1, 3, (2, 2))
    context = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 2, 2, 3)
    stack.begin(0, context[-1], context.numpy())
    assert stack.frames[0, 0, 0, :, 0].tolist() == [2, 3, 4]
    stack.begin(0, context[-1], context[:1].numpy())
    assert stack.frames[0, 0, 0, :, 0].tolist() == [0, 0, 0]


def test_it_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    config = PPOConfig(steps=256, rollout=16, **SMALL)

    def learner() -> PPO:
        return PPO(gym.make_vec("Corridor-v0", num_envs=4), config, tmp_path, CPU)

    first = learner()
    learn, calls = first._learn, []

    def interrupted(rollout: Rollout) -> dict[str, float]:
        calls.append(rollout)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return learn(rollout)

    first._learn = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        first.train(show=False)
    kept = (tmp_path / "checkpoint.safetensors").read_bytes()
    again = learner()
    again._resume()
    assert again.progress.steps == 128
    for ours, theirs in zip(first.agent.parameters(), again.agent.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        for part, value in first.optimizer.state[ours].items():
            assert torch.equal(again.optimizer.state[theirs][part], value)

    def broken(rollout: Rollout) -> dict[str, float]:
        raise RuntimeError("a fault")

    again._learn = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="a fault"):
        again.train(show=False)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == kept, "an error leaves it as it was"
    last = learner()
    last.train(show=False)
    assert last.progress.steps == 256


def test_agents_on_the_way_are_kept(tmp_path: Path) -> None:
    config = PPOConfig(steps=300, rollout=16, keep=3, **SMALL)
    last = PPO(gym.make_vec("Corridor-v0", num_envs=4), config, tmp_path, CPU).train(show=False)
    kept = {int(path.stem[6:]): ActorCritic.load(path) for path in tmp_path.glob("agent-*.safetensors")}
    assert sorted(kept) == [128, 256, 320], "at the first update after each third of 300"
    assert torch.equal(kept[320].judge.weight, last.judge.weight)
    assert not torch.equal(kept[128].judge.weight, kept[256].judge.weight)


def test_a_loss_that_is_no_number_is_not_saved(tmp_path: Path) -> None:
    learner = PPO(gym.make_vec("Corridor-v0", num_envs=2), PPOConfig(steps=64, **SMALL), tmp_path, CPU)
    with torch.no_grad():
        learner.agent.judge.bias.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="no number"):
        learner.train(show=False)
    assert not list(tmp_path.iterdir())


def test_a_directory_holds_one_training(agent_world_dir: Path, tmp_path: Path) -> None:
    config = PPOConfig(steps=16, rollout=4, **SMALL)
    train_agent(tmp_path, world=str(agent_world_dir), lanes=2, horizon=4, config=config, show=False)
    train_agent(tmp_path, world=str(agent_world_dir), lanes=2, horizon=4, config=config, show=False)  # it is done
    for other, said in (
        ({"horizon": 5}, "horizon: 4 there, 5 now"),
        ({"config": config.model_copy(update={"seed": 1})}, "seed: 0 there, 1 now"),
    ):
        settings: dict[str, Any] = {"lanes": 2, "horizon": 4, "config": config, "show": False} | other
        with pytest.raises(ValueError, match=said):
            train_agent(tmp_path, world=str(agent_world_dir), **settings)
    with pytest.raises(ValueError, match="another training"):
        train_agent(tmp_path, env_id="worldsim/BallsGoalSim-v0", lanes=2, config=config, show=False)


def test_it_learns_in_a_world_from_moments_of_a_recording(agent_world_dir: Path, tmp_path: Path) -> None:
    record_store(
        "worldsim/BallsSim-v0", 90, tmp_path / "frames", env_kwargs={"size": [48, 48]}, episode_frames=30, workers=1,
        progress=False,
    )  # fmt: skip
    store = FrameStore.open(tmp_path / "frames")
    envs = imagined_lanes(str(agent_world_dir), 3, horizon=4, recording=tmp_path / "frames")
    rows = set()
    for seed in range(40):
        frames, infos = envs.reset(seed=seed)
        assert isinstance(frames, torch.Tensor)
        for lane in range(3):
            context = np.asarray(infos["context"][lane])
            assert np.array_equal(context[-1], frames[lane].numpy())
            (last,) = np.flatnonzero((store.frames == context[-1]).all((1, 2, 3)))[:1]
            assert np.array_equal(store.frames[last - len(context) + 1 : last + 1], context), "of one episode, in order"
            assert last % 30 >= 6, "a whole context is before it"
            rows.add(int(last))
    assert {row % 30 for row in rows} >= {6, 29}, "from the first to the last that there is"
    config = PPOConfig(steps=24, rollout=4, **SMALL)
    agent = train_agent(
        tmp_path / "agent", world=str(agent_world_dir), recording=tmp_path / "frames", lanes=3, horizon=4,
        config=config, show=False,
    )  # fmt: skip
    result = evaluate(str(agent), "worldsim/BallsGoalSim-v0", episodes=2, show=False)
    assert len(result.returns) == 2


def test_a_recording_that_does_not_fit_is_refused(agent_world_dir: Path, tmp_path: Path) -> None:
    for name, size, frames in (("small", [32, 32], 30), ("short", [48, 48], 6)):
        record_store(
            "worldsim/BallsSim-v0", frames, tmp_path / name, env_kwargs={"size": size}, episode_frames=frames,
            workers=1, progress=False,
        )  # fmt: skip
    for name, message in (
        ("small", r"has frames of \(32, 32\)"),
        ("short", "the 7 frames that this World begins from"),
    ):
        with pytest.raises(ValueError, match=message):
            imagined_lanes(str(agent_world_dir), 1, horizon=4, recording=tmp_path / name)


def test_frames_that_are_too_small_are_refused(tiny_world_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="36 pixels or more"):
        train_agent(tmp_path, world=str(tiny_world_dir), lanes=2, show=False)


def test_flat_actions_do_what_their_elements_do(agent_world_dir: Path) -> None:
    push = np.random.default_rng(0).uniform(-1, 1, (2, 2)).astype(np.float32)
    shown = []
    for actions in (push, torch.from_numpy(push)):
        envs = gym.make_vec("worldsim/World-v0", num_envs=2, world=str(agent_world_dir))
        envs.reset(seed=0)
        shown.append(envs.step(actions)[0])
    assert np.array_equal(*shown)
    for actions, message in ((torch.zeros(2, 3), r"must be \(2, 2\)"), (torch.full((2, 2), 1.5), "leave the bounds")):
        with pytest.raises(ValueError, match=message):
            envs.step(actions)


def test_it_acts_through_a_wrapper_of_actions() -> None:
    envs = VectorDiscreteActions(gym.make_vec("worldsim/Blocks-v0", num_envs=2))
    lanes = Stepper(envs, 1, (80, 128), CPU)
    lanes.reset(seed=0)
    rewards, terminated = lanes.step(torch.eye(len(envs.names))[[1, 3]])
    assert rewards.shape == terminated.shape == (2,)
    assert envs.env.action_space.contains(envs.actions([1, 3]))


def test_the_lanes_must_reset_themselves() -> None:
    envs = gym.make_vec("Corridor-v0", num_envs=2, vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP})
    with pytest.raises(ValueError, match="NEXT_STEP"):
        Stepper(envs, 3, (36, 36), CPU)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give one of the two"),
        ({"env_id": "Corridor-v0", "world": "blocks"}, "give one of the two"),
        ({"env_id": "Corridor-v0", "lanes": 0}, "at least 1"),
        ({"env_id": "CartPole-v1"}, "image observations"),
        ({"world": "nowhere"}, "there is no World 'nowhere'"),
        ({"world": "blocks", "env_kwargs": {"size": 3}}, "leave out env_kwargs"),
        ({"env_id": "Corridor-v0", "recording": Path("x")}, "a recording is for episodes of a World"),
    ],
)
def test_what_cannot_be_learned_in_is_said(given: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        train_agent(tmp_path, show=False, **given)


def test_it_multiplies_in_bfloat16_where_that_is_asked_for() -> None:
    agent = ActorCritic(ActorCriticConfig.of_env(gym.make("Corridor-v0"), stack=2, **SMALL))
    frames = torch.randint(0, 256, (3, 36, 36, 2, 3), dtype=torch.uint8)
    exact = agent(frames)
    agent.dtype = torch.bfloat16
    mixed = agent(frames)
    for one, other in zip(exact, mixed, strict=True):
        assert other.dtype == torch.float32
        assert not torch.equal(one, other)
        assert torch.allclose(one, other, atol=0.05)
    (mixed[0].square().sum() + mixed[1].sum()).backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in agent.parameters())


def test_curves_are_written_for_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = PPOConfig(steps=512, stack=1, **SMALL)
    train_agent(tmp_path, env_id="Corridor-v0", lanes=16, config=config, tensorboard=True, show=False)
    curves = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {"policy_loss", "value_loss", "entropy", "divergence", "clipped", "return"} <= set(curves.Tags()["scalars"])
    assert [point.step for point in curves.Scalars("divergence")] == [256, 512]
    assert all(point.value >= 0 for point in curves.Scalars("divergence"))


def test_an_agent_is_kept_in_a_file(tmp_path: Path) -> None:
    env = gym.make("Corridor-v0")
    agent = ActorCritic(ActorCriticConfig.of_env(env, stack=2, **SMALL))
    agent.save(tmp_path / "agent.safetensors")
    loaded = ActorCritic.load(tmp_path / "agent.safetensors")
    frames = torch.randint(0, 256, (3, 36, 36, 2, 3), dtype=torch.uint8)
    for ours, theirs in zip(agent(frames), loaded(frames), strict=True):
        assert torch.equal(ours, theirs)
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="damaged"):
        ActorCritic.load(tmp_path / "broken.safetensors")
    other = {"action": {"kind": "discrete", "n": 3, "start": 0}}
    ActorCritic(agent.config.model_copy(update=other)).save(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="is for frames of"):
        evaluate(str(tmp_path / "other.safetensors"), "Corridor-v0", episodes=1, show=False)


def test_an_agent_of_an_unbounded_box_comes_back_from_its_file(tmp_path: Path) -> None:
    space = space_to_json(spaces.Box(-np.inf, np.inf, (2,), np.float32))
    agent = ActorCritic(ActorCriticConfig(size=(48, 48), action=space, **SMALL))
    agent.save(tmp_path / "agent.safetensors")
    assert ActorCritic.load(tmp_path / "agent.safetensors").config == agent.config


def test_large_frames_are_seen_at_half_their_size() -> None:
    action = space_to_json(spaces.Discrete(3))
    large = FrameStack(2, 3, (144, 144))
    agent = ActorCritic(ActorCriticConfig(size=(144, 144), action=action, **SMALL))
    small = FrameStack(2, 3, (72, 72))
    frames = torch.randint(0, 256, (4, 2, 72, 72, 3), dtype=torch.uint8)
    for frame in frames[:-1]:
        large.push(frame.repeat_interleave(2, 1).repeat_interleave(2, 2))
        small.push(frame)
    context = frames[:, 1]
    large.begin(1, context[-1], context.repeat_interleave(2, 1).repeat_interleave(2, 2))
    small.begin(1, context[-1], context)
    assert torch.equal(large.frames, small.frames)
    assert agent(large.frames)[0].shape == (2, 3)
    mean = halved(torch.tensor([0, 80, 240, 0], dtype=torch.uint8).view(2, 2, 1).repeat(64, 65, 3)[:, :129])
    assert mean.shape == (64, 64, 3)  # of a column that is left over nothing is seen
    assert (mean == 80).all()

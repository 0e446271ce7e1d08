"""Libraries of others take the environments as they are: Stable-Baselines3, TorchRL, Minari, Gymnasium's wrappers."""

from __future__ import annotations

import runpy
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.wrappers import vector as vector_wrappers
from stable_baselines3 import PPO

import worldsim  # noqa: F401 - registers the environments
from worldsim.envs import SB3VecEnv, VectorDiscreteActions


def lanes(world: Path, count: int = 2, **kwargs: Any) -> gym.vector.VectorEnv:
    return gym.make_vec("worldsim/World-v0", num_envs=count, world=str(world), **{"max_episode_steps": 5, **kwargs})


def test_stable_baselines3_learns_in_lanes_of_a_world(agent_world_dir: Path) -> None:
    envs = SB3VecEnv(lanes(agent_world_dir, autoreset_mode="SameStep"))
    model = PPO("CnnPolicy", envs, n_steps=8, batch_size=16, n_epochs=1, seed=0).learn(16)
    assert model.num_timesteps == 16
    assert len(model.ep_info_buffer) == 0  # no Monitor is around it
    envs.close()


def test_lanes_say_how_an_episode_ended_as_stable_baselines3_wants_it(agent_world_dir: Path) -> None:
    envs = SB3VecEnv(lanes(agent_world_dir, autoreset_mode="SameStep", max_episode_steps=2, render_mode="rgb_array"))
    envs.seed(3)
    first = envs.reset()
    assert first.shape == (2, 48, 48, 3)
    assert "context" in envs.reset_infos[1]
    push = np.zeros((2, 2), np.float32)
    frames, rewards, over, infos = envs.step(push)
    assert not over.any()
    assert rewards.dtype == np.float32
    frames, _, over, infos = envs.step(push)
    assert over.all()
    for lane, info in enumerate(infos):
        assert info["TimeLimit.truncated"] is True
        assert info["terminal_observation"].shape == (48, 48, 3)
        assert not np.array_equal(info["terminal_observation"], frames[lane])
    assert len(envs.get_images()) == 2
    assert envs.get_attr("num_envs", [0]) == [2]
    envs.seed(3)
    assert np.array_equal(envs.reset(), first)
    with pytest.raises(ValueError, match="all of them are one environment"):
        envs.env_method("snapshot", indices=[0])


def test_stable_baselines3_is_told_which_autoreset_it_needs(agent_world_dir: Path) -> None:
    with pytest.raises(ValueError, match="SameStep"):
        SB3VecEnv(lanes(agent_world_dir))


def test_stable_baselines3_learns_in_named_actions_of_the_block_world(tiny_world_dir: Path) -> None:
    with pytest.raises(TypeError, match="action space"):
        SB3VecEnv(VectorDiscreteActions(lanes(tiny_world_dir, autoreset_mode="SameStep")))
    envs = gym.make_vec("worldsim/Blocks-v0", num_envs=2, autoreset_mode="SameStep", max_episode_steps=3)
    named = SB3VecEnv(VectorDiscreteActions(envs))
    named.reset()
    for _ in range(3):
        frames, _, over, _ = named.step(np.array([1, 2]))
    assert over.all()
    assert frames.shape == (2, 80, 128, 3)


def test_stable_baselines3_takes_a_single_world(agent_world_dir: Path) -> None:
    env = gym.make("worldsim/World-v0", world=str(agent_world_dir), max_episode_steps=5)
    model = PPO("CnnPolicy", env, n_steps=8, batch_size=8, n_epochs=1, seed=0).learn(8)
    assert model.ep_info_buffer[0]["l"] == 5


@pytest.mark.filterwarnings("ignore")  # of the package's, which is older than what is installed beside it
def test_cleanrl_learns_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the demo's own file: what its docstring asks for is not in an extra, as no extra could ask for it."""
    for needed in ("cleanrl", "tensorboard"):
        pytest.importorskip(needed, reason="see demos/learn_with_cleanrl.py")
    demo = Path(__file__).parents[2] / "demos" / "learn_with_cleanrl.py"
    few = ["--num-envs", "1", "--num-steps", "32", "--total-timesteps", "32", "--num-minibatches", "2"]
    monkeypatch.setattr(sys, "argv", [str(demo), *few])
    monkeypatch.setattr(wrappers, "TransformObservation", wrappers.TransformObservation)  # put back afterwards
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(demo), run_name="__main__")
    assert list(tmp_path.glob("runs/**/events.out.*"))


def test_torchrl_collects_from_it(agent_world_dir: Path) -> None:
    from torchrl.envs import GymEnv

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchRL about itself
        env = GymEnv("worldsim/World-v0", world=str(agent_world_dir), max_episode_steps=5)
        rollout = env.rollout(8, break_when_any_done=False)
    assert rollout["pixels" if "pixels" in rollout.keys() else "observation"].shape == (8, 48, 48, 3)  # noqa: SIM118
    assert rollout["next", "truncated"].squeeze(-1).tolist()[:5] == [False] * 4 + [True]


def test_minari_records_it(agent_world_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import minari

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env = minari.DataCollector(gym.make("worldsim/World-v0", world=str(agent_world_dir), max_episode_steps=5))
    for seed in range(2):
        env.reset(seed=seed)
        truncated = False
        while not truncated:
            _, _, _, truncated, _ = env.step(env.action_space.sample())
    dataset = env.create_dataset(dataset_id="worldsim/test-v0", algorithm_name="random", code_permalink="none")
    assert (dataset.total_episodes, dataset.total_steps) == (2, 10)
    assert next(dataset.iterate_episodes()).observations.shape == (6, 48, 48, 3)


def test_gymnasiums_wrappers_apply(agent_world_dir: Path, tmp_path: Path) -> None:
    env = gym.make("worldsim/World-v0", world=str(agent_world_dir), max_episode_steps=5, render_mode="rgb_array")
    env = wrappers.RecordVideo(wrappers.RecordEpisodeStatistics(wrappers.TimeLimit(env, 4)), str(tmp_path / "films"))
    seen = wrappers.FrameStackObservation(wrappers.GrayscaleObservation(env), 3)
    frame, _ = seen.reset(seed=0)
    assert frame.shape == (3, 48, 48)
    for _ in range(4):
        frame, _, _, truncated, info = seen.step(seen.action_space.sample())
    assert truncated
    assert info["episode"]["l"] == 4
    seen.close()
    assert list(tmp_path.glob("films/*.mp4"))


def test_gymnasiums_vector_wrappers_apply(agent_world_dir: Path) -> None:
    envs = vector_wrappers.NormalizeReward(vector_wrappers.RecordEpisodeStatistics(lanes(agent_world_dir)))
    seen = vector_wrappers.GrayscaleObservation(envs)
    frames, _ = seen.reset(seed=0)
    assert frames.shape == (2, 48, 48)
    for _ in range(5):
        *_, truncations, infos = seen.step(seen.action_space.sample())
    assert truncations.all()
    assert infos["episode"]["l"].tolist() == [5, 5]

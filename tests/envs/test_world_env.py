"""A learned World as a Gymnasium environment: what it promises, tried on a small World with random weights."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.utils.env_checker import check_env
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import worldsim
from worldsim.envs import WorldEnv, WorldVectorEnv


@pytest.fixture
def env(tiny_world_dir: Path) -> WorldEnv:
    return WorldEnv(str(tiny_world_dir), device="cpu")


def sample_actions(env: WorldEnv, count: int, seed: int = 0) -> list[Any]:
    env.action_space.seed(seed)
    return [env.action_space.sample() for _ in range(count)]


def walk(env: WorldEnv, actions: list[Any]) -> np.ndarray:
    """The frames that the actions lead to, (len(actions), H, W, 3)."""
    return np.stack([env.step(action)[0] for action in actions])


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.filterwarnings("ignore:.*symmetric and normalized")
@pytest.mark.parametrize(
    "env_id", ["worldsim/World-v0", "worldsim/Blocks-v0", "worldsim/BlocksSim-v0", "worldsim/BallsSim-v0"]
)
def test_gymnasiums_checker_passes(env_id: str, tiny_world_dir: Path) -> None:
    kwargs = {"world": str(tiny_world_dir), "device": "cpu"} if env_id == "worldsim/World-v0" else {}
    check_env(gym.make(env_id, **kwargs).unwrapped)


def test_spaces_and_rate_are_those_of_the_world(env: WorldEnv, tiny_world_dir: Path) -> None:
    spec = worldsim.load(str(tiny_world_dir)).spec
    assert env.observation_space == gym.spaces.Box(0, 255, (*spec.size, 3), np.uint8)
    assert env.action_space == spec.action_space
    assert env.metadata["render_fps"] == spec.fps
    assert WorldEnv.metadata is not env.metadata


def test_step_returns_python_values(env: WorldEnv) -> None:
    env.reset(seed=0)
    frame, reward, terminated, truncated, info = env.step(env.action_space.sample())
    assert frame in env.observation_space
    assert [type(reward), type(terminated), type(truncated), info] == [float, bool, bool, {}]


def test_same_seed_and_actions_give_the_same_frames(env: WorldEnv) -> None:
    actions = sample_actions(env, 4)
    env.reset(seed=3)
    first = walk(env, actions)
    later, _ = env.reset()
    env.reset(seed=3)
    assert (walk(env, actions) == first).all()
    assert (env.reset()[0] == later).all(), "the second episode too is decided by the first one's seed"
    env.reset(seed=4)
    assert (walk(env, actions) != first).any()


def test_actions_matter(env: WorldEnv) -> None:
    still, busy = sample_actions(env, 2, seed=1)
    env.reset(seed=0)
    one = walk(env, [still, still])
    env.reset(seed=0)
    assert (walk(env, [still, busy])[1] != one[1]).any()


def test_info_of_reset_holds_the_start_context(env: WorldEnv) -> None:
    frame, info = env.reset(seed=0)
    assert info["context"].dtype == np.uint8
    assert info["context"].shape[1:] == frame.shape
    assert (info["context"][-1] == frame).all()
    assert "prompt" not in info


def test_returned_frames_stay_as_they_are(env: WorldEnv) -> None:
    frame, info = env.reset(seed=0)
    before, context = frame.copy(), info["context"].copy()
    walk(env, sample_actions(env, 2))
    assert (frame == before).all()
    assert (info["context"] == context).all()


def test_context_of_the_caller_is_where_the_episode_starts(env: WorldEnv) -> None:
    height, width, _ = env.observation_space.shape
    context = noise(4, height, width, 3)
    actions = sample_actions(env, 3)
    flat = np.stack([gym.spaces.flatten(env.action_space, action) for action in actions]).astype(np.float32)
    starts = []
    for given_actions in (actions, flat, torch.as_tensor(flat)):
        frame, info = env.reset(seed=0, options={"context": context, "actions": given_actions})
        assert info["context"].shape == context.shape
        starts.append((frame, *walk(env, actions)))
    for other in starts[1:]:
        assert all((a == b).all() for a, b in zip(starts[0], other, strict=True))
    frame, _ = env.reset(seed=0, options={"context": noise(4, height, width, 3, seed=1), "actions": actions})
    assert (frame != starts[0][0]).any()


def test_context_of_one_frame_needs_no_actions(env: WorldEnv) -> None:
    height, width, _ = env.observation_space.shape
    _, info = env.reset(seed=0, options={"context": noise(1, height, width, 3)})
    assert len(info["context"]) == 1
    _, info = env.reset(seed=0, options={"context": noise(1, height, width, 3), "actions": []})
    assert len(info["context"]) == 1


def test_prompt_of_the_constructor_and_of_reset(tiny_world_dir: Path) -> None:
    env = WorldEnv(str(tiny_world_dir), device="cpu", prompt="a meadow")
    first, info = env.reset(seed=0)
    assert info["prompt"] == "a meadow"
    other, info = env.reset(seed=0, options={"prompt": "a desert at night"})
    assert info["prompt"] == "a desert at night"
    assert (first != other).any()
    again, info = env.reset(seed=0)
    assert info["prompt"] == "a meadow", "what the options say is for one episode"
    assert (again == first).all()


def test_image_as_file_and_as_array_start_the_same_episode(tiny_world_dir: Path, tmp_path: Path) -> None:
    picture = noise(60, 100, 3)
    Image.fromarray(picture).save(tmp_path / "start.png")
    frames = []
    for image in (str(tmp_path / "start.png"), picture):
        frame, info = WorldEnv(str(tiny_world_dir), device="cpu", image=image).reset(seed=0)
        assert len(info["context"]) == 1
        frames.append(frame)
    assert (frames[0] == frames[1]).all()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.integers(0, 5), away=st.integers(0, 4), after=st.integers(1, 3), seed=st.integers(0, 99))
def test_restore_brings_back_the_exact_future(env: WorldEnv, before: int, away: int, after: int, seed: int) -> None:
    actions = sample_actions(env, before + away + after, seed)
    env.reset(seed=seed)
    for action in actions[:before]:
        env.step(action)
    snapshot = env.snapshot()
    present = env._frame()
    expected = walk(env, actions[-after:])
    next_start, _ = env.reset()
    for _ in range(2):  # a snapshot can be used more than once
        env.reset(seed=seed + 1)
        for action in actions[before : before + away]:
            env.step(action)
        assert (env.restore(snapshot) == present).all()
        assert (walk(env, actions[-after:]) == expected).all()
        assert (env.reset()[0] == next_start).all(), "the generator of later episodes is part of the state"


def test_branches_start_here_and_go_their_own_ways(env: WorldEnv) -> None:
    env.reset(seed=0)
    actions = sample_actions(env, 4)
    walk(env, actions[:2])
    snapshot = env.snapshot()
    branches = env.branch(2)
    assert isinstance(branches, WorldVectorEnv)
    batch = gym.vector.utils.concatenate(
        branches.single_action_space,
        [actions[2], actions[3]],
        gym.vector.utils.create_empty_array(branches.single_action_space, 2),
    )
    frames = branches.step(batch)[0]
    assert (env._frame() == env.restore(snapshot)).all(), "stepping the branches leaves the trunk where it is"
    for lane in (0, 1):
        env.restore(snapshot)
        assert (env.step(actions[2 + lane])[0] == frames[lane]).all()


def test_pickle_and_deepcopy_make_the_same_environment(env: WorldEnv) -> None:
    first, _ = env.reset(seed=5)
    for other in (pickle.loads(pickle.dumps(env)), copy.deepcopy(env)):
        assert (other.reset(seed=5)[0] == first).all()
        assert other.render_mode == env.render_mode


def test_torch_output_stays_a_tensor(tiny_world_dir: Path, env: WorldEnv) -> None:
    tensors = WorldEnv(str(tiny_world_dir), device="cpu", output="torch")
    frame, info = tensors.reset(seed=0)
    assert isinstance(info["context"], torch.Tensor)
    action = tensors.action_space.sample()
    later = tensors.step(action)[0]
    assert later.dtype == torch.uint8
    assert (frame.numpy() == env.reset(seed=0)[0]).all()
    assert (later.numpy() == env.step(action)[0]).all()


def test_other_size_and_steps(tiny_world_dir: Path) -> None:
    env = WorldEnv(str(tiny_world_dir), device="cpu", size=[48, 64], steps=1)
    assert env.reset(seed=0)[0].shape == (48, 64, 3)
    assert env.step(env.action_space.sample())[0].shape == (48, 64, 3)


def test_render_gives_the_present_frame(tiny_world_dir: Path, env: WorldEnv) -> None:
    drawn = WorldEnv(str(tiny_world_dir), device="cpu", render_mode="rgb_array")
    drawn.reset(seed=0)
    frame = drawn.step(drawn.action_space.sample())[0]
    assert (drawn.render() == frame).all()
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="rgb_array"):
        assert env.render() is None


def test_time_limit_truncates(tiny_world_dir: Path) -> None:
    env = gym.make("worldsim/World-v0", world=str(tiny_world_dir), device="cpu", max_episode_steps=3)
    env.reset(seed=0)
    assert [env.step(env.action_space.sample())[3] for _ in range(3)] == [False, False, True]


def test_the_end_head_terminates(ending_world_dir: Path) -> None:
    env = WorldEnv(str(ending_world_dir), device="cpu")
    env.reset(seed=0)
    _, _, terminated, truncated, _ = env.step(env.action_space.sample())
    assert terminated is True
    assert truncated is False


def test_closing_twice_is_fine_and_using_it_afterwards_is_not(env: WorldEnv) -> None:
    env.reset(seed=0)
    env.close()
    env.close()
    for use in (env.reset, env.snapshot, lambda: env.step(env.action_space.sample())):
        with pytest.raises(ClosedEnvironmentError, match="closed: make a new one"):
            use()


def test_step_before_reset_says_so(env: WorldEnv) -> None:
    with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
        env.step(env.action_space.sample())


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"size": (80, 100)}, "multiples of 16, got"),
        ({"render_mode": "human"}, "render_mode must be None or 'rgb_array'.*got 'human'"),
        ({"output": "jax"}, "output must be 'numpy' or 'torch', got 'jax'"),
        ({"device": "tpu"}, "tpu"),
        ({"dtype": "float12"}, "float12"),
        ({"steps": 0}, "steps"),
        ({"prompt": "a hut", "image": "hut.png"}, "prompt=, from image= or from recording=: give one"),
        ({"image": np.zeros((8, 8), np.uint8)}, r"image must be a file or a uint8 array .*got uint8 \(8, 8\)"),
    ],
)
def test_constructor_names_what_does_not_fit(tiny_world_dir: Path, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WorldEnv(str(tiny_world_dir), **{"device": "cpu"} | kwargs).reset()


def test_unknown_world_lists_those_there_are() -> None:
    from worldsim.world import UnknownWorldError, available_worlds

    with pytest.raises(UnknownWorldError, match="atlantis") as error:
        WorldEnv("atlantis")
    assert all(name in str(error.value) for name in available_worlds())


def test_missing_image_is_named(tiny_world_dir: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png"):
        WorldEnv(str(tiny_world_dir), image="nowhere.png")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "a hut", "context": noise(1, 32, 48, 3)}, "from a prompt or from a context, not from both"),
        ({"context": noise(3, 32, 48, 3)}, "a context of 3 frames needs the 2 actions between them"),
        (
            {"contexts": 1},
            r"unknown reset options \['contexts'\]; a learned World takes 'context', 'actions' and 'prompt'",
        ),
        ({"prompt": 3}, r"options\['prompt'\] must be a text, got 3"),
        ({"prompt": ["a", "b"]}, r"options\['prompt'\] must be a text, got \['a', 'b'\]"),
        (
            {"actions": []},
            r"options\['actions'\] are those between the frames of options\['context'\], which is missing",
        ),
        ({"context": [[0]]}, r"must be uint8 frames of shape \(T, \d+, \d+, 3\), got a list"),
        ({"context": noise(2, 8, 8, 3)}, r"got uint8 \(2, 8, 8, 3\)"),
        ({"context": np.zeros((2, 32, 48, 3), np.float32)}, r"got float32 \(2, 32, 48, 3\)"),
        ({"context": np.zeros((0, 32, 48, 3), np.uint8)}, r"got uint8 \(0, 32, 48, 3\)"),
        ({"context": noise(3, 32, 48, 3), "actions": [0]}, r"a list of 2 actions, .* the 3 frames .*; got 1"),
        ({"context": noise(2, 32, 48, 3), "actions": {"forward": 1}}, "got a dict"),
        ({"context": noise(2, 32, 48, 3), "actions": [7]}, "action 7 is outside the action space"),
        ({"context": noise(2, 32, 48, 3), "actions": np.full((1, 4), 99.0)}, "leaves the bounds"),
    ],
)
def test_reset_names_the_option_that_does_not_fit(env: WorldEnv, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        env.reset(seed=0, options=options)


def test_action_outside_the_space_is_refused_and_nothing_moves(env: WorldEnv) -> None:
    frame, _ = env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action 'jump' is outside the action space Dict\("):
        env.step("jump")
    assert (env._frame() == frame).all()

"""Many lanes of a learned World: the same as as many single environments, in every autoreset mode."""

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
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import iterate

from worldsim.envs import WorldEnv, WorldVectorEnv
from worldsim.envs.vector_checker import check_vector_env
from worldsim.model.tokenizer import Tokenizer

LANES = 3
MODES = list(AutoresetMode)


def make(world: Path, **kwargs: Any) -> WorldVectorEnv:
    return WorldVectorEnv(LANES, str(world), **{"device": "cpu", **kwargs})


def sample_actions(envs: gym.vector.VectorEnv, count: int, seed: int = 0) -> list[Any]:
    envs.action_space.seed(seed)
    return [envs.action_space.sample() for _ in range(count)]


def test_make_vec_gives_the_native_class_with_the_registered_limit(tiny_world_dir: Path) -> None:
    envs = gym.make_vec("worldsim/World-v0", num_envs=2, world=str(tiny_world_dir), device="cpu")
    assert type(envs) is WorldVectorEnv
    assert envs.num_envs == 2
    assert envs.max_episode_steps == gym.spec("worldsim/World-v0").max_episode_steps
    assert envs.metadata["autoreset_mode"] is envs.autoreset_mode is AutoresetMode.NEXT_STEP
    assert "autoreset_mode" not in WorldVectorEnv.metadata
    frames, _ = envs.reset(seed=0)
    assert frames in envs.observation_space


def test_autoreset_mode_may_be_given_by_its_value(tiny_world_dir: Path) -> None:
    envs = gym.make_vec(
        "worldsim/World-v0", num_envs=2, world=str(tiny_world_dir), device="cpu", autoreset_mode="SameStep"
    )
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


@pytest.mark.parametrize("mode", MODES)
def test_lanes_equal_single_environments(tiny_world_dir: Path, mode: AutoresetMode) -> None:
    """Bit for bit what Gymnasium makes of as many single environments: frames, ends, infos, episode after episode."""

    def single() -> gym.Env:
        env = WorldEnv(str(tiny_world_dir), device="cpu", prompt="a meadow")
        return gym.wrappers.TimeLimit(env, 3)

    apart = SyncVectorEnv([single] * LANES, autoreset_mode=mode)
    together = make(tiny_world_dir, prompt="a meadow", max_episode_steps=3, autoreset_mode=mode)
    assert data_equivalence(apart.reset(seed=11), together.reset(seed=11), exact=True)
    for action in sample_actions(together, 8):
        expected, actual = apart.step(action), together.step(action)
        assert data_equivalence(expected, actual, exact=True)
        done = actual[2] | actual[3]
        if mode == AutoresetMode.DISABLED and done.any():
            options = [{"reset_mask": done.copy()} for _ in range(2)]  # Gymnasium removes the mask from its own
            assert data_equivalence(apart.reset(options=options[0]), together.reset(options=options[1]), exact=True)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_lanes_that_end_at_different_times_equal_single_environments(tiny_world_dir: Path, mode: AutoresetMode) -> None:
    apart = SyncVectorEnv(
        [lambda: gym.wrappers.TimeLimit(WorldEnv(str(tiny_world_dir), device="cpu"), 3)] * LANES, autoreset_mode=mode
    )
    together = make(tiny_world_dir, max_episode_steps=3, autoreset_mode=mode)
    both = (apart, together)
    first, *others = sample_actions(together, 6)
    for envs in both:
        envs.reset(seed=1)
        envs.step(first)
    masks = [{"reset_mask": np.array([True, False, False])} for _ in both]
    results = [envs.reset(seed=[7, None, None], options=mask) for envs, mask in zip(both, masks, strict=True)]
    assert data_equivalence(*results, exact=True)
    for action in others:
        expected, actual = (envs.step(action) for envs in both)
        assert data_equivalence(expected, actual, exact=True)


@pytest.mark.parametrize("mode", MODES)
def test_our_checker_passes(tiny_world_dir: Path, mode: AutoresetMode) -> None:
    check_vector_env(make(tiny_world_dir, max_episode_steps=4, autoreset_mode=mode), steps=10)


def test_a_lane_does_not_notice_how_many_others_there_are(tiny_world_dir: Path) -> None:
    few, many = (WorldVectorEnv(n, str(tiny_world_dir), device="cpu") for n in (1, 8))
    few.reset(seed=[5])
    many.reset(seed=[0, 1, 2, 3, 4, 5, 6, 7])
    for actions in sample_actions(many, 3):
        mine = list(iterate(many.action_space, actions))[5]
        alone = gym.vector.utils.concatenate(
            few.single_action_space, [mine], gym.vector.utils.create_empty_array(few.single_action_space, 1)
        )
        assert (many.step(actions)[0][5] == few.step(alone)[0][0]).all()


def test_next_step_resets_on_the_step_after_the_end(tiny_world_dir: Path) -> None:
    envs = make(tiny_world_dir, max_episode_steps=2)
    envs.reset(seed=0)
    first, last, after, again = sample_actions(envs, 4)
    assert not envs.step(first)[3].any()
    frames, _, terminations, truncations, infos = envs.step(last)
    assert truncations.all()
    assert not terminations.any()
    assert "context" not in infos
    frames, rewards, terminations, truncations, infos = envs.step(after)
    assert not (truncations | terminations).any()
    assert not rewards.any()
    assert infos["_context"].all()
    assert (infos["context"][:, -1] == frames).all()
    assert not envs.step(again)[3].any()


def test_same_step_shows_how_the_episode_ended(tiny_world_dir: Path) -> None:
    same, apart = make(tiny_world_dir, max_episode_steps=2, autoreset_mode="SameStep"), make(tiny_world_dir)
    first, last = sample_actions(same, 2)
    for envs in (same, apart):
        envs.reset(seed=0)
        envs.step(first)
    frames, _, _, truncations, infos = same.step(last)
    ends = apart.step(last)[0]
    assert truncations.all()
    assert infos["_final_obs"].all()
    assert infos["final_obs"].dtype == object
    assert all((infos["final_obs"][lane] == ends[lane]).all() for lane in range(LANES))
    assert (infos["context"][:, -1] == frames).all()


def test_disabled_waits_for_the_caller(tiny_world_dir: Path) -> None:
    envs = make(tiny_world_dir, max_episode_steps=2, autoreset_mode=AutoresetMode.DISABLED)
    envs.reset(seed=0)
    first, second, third = sample_actions(envs, 3)
    envs.step(first)
    envs.reset(options={"reset_mask": np.array([True, False, False])})
    frames, _, _, truncations, _ = envs.step(second)
    assert truncations.tolist() == [False, True, True]
    with pytest.raises(ValueError, match=r"the episodes of lanes \[1, 2\] are over and autoreset is disabled"):
        envs.step(third)
    options = {"reset_mask": truncations}
    later, infos = envs.reset(options=options)
    assert list(options) == ["reset_mask"], "the caller's options are left alone"
    assert (later[0] == frames[0]).all()
    assert infos["_context"].tolist() == [False, True, True]
    assert envs.step(third)[3].tolist() == [True, False, False]


def test_the_end_head_terminates(ending_world_dir: Path) -> None:
    envs = make(ending_world_dir, autoreset_mode="SameStep")
    envs.reset(seed=0)
    for actions in sample_actions(envs, 2):
        _, _, terminations, truncations, _ = envs.step(actions)
        assert terminations.all()
        assert not truncations.any()


def test_seeds_by_number_by_list_and_continued(tiny_world_dir: Path) -> None:
    envs = make(tiny_world_dir, prompt="a hut")  # each start is made from its own noise
    by_number, _ = envs.reset(seed=4)
    second, _ = envs.reset()
    by_list, _ = envs.reset(seed=[4, 5, 6])
    assert (by_number == by_list).all()
    mixed, _ = envs.reset(seed=[None, 5, None])
    assert (mixed[0] == second[0]).all(), "None continues the generator of the lane"
    assert (mixed[1] == by_list[1]).all()
    assert len({frame.tobytes() for frame in by_number}) == LANES


def test_each_lane_may_have_its_own_start(tiny_world_dir: Path) -> None:
    rng = np.random.default_rng(0)
    contexts = rng.integers(0, 256, (LANES, 2, 32, 48, 3), np.uint8)
    actions = rng.uniform(0, 1, (LANES, 1, 4)).astype(np.float32)
    envs, alone = make(tiny_world_dir), WorldEnv(str(tiny_world_dir), device="cpu")
    frames, infos = envs.reset(seed=3, options={"context": contexts, "actions": actions})
    assert (infos["context"][:, -1] == frames).all()
    for lane in range(LANES):
        options = {"context": contexts[lane], "actions": actions[lane]}
        assert (alone.reset(seed=3 + lane, options=options)[0] == frames[lane]).all()
    shared, _ = envs.reset(seed=[3, 3, 3], options={"context": contexts[0], "actions": actions[0]})
    assert (shared[0] == shared[2]).all()


def test_a_reset_mask_picks_the_starts_of_its_lanes(tiny_world_dir: Path) -> None:
    envs, alone = make(tiny_world_dir), WorldEnv(str(tiny_world_dir), device="cpu")
    before, _ = envs.reset(seed=0)
    mask = np.array([False, True, False])
    frames, infos = envs.reset(seed=3, options={"prompt": ["sand", "snow", "sea"], "reset_mask": mask})
    assert (frames[[0, 2]] == before[[0, 2]]).all()
    assert infos["prompt"].tolist() == [None, "snow", None]
    assert infos["_prompt"].tolist() == mask.tolist()
    assert (alone.reset(seed=4, options={"prompt": "snow"})[0] == frames[1]).all()
    contexts = np.random.default_rng(0).integers(0, 256, (LANES, 1, 32, 48, 3), np.uint8)
    frames, _ = envs.reset(seed=3, options={"context": contexts, "reset_mask": mask})
    assert (alone.reset(seed=4, options={"context": contexts[1]})[0] == frames[1]).all()


def test_a_reset_mask_seeds_and_decodes_its_lanes_only(tiny_world_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    decode = Tokenizer.decode_uint8

    def watched(tokenizer: Tokenizer, latents: torch.Tensor, moved: torch.Tensor | None = None) -> torch.Tensor:
        decoded.append(len(latents))
        return decode(tokenizer, latents, moved)

    monkeypatch.setattr(Tokenizer, "decode_uint8", watched)
    envs, untouched = (make(tiny_world_dir, prompt="a hut") for _ in range(2))  # each start is made from its own noise
    for one in (envs, untouched):
        one.reset(seed=0)
    decoded.clear()
    envs.reset(seed=9, options={"reset_mask": np.array([False, True, False])})
    assert decoded == [1]
    (frames, _), (expected, _) = envs.reset(), untouched.reset()
    assert (frames[[0, 2]] == expected[[0, 2]]).all()
    assert (frames[1] != expected[1]).any()


def test_restore_brings_back_frames_limits_and_generators(tiny_world_dir: Path) -> None:
    envs = make(tiny_world_dir, max_episode_steps=3)
    envs.reset(seed=0)
    first, *others = sample_actions(envs, 5)
    envs.step(first)
    snapshot = envs.snapshot()
    expected = [envs.step(actions) for actions in others]  # through an end and into the next episode
    envs.restore(snapshot)
    assert data_equivalence(expected, [envs.step(actions) for actions in others], exact=True)


def test_branch_repeats_every_lane(tiny_world_dir: Path) -> None:
    envs = make(tiny_world_dir)
    frames, _ = envs.reset(seed=0)
    branches = envs.branch(2)
    assert branches.num_envs == 2 * LANES
    assert (branches._frames() == frames.repeat(2, axis=0)).all()
    with pytest.raises(ValueError, match="at least 1, got 0"):
        envs.branch(0)


def test_branches_render_and_wait_as_their_lanes_do(tiny_world_dir: Path) -> None:
    envs = make(tiny_world_dir, render_mode="rgb_array", max_episode_steps=2)
    envs.reset(seed=0)
    first, second = sample_actions(envs, 2)
    envs.step(first)
    envs.reset(options={"reset_mask": np.array([True, False, False])})
    frames, *_ = envs.step(second)
    branches = envs.branch(2)
    pictures = branches.render()
    assert pictures is not None
    assert (np.stack(pictures) == frames.repeat(2, axis=0)).all()
    with pytest.raises(ValueError, match=r"the episodes of lanes \[2, 3, 4, 5\] are over"):
        branches.step(branches.action_space.sample())
    branches.reset(options={"reset_mask": np.array([False, False, True, True, True, True])})
    branches.step(branches.action_space.sample())


def test_pickle_and_deepcopy_make_the_same_environment(tiny_world_dir: Path) -> None:
    envs = make(tiny_world_dir, autoreset_mode="Disabled", max_episode_steps=9)
    first, _ = envs.reset(seed=5)
    for other in (pickle.loads(pickle.dumps(envs)), copy.deepcopy(envs)):
        assert (other.num_envs, other.max_episode_steps) == (LANES, 9)
        assert other.autoreset_mode is AutoresetMode.DISABLED
        assert (other.reset(seed=5)[0] == first).all()


def test_torch_output_is_tensors_throughout(tiny_world_dir: Path) -> None:
    envs = make(tiny_world_dir, output="torch", max_episode_steps=1, autoreset_mode="SameStep")
    envs.reset(seed=0)
    frames, rewards, terminations, truncations, infos = envs.step(envs.action_space.sample())
    kinds = [value.dtype for value in (frames, rewards, terminations, truncations)]
    assert kinds == [torch.uint8, torch.float32, torch.bool, torch.bool]
    assert isinstance(infos["final_obs"][0], torch.Tensor)


def test_render_gives_a_frame_a_lane(tiny_world_dir: Path) -> None:
    envs = make(tiny_world_dir, render_mode="rgb_array")
    frames, _ = envs.reset(seed=0)
    assert all((a == b).all() for a, b in zip(envs.render(), frames, strict=True))
    silent = make(tiny_world_dir)
    silent.reset(seed=0)
    with pytest.warns(UserWarning, match="rgb_array"):
        assert silent.render() is None


def test_closing_twice_is_fine_and_using_it_afterwards_is_not(tiny_world_dir: Path) -> None:
    envs = make(tiny_world_dir)
    envs.reset(seed=0)
    envs.close()
    envs.close()
    for use in (envs.reset, envs.snapshot, lambda: envs.step(envs.action_space.sample())):
        with pytest.raises(ClosedEnvironmentError, match="closed: make a new one"):
            use()


def test_stepping_or_resetting_some_lanes_needs_a_first_reset(tiny_world_dir: Path) -> None:
    envs = make(tiny_world_dir)
    for use in (
        lambda: envs.step(envs.action_space.sample()),
        lambda: envs.reset(options={"reset_mask": np.array([True, False, True])}),
    ):
        with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
            use()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (
            {"autoreset_mode": "sometimes"},
            r"an AutoresetMode or one of \['NextStep', 'SameStep', 'Disabled'\], got 'sometimes'",
        ),
        ({"max_episode_steps": 0}, "max_episode_steps must be at least 1, or None for no limit, got 0"),
        ({"render_mode": "human"}, "got 'human'"),
    ],
)
def test_constructor_names_what_does_not_fit(tiny_world_dir: Path, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(tiny_world_dir, **kwargs)
    with pytest.raises(ValueError, match="num_envs must be at least 1, got 0"):
        WorldVectorEnv(0, str(tiny_world_dir))


@pytest.mark.parametrize(
    ("seed", "options", "message"),
    [
        ([1, 2], {}, "seed must be an int or a list of 3 seeds, one a lane, got 2"),
        (0, {"reset_mask": [True, False, False]}, r"must be a bool array \(3,\) .*got a list"),
        (0, {"reset_mask": np.ones(2, np.bool_)}, r"got bool \(2,\)"),
        (0, {"reset_mask": np.ones(3, np.int64)}, r"got int64 \(3,\)"),
        (0, {"reset_mask": np.zeros(3, np.bool_)}, "got no True"),
        (0, {"prompt": ["a", "b"]}, r"must be a text or a list of 3 texts, got \['a', 'b'\]"),
        (0, {"context": np.zeros((2, 2, 32, 48, 3), np.uint8)}, r"\(T, 32, 48, 3\) or \(3, T, 32, 48, 3\), got uint8"),
        (
            0,
            {"context": np.zeros((3, 2, 32, 48, 3), np.uint8), "actions": [[]]},
            r"options\['actions'\] must hold one list for each of 3 lanes, got 1",
        ),
    ],
)
def test_reset_names_what_does_not_fit(tiny_world_dir: Path, seed: Any, options: dict[str, Any], message: str) -> None:
    envs = make(tiny_world_dir)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        envs.reset(seed=seed, options=options)


def test_actions_outside_the_space_are_refused(tiny_world_dir: Path) -> None:
    envs = make(tiny_world_dir)
    envs.reset(seed=0)
    too_few = WorldVectorEnv(2, str(tiny_world_dir), device="cpu").action_space.sample()
    with pytest.raises(ValueError, match=r"are not in the action space Dict\("):
        envs.step(too_few)

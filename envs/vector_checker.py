"""Does a vector environment keep Gymnasium's promises? `gymnasium.utils.env_checker.check_env` refuses to look at one.

The checks use the public interface alone, so they serve any `gymnasium.vector.VectorEnv`, not just ours.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, iterate


def check_vector_env(envs: VectorEnv, *, steps: int = 50, seed: int = 0) -> None:
    """Reset and step `envs` and raise AssertionError, with a sentence, at the first promise that it breaks.

    Checked are the spaces and the metadata; what reset and step return; that seeds decide everything and an int seed
    stands for seed + i in lane i; that lanes do not touch each other; that returned arrays are not reused; the masks
    of the infos; and, as far as episodes end within `steps` random steps, the autoreset mode that the metadata name.

    Args:
        envs: The environment; at the end it stands somewhere in an episode and is not closed.
        steps: How many random steps to take; episodes shorter than this have their ends checked too.
        seed: For resets and for the random actions.
    """
    mode = _check_attributes(envs)
    _check_reset(envs, seed)
    _check_seeds(envs, seed)
    _check_lanes_are_independent(envs, seed)
    _check_steps(envs, mode, steps, seed)


def _check_attributes(envs: VectorEnv) -> AutoresetMode:
    assert isinstance(envs, VectorEnv), f"expected a gymnasium.vector.VectorEnv, got {type(envs)}"
    for name in ("num_envs", "observation_space", "action_space", "single_observation_space", "single_action_space"):
        assert hasattr(envs, name), f"the environment has no attribute {name!r}"
    assert isinstance(envs.num_envs, int), f"num_envs must be an int, got {envs.num_envs!r}"
    for name in ("observation_space", "action_space"):
        expected = batch_space(getattr(envs, f"single_{name}"), envs.num_envs)
        actual = getattr(envs, name)
        assert actual == expected, f"{name} must be batch_space(single_{name}, num_envs) = {expected}, got {actual}"
    mode = envs.metadata.get("autoreset_mode")
    assert isinstance(mode, AutoresetMode), f"metadata['autoreset_mode'] must be an AutoresetMode, got {mode!r}"
    return mode


def _check_reset(envs: VectorEnv, seed: int) -> None:
    result = envs.reset(seed=seed)
    assert len(result) == 2, f"reset() must return (observations, infos), got {len(result)} things"
    _check_observations(envs, result[0], "reset()")
    _check_infos(envs, result[1], "reset()")
    envs.reset(options={})


def _check_seeds(envs: VectorEnv, seed: int) -> None:
    first, second = _rollout(envs, seed), _rollout(envs, seed)
    assert data_equivalence(first, second, exact=True), "the same seed and actions must give the same observations"
    try:
        listed = _rollout(envs, [seed + lane for lane in range(envs.num_envs)])
    except Exception as error:
        raise AssertionError(f"reset(seed=...) must take a list of seeds, one a lane, but raised: {error}") from error
    assert data_equivalence(first, listed, exact=True), "reset(seed=s) must equal reset(seed=[s, s + 1, ...])"


def _check_lanes_are_independent(envs: VectorEnv, seed: int) -> None:
    # Other seeds in every lane but the first: the first must not notice.
    alone = [seed] + [seed + 1000 + lane for lane in range(1, envs.num_envs)]
    first, other = _rollout(envs, seed), _rollout(envs, alone)
    for one, two in zip(first, other, strict=False):
        mine, same = _lane(envs, one, 0), _lane(envs, two, 0)
        assert data_equivalence(mine, same, exact=True), "lane 0 changed when only the seeds of other lanes did"


def _check_steps(envs: VectorEnv, mode: AutoresetMode, steps: int, seed: int) -> None:
    envs.action_space.seed(seed)
    previous, _ = envs.reset(seed=seed)
    done = np.zeros(envs.num_envs, np.bool_)
    for _ in range(steps):
        if mode == AutoresetMode.DISABLED and done.any():
            observations, infos = envs.reset(options={"reset_mask": done.copy()})
            _check_observations(envs, observations, "reset() with a reset_mask")
            _check_infos(envs, infos, "reset() with a reset_mask")
            for lane in np.flatnonzero(~done).tolist():
                same = data_equivalence(_lane(envs, previous, lane), _lane(envs, observations, lane), exact=True)
                assert same, f"reset_mask was False for lane {lane}, but its observation changed"
            previous = observations
        kept = deepcopy(previous)
        result = envs.step(envs.action_space.sample())
        assert len(result) == 5, f"step() must return five things, got {len(result)}"
        observations, rewards, terminations, truncations, infos = result
        _check_observations(envs, observations, "step()")
        assert observations is not previous, "step() returned the same object again; callers keep what they were given"
        same = data_equivalence(_host(kept), _host(previous), exact=True)
        assert same, "step() wrote into the observations that it returned before"
        rewards = _array(envs, rewards, "rewards", "f")
        terminations = _array(envs, terminations, "terminations", "b")
        truncations = _array(envs, truncations, "truncations", "b")
        _check_infos(envs, infos, "step()")
        ended = terminations | truncations
        if mode == AutoresetMode.NEXT_STEP and done.any():
            assert not ended[done].any(), "NEXT_STEP: the step that resets a lane must not end its episode"
            assert (rewards[done] == 0).all(), (
                f"NEXT_STEP: the step that resets a lane has reward 0, got {rewards[done]}"
            )
        if mode == AutoresetMode.SAME_STEP and ended.any():
            _check_final(envs, infos, ended)
        done, previous = ended, observations


def _check_final(envs: VectorEnv, infos: dict[str, Any], ended: np.ndarray) -> None:
    for name in ("final_obs", "final_info"):
        assert name in infos, f"SAME_STEP: an episode ended, but infos lack {name!r}"
        assert (infos[f"_{name}"] == ended).all(), f"SAME_STEP: infos['_{name}'] must be True where an episode ended"
    for lane in np.flatnonzero(ended):
        last = infos["final_obs"][lane]
        assert _host(last) in envs.single_observation_space, f"final_obs[{lane}] is not in single_observation_space"


def _check_observations(envs: VectorEnv, observations: Any, where: str) -> None:
    observations = _host(observations)
    assert observations in envs.observation_space, f"the observations of {where} are not in {envs.observation_space}"


def _check_infos(envs: VectorEnv, infos: Any, where: str) -> None:
    assert isinstance(infos, dict), f"the infos of {where} must be a dict of arrays, got {type(infos)}"
    for name in infos:
        if f"_{name}" in infos or (name.startswith("_") and name[1:] in infos):
            continue
        raise AssertionError(f"infos[{name!r}] of {where} has no mask infos['_{name}'] of the lanes that it is about")
    for name, mask in infos.items():
        if name.startswith("_"):
            good = isinstance(mask, np.ndarray) and mask.shape == (envs.num_envs,) and mask.dtype == np.bool_
            assert good, f"infos[{name!r}] of {where} must be a bool array ({envs.num_envs},), got {mask!r}"


def _array(envs: VectorEnv, values: Any, name: str, kind: str) -> np.ndarray:
    values = _host(values)
    good = isinstance(values, np.ndarray) and values.shape == (envs.num_envs,) and values.dtype.kind == kind
    what = {"f": "float", "b": "bool"}[kind]
    assert good, f"{name} must be a {what} array ({envs.num_envs},), got {values!r}"
    return values


def _rollout(envs: VectorEnv, seed: Any, length: int = 3) -> list[Any]:
    """The observations of a reset and of a few steps with the same actions every time, until an episode ends."""
    envs.action_space.seed(7)
    seen = [deepcopy(envs.reset(seed=seed)[0])]
    for _ in range(length):
        observations, _, terminations, truncations, _ = envs.step(envs.action_space.sample())
        seen.append(deepcopy(observations))
        if (_host(terminations) | _host(truncations)).any():
            break
    return [_host(observations) for observations in seen]


def _lane(envs: VectorEnv, observations: Any, lane: int) -> Any:
    return list(iterate(envs.observation_space, _host(observations)))[lane]


def _host(values: Any) -> Any:
    return values.cpu().numpy() if isinstance(values, torch.Tensor) else values

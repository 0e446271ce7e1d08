"""Many lanes of a learned World as one native `gymnasium.vector.VectorEnv`: one batch through the network a step.

Lane i does, to the bit, what a `WorldEnv` of the same seed and actions does; only the batch makes it faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.utils import EzPickle, seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space, iterate

from worldsim.envs.lanes import Frames, Lanes
from worldsim.envs.world_env import check_render_mode
from worldsim.simulation import Simulation, Snapshot


@dataclass(frozen=True)
class VectorEnvSnapshot:
    """The state of a `WorldVectorEnv`: its Simulation, and for each lane the steps taken, done or not, generator."""

    simulation: Snapshot
    elapsed: np.ndarray
    done: np.ndarray
    generators: list[np.random.Generator]


class WorldVectorEnv(gym.vector.VectorEnv[Frames, Any, Any], EzPickle):
    """A learned World, `num_envs` lanes; `gym.make_vec("worldsim/Blocks-v0", num_envs=8)` makes one.

    Args:
        num_envs: How many lanes.
        world, prompt, image, recording, size, steps, device, dtype, output, render_mode: As for `WorldEnv`.
        max_episode_steps: A lane is truncated after this many steps; None for never.
        autoreset_mode: `AutoresetMode` or its value. NEXT_STEP: the step after a lane's end resets it and ignores its
            action. SAME_STEP: the same step resets it; `infos["final_obs"]` and `["final_info"]` hold how it ended.
            DISABLED: the caller resets it, by `reset(options={"reset_mask": bool (num_envs,)})`.

    `step` takes actions of the batched space, or a tensor of flat ones (`gymnasium.spaces.flatten`: one-hot where there
    are choices), float (num_envs, A), which stays on its device.
    Observations are uint8 (num_envs, height, width, 3), rewards float64 (num_envs,), terminations and truncations bool
    (num_envs,); with output="torch" all four are tensors on the device and rewards are float32.

    `reset(seed=...)` takes an int (lane i gets seed + i) or a list, in which None continues a lane's generator. Its
    options are those of `WorldEnv`, for all lanes or with an axis of lanes in front (a list of prompts, context
    (num_envs, T, height, width, 3), a list of lists of actions), and "reset_mask".
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 - as Gymnasium has it

    def __init__(
        self,
        num_envs: int = 1,
        world: str = "blocks",
        *,
        prompt: str | None = None,
        image: str | Path | np.ndarray | None = None,
        recording: str | Path | None = None,
        size: Sequence[int] | None = None,
        steps: int | None = None,
        device: str = "auto",
        dtype: str = "auto",
        output: str = "numpy",
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ) -> None:
        check_render_mode(render_mode)
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ValueError(f"max_episode_steps must be at least 1, or None for no limit, got {max_episode_steps}")
        try:
            self.autoreset_mode = AutoresetMode(autoreset_mode)
        except ValueError:
            modes = [mode.value for mode in AutoresetMode]
            raise ValueError(
                f"autoreset_mode must be an AutoresetMode or one of {modes}, got {autoreset_mode!r}"
            ) from None
        self._settings: dict[str, Any] = {
            "world": world,
            "prompt": prompt,
            "image": image,
            "recording": recording,
            "size": size,
            "steps": steps,
            "device": device,
            "dtype": dtype,
            "output": output,
        }
        EzPickle.__init__(
            self,
            num_envs,
            render_mode=render_mode,
            max_episode_steps=max_episode_steps,
            autoreset_mode=autoreset_mode,
            **self._settings,
        )
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.max_episode_steps = max_episode_steps
        self._lanes = Lanes(num_envs, **self._settings)
        self.metadata = {
            **self.metadata,
            "render_fps": self._lanes.spec.fps,
            "autoreset_mode": self.autoreset_mode,
        }
        self.single_observation_space = self._lanes.observation_space
        self.single_action_space = self._lanes.spec.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        bounds = cast(spaces.Box, spaces.flatten_space(self.single_action_space))
        self._bounds = torch.tensor(bounds.low), torch.tensor(bounds.high)
        self._generators: list[np.random.Generator] | None = None
        self._elapsed = np.zeros(num_envs, np.int64)
        self._done = np.zeros(num_envs, np.bool_)

    @classmethod
    def of_branches(
        cls,
        run: Simulation,
        generators: Sequence[np.random.Generator],
        n: int,
        *,
        done: np.ndarray | None = None,
        **settings: Any,
    ) -> WorldVectorEnv:
        """An environment whose lanes are those of `run`, each n times; what `branch` of both environments returns.

        done: bool (run.lanes,), the lanes whose episodes are over and that wait for their reset; none unless given.
        settings: the constructor's arguments, render_mode among them.
        """
        if n < 1:
            raise ValueError(f"branch(n) needs n of at least 1, got {n}")
        envs = cls(run.lanes * n, autoreset_mode=AutoresetMode.DISABLED, **settings)
        envs._lanes.run = run.branch(n)
        envs._generators = [deepcopy(generator) for generator in generators for _ in range(n)]
        if done is not None:
            envs._done = done.repeat(n)
        return envs

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frames, dict[str, Any]]:
        """Begin an episode in every lane, or in those of options["reset_mask"]; ValueError for what does not fit.

        Lanes that the mask leaves out are not seeded either.
        """
        options = dict(options or {})
        mask = np.ones(self.num_envs, np.bool_)
        if "reset_mask" in options:
            mask = self._check_mask(options.pop("reset_mask"))
        self._seed_lanes(seed, mask)
        infos = self._start(mask, options)
        return self._frames(), infos

    def step(self, actions: Any) -> tuple[Frames, Any, Any, Any, dict[str, Any]]:
        """Predict the next frame of every lane; ValueError for actions outside the action space."""
        run, waiting = self._lanes.run, self._done.copy()
        infos: dict[str, Any] = {}
        flat = self._flatten(actions)
        if self.autoreset_mode == AutoresetMode.DISABLED and waiting.any():
            raise ValueError(
                f"the episodes of lanes {np.flatnonzero(waiting).tolist()} are over and autoreset is disabled: "
                'call reset(options={"reset_mask": terminations | truncations}) first'
            )
        rewards = np.zeros(self.num_envs, np.float64)
        terminations = np.zeros(self.num_envs, np.bool_)
        if not waiting.all():
            # Lanes that wait for their reset are stepped along, as the batch has a fixed shape; the reset forgets it.
            result = run.step(flat)
            rewards[~waiting] = result.rewards.cpu().numpy()[~waiting]
            terminations[~waiting] = result.ends.cpu().numpy()[~waiting]
        self._elapsed += 1
        if waiting.any():
            infos = self._start(waiting, None)
        truncations = np.zeros(self.num_envs, np.bool_)
        if self.max_episode_steps is not None:
            truncations = self._elapsed >= self.max_episode_steps
        done = terminations | truncations
        self._done = done.copy()
        if self.autoreset_mode == AutoresetMode.SAME_STEP and done.any():
            last = self._frames()
            for lane in np.flatnonzero(done):
                infos = self._add_info(infos, {"final_obs": last[lane], "final_info": {}}, int(lane))
            infos.update(self._start(done, None))
        if self._lanes.output == "torch":
            outcome = [torch.as_tensor(x, device=run.device) for x in (rewards, terminations, truncations)]
            return self._frames(), outcome[0].float(), outcome[1], outcome[2], infos
        return self._frames(), rewards, terminations, truncations, infos

    def render(self) -> tuple[np.ndarray, ...] | None:
        """The present frame of each lane, uint8 (height, width, 3), if render_mode is "rgb_array"."""
        if self.render_mode is None:
            gym.logger.warn("render() without a render_mode draws nothing: make the environment with 'rgb_array'")
            return None
        return tuple(self._lanes.run.frames.cpu().numpy().copy())

    def close_extras(self, **kwargs: Any) -> None:
        """Let the Simulation go; close() calls this once."""
        if hasattr(self, "_lanes"):  # a constructor that raised is closed by the garbage collector all the same
            self._lanes.close()

    def snapshot(self) -> VectorEnvSnapshot:
        """The whole state of all lanes, to `restore` as often as needed."""
        return VectorEnvSnapshot(
            self._lanes.run.snapshot(), self._elapsed.copy(), self._done.copy(), deepcopy(self._generators or [])
        )

    def restore(self, snapshot: VectorEnvSnapshot) -> Frames:
        """Go back to a snapshot of an environment of as many lanes; the frames of that moment."""
        self._lanes.run.restore(snapshot.simulation)
        self._elapsed, self._done = snapshot.elapsed.copy(), snapshot.done.copy()
        self._generators = deepcopy(snapshot.generators)
        return self._frames()

    def branch(self, n: int) -> WorldVectorEnv:
        """Every lane n times (lane 0 n times, then lane 1, ...), as `WorldEnv.branch`."""
        settings = {"render_mode": self.render_mode, **self._settings}
        return self.of_branches(self._lanes.run, self._generators or [], n, done=self._done, **settings)

    def _frames(self) -> Frames:
        return self._lanes.give(self._lanes.run.frames)

    def _start(self, mask: np.ndarray, options: dict[str, Any] | None) -> dict[str, Any]:
        """Begin episodes in the lanes of `mask`; their infos as one dict of arrays."""
        assert self._generators is not None
        infos: dict[str, Any] = {}
        started = self._lanes.start(self._generators, options, mask)
        for lane, info in zip(np.flatnonzero(mask), started, strict=True):
            infos = self._add_info(infos, info, int(lane))
        self._elapsed[mask] = 0
        self._done[mask] = False
        return infos

    def _seed_lanes(self, seed: int | Sequence[int | None] | None, mask: np.ndarray) -> None:
        """Seed the lanes of `mask`. Each has a generator of its own, as a `WorldEnv` has: none moves another."""
        if seed is None or isinstance(seed, int | np.integer):
            super().reset(seed=None if seed is None else int(seed))
            seeds: list[int | None] = [None if seed is None else int(seed) + lane for lane in range(self.num_envs)]
        else:
            seeds = list(seed)
            if len(seeds) != self.num_envs:
                raise ValueError(
                    f"seed must be an int or a list of {self.num_envs} seeds, one a lane, got {len(seeds)}"
                )
        if self._generators is None:
            self._generators = [seeding.np_random(int(self.np_random.integers(2**32)))[0] for _ in seeds]
        for lane, own in enumerate(seeds):
            if own is not None and mask[lane]:
                self._generators[lane] = seeding.np_random(own)[0]

    def _check_mask(self, mask: Any) -> np.ndarray:
        _ = self._lanes.run  # only lanes that run can be reset one by one: raises before the first reset
        mask = mask.cpu().numpy() if isinstance(mask, torch.Tensor) else mask
        good = isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and mask.shape == (self.num_envs,)
        if not good or not mask.any():
            given = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else f"a {type(mask).__name__}"
            raise ValueError(
                f"options['reset_mask'] must be a bool array ({self.num_envs},) with at least one True, "
                f"got {'no True' if good else given}"
            )
        return mask

    def _flatten(self, actions: Any) -> np.ndarray | torch.Tensor:
        """A batch of actions as float32 (num_envs, A); a tensor of such stays where it is."""
        single = self.single_action_space
        if isinstance(actions, torch.Tensor) and actions.is_floating_point():
            low, high = self._bounds
            if actions.shape != (self.num_envs, len(low)):
                raise ValueError(f"flat actions must be ({self.num_envs}, {len(low)}), got {tuple(actions.shape)}")
            if not ((actions >= low.to(actions.device)) & (actions <= high.to(actions.device))).all():
                raise ValueError(f"flat actions leave the bounds {low.tolist()} to {high.tolist()}, or are no numbers")
            return actions
        if not self.action_space.contains(actions):
            raise ValueError(f"actions {actions!r} are not in the action space {self.action_space}")
        flat = [spaces.flatten(single, action) for action in iterate(self.action_space, actions)]
        return np.asarray(flat, np.float32)

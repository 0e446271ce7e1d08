"""`worldsim/Blocks-v0` and `worldsim/World-v0`: a learned World as a Gymnasium environment.

Actions go in, the World's dynamics predict the next frame, the reward and whether the episode ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import EzPickle

from worldsim.envs.lanes import Frames, Lanes
from worldsim.simulation import Snapshot

if TYPE_CHECKING:
    from worldsim.envs.world_vector_env import WorldVectorEnv


def check_render_mode(render_mode: str | None) -> None:
    """ValueError unless a learned World can draw in this mode."""
    if render_mode not in (None, "rgb_array"):
        raise ValueError(
            f"render_mode must be None or 'rgb_array', got {render_mode!r}; `worldsim play` opens a window"
        )


@dataclass(frozen=True)
class EnvSnapshot:
    """The state of a `WorldEnv`: its Simulation, and the state of the generator that seeds later episodes."""

    simulation: Snapshot
    generator: dict[str, Any]


class WorldEnv(gym.Env[Frames, Any], EzPickle):
    """A learned World, one lane.

    Example:
        >>> import gymnasium as gym, worldsim
        >>> env = gym.make("worldsim/Blocks-v0", prompt="a snowy plain at dusk")  # doctest: +SKIP
        >>> frame, info = env.reset(seed=0)  # doctest: +SKIP
        >>> frame, reward, terminated, truncated, info = env.step(env.action_space.sample())  # doctest: +SKIP

    Args:
        world: Name of a World that ships, or path of one.
        prompt: Text that episodes start from.
        image: Picture that episodes start from: a file, or uint8 (height, width, 3); cropped and scaled to the size.
        recording: Recording at random moments of which episodes begin: what `worldsim train` leaves in OUT/frames.
        size: (height, width) of a frame in pixels, multiples of 16; the World's own unless given.
        steps: Denoising steps a frame (K); the World's own unless given.
        device: "auto" (CUDA if there is one), "cpu" or "cuda".
        dtype: "float32", "bfloat16", or "auto": which of them is faster here is measured once a process.
        output: "numpy", or "torch" for frames that stay on the device (make it with disable_env_checker=True).
        render_mode: None or "rgb_array".

    Observations are uint8 (height, width, 3), the actions those of the World's spec. `reset(options=...)` takes
    "context", uint8 (T, height, width, 3), with "actions", the T-1 actions between its frames (elements of the space,
    or flat float32 (T-1, A)); or "prompt". What the options say replaces `prompt`, `image` and `recording` for
    that episode. Its
    info holds "context", the frames that the episode started from, and "prompt", if there is one.

    An episode terminates when the World's end head says so; gym.make's TimeLimit truncates it.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 - as Gymnasium has it

    def __init__(
        self,
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
    ) -> None:
        check_render_mode(render_mode)
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
        EzPickle.__init__(self, render_mode=render_mode, **self._settings)
        self.render_mode = render_mode
        self._lanes = Lanes(1, **self._settings)
        self.metadata = {**self.metadata, "render_fps": self._lanes.spec.fps}
        self.observation_space = self._lanes.observation_space
        self.action_space = self._lanes.spec.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frames, dict[str, Any]]:
        """Begin an episode; ValueError for options that do not fit (see the class)."""
        super().reset(seed=seed)
        (info,) = self._lanes.start([self.np_random], options)
        return self._frame(), info

    def step(self, action: Any) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """Predict the next frame; ValueError for an action outside the action space."""
        run = self._lanes.run
        result = run.step(self._lanes.spec.flatten(action)[None])
        return self._frame(), float(result.rewards[0]), bool(result.ends[0]), False, {}

    def render(self) -> np.ndarray | None:
        """The present frame, uint8 (height, width, 3), if render_mode is "rgb_array"."""
        if self.render_mode is None:
            gym.logger.warn("render() without a render_mode draws nothing: make the environment with 'rgb_array'")
            return None
        return self._lanes.run.frames[0].cpu().numpy().copy()

    def close(self) -> None:
        """Let the Simulation go; the weights stay loaded in the process for the next environment."""
        self._lanes.close()

    def policy_action(self) -> Any:
        """What the player whose recording the World learned from would do now: an element of the action space."""
        return self._lanes.spec.unflatten(self._lanes.run.policy_actions()[0].cpu().numpy())

    def snapshot(self) -> EnvSnapshot:
        """The whole state, to `restore` as often as needed. gym.make's TimeLimit keeps its own count of steps."""
        return EnvSnapshot(self._lanes.run.snapshot(), deepcopy(dict(self.np_random.bit_generator.state)))

    def restore(self, snapshot: EnvSnapshot) -> Frames:
        """Go back to a snapshot of this environment; the frame of that moment. What follows is the same to the bit."""
        self._lanes.run.restore(snapshot.simulation)
        self.np_random.bit_generator.state = deepcopy(snapshot.generator)
        return self._frame()

    def branch(self, n: int) -> WorldVectorEnv:
        """The present moment n times, as the lanes of a `WorldVectorEnv` that steps them as one batch.

        The lanes are independent of this environment and of each other; given the same actions they stay the same.
        Autoreset is disabled and no episode is truncated: a lane that terminated waits for its reset.
        """
        from worldsim.envs.world_vector_env import WorldVectorEnv

        settings = {"render_mode": self.render_mode, **self._settings}
        return WorldVectorEnv.of_branches(self._lanes.run, [self.np_random], n, **settings)

    def _frame(self) -> Frames:
        return self._lanes.give(self._lanes.run.frames[0])

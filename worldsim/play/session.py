"""What is being played, behind one small interface: a learned World, or a ground-truth environment.

Actions go in as elements of the action space, frames come out as uint8 (H, W, 3). Neither knows of windows or keys.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

if TYPE_CHECKING:
    from worldsim.world import World


class Session(ABC):
    """One running world that can be stepped, restarted, and put back to where it was.

    name: for the title. simulator: id of the environment that it is, or was learned from. fps: ticks a second. space:
    the action space. frame: the present picture, uint8 (H, W, 3). seed: of the present start. steps: denoising steps a
    frame (K), None where nothing is denoised. ended: the episode is over, `restart` comes next. can_rewind: `snapshot`
    and `restore` work.
    """

    name: str
    simulator: str | None
    fps: int
    space: spaces.Space
    frame: np.ndarray
    seed: int
    steps: int | None = None
    ended: bool = False
    can_rewind: bool = True

    @abstractmethod
    def step(self, action: Any) -> np.ndarray:
        """Do `action` (an element of `space`) for one tick; the new frame."""

    @abstractmethod
    def restart(self, seed: int) -> np.ndarray:
        """Begin anew from the start that `seed` chooses; its frame."""

    @abstractmethod
    def snapshot(self) -> Any:
        """Everything that the future depends on, as an independent copy."""

    @abstractmethod
    def restore(self, snapshot: Any) -> None:
        """Go back to a snapshot, exactly."""

    @abstractmethod
    def policy_action(self) -> Any:
        """What a player of its own would do now."""

    def set_steps(self, steps: int | None) -> None:
        """Take this many denoising steps a frame from now on."""
        self.steps = steps

    def set_prompt(self, prompt: str) -> bool:
        """Let what the text says happen, here and now; whether anything can come of it."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Let go of what the session holds."""


class WorldSession(Session):
    """A learned World: one lane of a Simulation.

    prompt, seed, steps, size: as in `World.start`; ValueError as there.
    """

    def __init__(
        self,
        world: World,
        *,
        seed: int = 0,
        prompt: str | None = None,
        steps: int | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.name, self.fps, self.space = world.spec.name, world.spec.fps, world.spec.action_space
        self.simulator, self.seed = world.spec.simulator, seed
        self._spec = world.spec
        self._prompt = prompt
        self._run = world.start(lanes=1, seed=seed, prompt=prompt, steps=steps, size=size)
        self.steps = self._run.steps
        self.frame = self._picture()

    def set_steps(self, steps: int | None) -> None:
        if steps is not None:
            self._run.steps = self.steps = steps

    def step(self, action: Any) -> np.ndarray:
        result = self._run.step(self._spec.flatten(action)[None])
        self.frame = self._picture()
        self.ended = bool(result.ends[0])
        return self.frame

    def restart(self, seed: int) -> np.ndarray:
        self._run.reset(seeds=[seed], prompt=self._prompt)
        self.seed, self.ended, self.frame = seed, False, self._picture()
        return self.frame

    def snapshot(self) -> Any:
        return self._run.snapshot(), self.frame, self.ended, self.seed

    def restore(self, snapshot: Any) -> None:
        state, self.frame, self.ended, self.seed = snapshot
        self._run.restore(state)
        self.steps = self._run.steps

    def set_prompt(self, prompt: str) -> bool:
        self._run.set_prompt(prompt)
        self.frame = self._picture()
        return True

    def policy_action(self) -> Any:
        return self._spec.unflatten(np.asarray(self._run.policy_actions()[0].float().cpu()))

    def close(self) -> None:
        del self._run

    def _picture(self) -> np.ndarray:
        return self._run.frames[0].cpu().numpy().copy()


class EnvSession(Session):
    """A ground-truth environment whose observations are pictures; with its exploration policy as its own player.

    env_id, env_kwargs: for `gymnasium.make`. prompt: goes to `reset(options={"prompt": ...})`. ValueError if the
    environment does not take these arguments, or if its observations are no pictures.
    """

    def __init__(
        self, env_id: str, env_kwargs: dict[str, Any] | None = None, *, seed: int = 0, prompt: str | None = None
    ) -> None:
        # Unwrapped: a person plays for as long as they like, without a time limit.
        try:
            self._env: Any = gym.make(env_id, **env_kwargs or {}).unwrapped
        except TypeError as error:
            raise ValueError(f"{env_id} cannot be made with {env_kwargs or {}}: {error}") from error
        space = self._env.observation_space
        if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or len(space.shape) != 3 or space.shape[2] != 3:
            raise ValueError(f"{env_id} cannot be played: its observations are {space}, not uint8 (H, W, 3) pictures")
        self.name, self.simulator = env_id, env_id.rpartition(":")[2]
        self.fps = int(self._env.metadata.get("render_fps", 20))
        self.space = self._env.action_space
        self.can_rewind = hasattr(self._env, "snapshot") and hasattr(self._env, "restore")
        self._options = None if prompt is None else {"prompt": prompt}
        self.restart(seed)
        if self.can_rewind:  # a first step may be compiled for seconds: rather now than under the player's fingers
            start = self.snapshot()
            self.step(self.space.sample())
            self.restore(start)

    def step(self, action: Any) -> np.ndarray:
        frame, _, terminated, truncated, self._info = self._env.step(action)
        self.frame = frame.copy()  # an environment may draw into the same array every time
        self.ended = bool(terminated or truncated)
        return self.frame

    def restart(self, seed: int) -> np.ndarray:
        frame, self._info = self._env.reset(seed=seed, options=self._options)
        self.frame = frame.copy()
        self.seed, self.ended = seed, False
        self._policy: Any = None  # made when it is first asked for
        return self.frame

    def snapshot(self) -> Any:
        return self._env.snapshot(), self.frame, self._info, self.ended, self.seed

    def restore(self, snapshot: Any) -> None:
        state, self.frame, self._info, self.ended, self.seed = snapshot
        self._env.restore(state)

    def policy_action(self) -> Any:
        if self._policy is None:
            from worldsim.agents import make_policy

            self._policy = make_policy("auto", self._env, np.random.default_rng(self.seed))
            self._policy.reset(self.frame, self._info)
        return self._policy.act(self.frame, self._info)

    def close(self) -> None:
        self._env.close()

"""The lanes of a learned World behind an environment: how an episode starts, and frames in the form that was asked for.

`WorldEnv` (one lane) and `WorldVectorEnv` (many) both stand on this, so that a lane behaves the same in either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.error import ClosedEnvironmentError, ResetNeeded

import worldsim
from worldsim.clip import fitted
from worldsim.simulation import Simulation
from worldsim.spec import WorldSpec, check_size

Output = Literal["numpy", "torch"]
Frames = np.ndarray | torch.Tensor


@dataclass(frozen=True)
class Start:
    """What an episode starts from; with neither prompt nor context, one of the start contexts that the World ships.

    prompt: one text for all lanes, or one a lane. context: uint8 (T, H, W, 3), or (lanes, T, H, W, 3).
    actions: float32 flat (T-1, A), or (lanes, T-1, A): what was done between the frames of the context.
    """

    prompt: str | list[str] | None = None
    context: np.ndarray | None = None
    actions: np.ndarray | None = None

    @classmethod
    def from_options(cls, options: dict[str, Any], spec: WorldSpec, size: tuple[int, int], lanes: int) -> Start:
        """Read reset(options=...); ValueError names the option that does not fit, what it is and what is expected."""
        unknown = sorted(set(options) - {"context", "actions", "prompt"})
        if unknown:
            raise ValueError(
                f"unknown reset options {unknown}; a learned World takes 'context', 'actions' and 'prompt'"
            )
        prompt, context, actions = (options.get(name) for name in ("prompt", "context", "actions"))
        if not (prompt is None or isinstance(prompt, str) or _is_texts(prompt, lanes)):
            expected = "a text" if lanes == 1 else f"a text or a list of {lanes} texts"
            raise ValueError(f"options['prompt'] must be {expected}, got {prompt!r}")
        if context is None:
            if actions is not None:
                raise ValueError(
                    "options['actions'] are those between the frames of options['context'], which is missing"
                )
            return cls(prompt)
        context = _host(context)
        shapes = [(None, *size, 3)] + [(lanes, None, *size, 3)] * (lanes > 1)
        if not (isinstance(context, np.ndarray) and context.dtype == np.uint8 and _fits(context.shape, shapes)):
            expected = " or ".join(str(shape).replace("None", "T") for shape in shapes)
            raise ValueError(f"options['context'] must be uint8 frames of shape {expected}, got {_describe(context)}")
        if actions is not None:
            count = context.shape[-4] - 1
            if context.ndim == 5:
                if len(actions) != lanes:
                    raise ValueError(
                        f"options['actions'] must hold one list for each of {lanes} lanes, got {len(actions)}"
                    )
                actions = np.stack([_flat_actions(one, count, spec) for one in actions])
            else:
                actions = _flat_actions(actions, count, spec)
        return cls(prompt, np.require(context, requirements="W"), actions)  # PyTorch warns of read-only arrays

    def of_lanes(self, mask: np.ndarray) -> Start:
        """What concerns the lanes that are True in `mask` (lanes,) alone."""
        prompt, context, actions = self.prompt, self.context, self.actions
        if isinstance(prompt, list):
            prompt = [text for text, chosen in zip(prompt, mask, strict=True) if chosen]
        if context is not None and context.ndim == 5:
            context, actions = context[mask], None if actions is None else actions[mask]
        return Start(prompt, context, actions)


def _is_texts(prompt: object, lanes: int) -> bool:
    return lanes > 1 and isinstance(prompt, list) and len(prompt) == lanes and all(isinstance(t, str) for t in prompt)


def _fits(shape: tuple[int, ...], allowed: Sequence[tuple[int | None, ...]]) -> bool:
    return 0 not in shape and any(
        len(shape) == len(want) and all(w in (None, s) for s, w in zip(shape, want, strict=True)) for want in allowed
    )


def _host(value: Any) -> Any:
    return value.cpu().numpy() if isinstance(value, torch.Tensor) else value


def _describe(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def _flat_actions(actions: Any, count: int, spec: WorldSpec) -> np.ndarray:
    """`count` actions, elements of the space or flat floats (count, A), as float32 (count, A)."""
    actions = _host(actions)
    if not isinstance(actions, Sequence | np.ndarray) or len(actions) != count:
        given = f"{len(actions)}" if isinstance(actions, Sequence | np.ndarray) else f"a {type(actions).__name__}"
        raise ValueError(
            f"options['actions'] must be a list of {count} actions, one between each two of the {count + 1} frames of "
            f"options['context'], or a flat float array ({count}, {spec.action_dim}); got {given}"
        )
    if isinstance(actions, np.ndarray) and actions.shape == (count, spec.action_dim) and actions.dtype.kind == "f":
        bounds = cast(spaces.Box, spaces.flatten_space(spec.action_space))
        if not (np.isnan(actions) | ((actions >= bounds.low) & (actions <= bounds.high))).all():
            raise ValueError("options['actions'] leaves the bounds of the flattened action space")
        return actions.astype(np.float32)
    return np.array([spec.flatten(action) for action in actions], np.float32).reshape(count, spec.action_dim)


class Moments:
    """Random moments of a recording, for episodes to begin from.

    recording: a frame store, as `worldsim train` leaves one in its directory `frames`. ValueError if it is none, is of
    another size or action space, or no episode is as long as the World's context.
    """

    def __init__(self, recording: str | Path, spec: WorldSpec, size: tuple[int, int]) -> None:
        from worldsim.data.store import FrameStore  # here: few need it, and it asks for all that recording does

        self.store = FrameStore.open(recording)
        if self.store.size != size or self.store.action != spec.action:
            raise ValueError(
                f"the recording {recording} has frames of {self.store.size} and actions {self.store.action}; "
                f"this environment has {size} and {spec.action}"
            )
        self.frames = spec.context_length + 1
        room = np.maximum(self.store.lengths - self.frames + 1, 0)
        if not room.any():
            raise ValueError(
                f"no episode of {recording} has the {self.frames} frames that this World begins from: record longer"
            )
        self._ends = np.cumsum(room)
        self._room = room

    def draw(self, generators: Sequence[np.random.Generator]) -> Start:
        """A moment for each generator's lane."""
        picks = np.array([generator.integers(self._ends[-1]) for generator in generators])
        episodes = np.searchsorted(self._ends, picks, side="right")
        first = self.store.starts[episodes] + picks - (self._ends[episodes] - self._room[episodes])
        rows = first[:, None] + np.arange(self.frames)
        return Start(None, np.array(self.store.frames[rows]), np.array(self.store.actions[rows[:, :-1]]))


class Lanes:
    """`count` lanes of a World for an environment, from the environment's own constructor arguments."""

    def __init__(
        self,
        count: int,
        *,
        world: str,
        prompt: str | None,
        image: str | Path | np.ndarray | None,
        recording: str | Path | None,
        size: Sequence[int] | None,
        steps: int | None,
        device: str,
        dtype: str,
        output: str,
    ) -> None:
        if output not in ("numpy", "torch"):
            raise ValueError(f"output must be 'numpy' or 'torch', got {output!r}")
        if sum(begin is not None for begin in (prompt, image, recording)) > 1:
            raise ValueError("episodes start from prompt=, from image= or from recording=: give one of them")
        self.count = count
        self.world = worldsim.load(world, device=device, dtype=dtype)
        self.world.check_stepped()
        self.spec = self.world.spec
        self.size = check_size((size[0], size[1])) if size is not None else self.spec.size
        self.steps = steps
        self.output = output
        self.default = Start(prompt, None if image is None else fitted(image, self.size)[None])
        self._moments = None if recording is None else Moments(recording, self.spec, self.size)
        self.observation_space = spaces.Box(0, 255, (*self.size, 3), np.uint8)
        self.closed = False
        self._run: Simulation | None = None

    @property
    def run(self) -> Simulation:
        """The Simulation that runs; ClosedEnvironmentError after close(), ResetNeeded before the first reset()."""
        if self.closed:
            raise ClosedEnvironmentError("this environment is closed: make a new one")
        if self._run is None:
            raise ResetNeeded("no episode has begun: call reset() first")
        return self._run

    @run.setter
    def run(self, run: Simulation) -> None:
        self._run = run

    def start(
        self, generators: Sequence[np.random.Generator], options: dict[str, Any] | None, mask: np.ndarray | None = None
    ) -> list[dict[str, Any]]:
        """Begin episodes in the lanes of `mask` (bool (count,), all unless given), each seeded by its own generator.

        What `options` say replaces prompt= and image= of the constructor for these episodes. Returns the info of each
        started lane, in order: the start context, uint8 (T, H, W, 3) that ends with the present frame, and the prompt.
        """
        if self.closed:
            raise ClosedEnvironmentError("this environment is closed: make a new one")
        chosen = np.ones(self.count, np.bool_) if mask is None else mask
        lanes = np.flatnonzero(chosen).tolist()
        if self._moments is not None and not options:
            start = self._moments.draw([generators[lane] for lane in lanes])
        else:
            start = Start.from_options(options, self.spec, self.size, self.count) if options else self.default
            start = start.of_lanes(chosen)
        seeds = [int(generators[lane].integers(2**32)) for lane in lanes]
        said: dict[str, Any] = {"prompt": start.prompt, "context": start.context, "actions": start.actions}
        if self._run is None:
            self._run = self.world.start(self.count, seed=seeds, size=self.size, steps=self.steps, **said)
        else:
            self._run.reset(chosen, seeds=seeds, **said)
        infos: list[dict[str, Any]] = [{"context": self.give(frames)} for frames in self._run.context_frames(lanes)]
        if start.prompt is not None:
            prompts = [start.prompt] * len(lanes) if isinstance(start.prompt, str) else start.prompt
            for info, text in zip(infos, prompts, strict=True):
                info["prompt"] = text
        return infos

    def close(self) -> None:
        """Let the Simulation go; closing twice is fine."""
        self.closed, self._run = True, None

    def give(self, values: torch.Tensor) -> Any:
        """A copy of the Simulation's tensor that the caller may keep: NumPy, or a tensor on the World's device."""
        # The Simulation goes on to write into its own tensors; on the CPU, .numpy() alone would share their memory.
        return values.clone() if self.output == "torch" else values.cpu().numpy().copy()

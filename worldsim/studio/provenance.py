"""How a Clip was made: what `Clip.save` writes beside it, so that it can be made again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from worldsim.clip import Clip
from worldsim.world import WORLDS, World

Operation = Literal["generate", "extend", "loop", "connect", "blend", "remix", "recut", "storyboard"]


class Provenance(BaseModel):
    """The operation of `worldsim.studio`, the World and the arguments; actions stand beside it, if there are any."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    operation: Operation
    world: str
    digest: str
    dtype: str
    seed: int
    arguments: dict[str, Any]


def clips_of(
    world: World,
    operation: Operation,
    frames: np.ndarray,
    actions: np.ndarray | None,
    seeds: Sequence[int],
    prompt: str | None,
    arguments: dict[str, Any] | None,
) -> list[Clip]:
    """A Clip of each of frames (clips, T, H, W, 3), with actions (clips, T - 1, A) if there are any, and provenance.

    arguments: all that makes it again but for the World and the seed. Where one of them lies in no file, as an array or
    a Clip may, or if they are None, the Clips have no provenance.
    """
    try:
        again = _plain(arguments)
    except _InNoFileError:
        again = None
    clips = []
    for number, seed in enumerate(seeds):
        made = None
        if again is not None and world.path is not None and world.digest is not None:
            name = world.path.name if world.path.parent == WORLDS else str(world.path)
            made = Provenance(
                operation=operation, world=name, digest=world.digest, dtype=str(world.dtype).removeprefix("torch."),
                seed=seed, arguments=again,
            ).model_dump(mode="json")  # fmt: skip
        taken = None if actions is None else actions[number]
        clips.append(
            Clip(
                frames[number], taken, world.spec.fps, prompt=prompt, seed=seed, world=world.spec.name, provenance=made
            )
        )
    return clips


class _InNoFileError(Exception):
    """An argument cannot be named."""


def _plain(value: Any, name: str = "") -> Any:
    """An argument as plain JSON values, files by their full paths; _InNoFileError if it lies in none."""
    if isinstance(value, Clip):
        return _plain(value.path, "image") if value.path is not None else _plain(value.frames)
    if isinstance(value, np.ndarray):
        raise _InNoFileError
    if isinstance(value, np.generic):
        return value.item()
    if name == "image" and value is not None:
        return str(Path(value).resolve())
    if isinstance(value, dict):
        return {key: _plain(part, key) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value

"""Making a Clip again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from worldsim.clip import Clip
from worldsim.studio import operations
from worldsim.studio.operations import Card
from worldsim.studio.provenance import Provenance
from worldsim.video import MARK
from worldsim.world import World, load


def replay(path: str | Path, world: World | None = None, progress: bool = False) -> Clip:
    """Make a Clip again, by the JSON file that `Clip.save` wrote beside it.

    world: that World; loaded unless given. On the same machine and device the frames are the same, to a level or so
    where it was made beside other variations. ValueError for a file of another kind, or if the World has changed since.
    """
    path = Path(path)
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        made = Provenance.model_validate(said[MARK])
        actions = None if said["actions"] is None else np.array(said["actions"], np.float32)
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise ValueError(f"{path} does not say how a clip was made ({error!r}): give the JSON beside one") from None
    world = world or load(made.world, dtype=made.dtype)
    if world.digest != made.digest:
        raise ValueError(f"the World {made.world} is another one now than when {path} was written")
    arguments: dict[str, Any] = dict(made.arguments)
    for name in {"clip", "other"} & arguments.keys():
        arguments[name] = Clip.load(arguments[name])
    for name in {"size", "keep"} & arguments.keys():
        arguments[name] = tuple(arguments[name])
    if "cards" in arguments:
        arguments["cards"] = [Card(**card) for card in arguments["cards"]]
    if not world.spec.film:
        if actions is not None and not actions.size:  # of one frame
            actions = actions.reshape(0, world.spec.action_dim)
        if actions is None or actions.ndim != 2:
            raise ValueError(f"{path} does not say by which actions the clip was made")
        arguments["actions"] = actions[len(arguments["clip"]) - 1 :] if "clip" in arguments else actions
    return getattr(operations, made.operation)(world, **arguments, seed=made.seed, progress=progress)[0]

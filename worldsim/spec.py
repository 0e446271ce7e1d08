"""What a user must know of a World: observation size, frame rate, action space, context length.

The spec is a pydantic model that is stored as JSON beside the weights. Action spaces are any Gymnasium space; the
model sees them as the flat float32 vector that `gymnasium.spaces.flatten` gives.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from gymnasium import spaces
from pydantic import BaseModel, ConfigDict, Field, field_validator

from worldsim.model import PATCH

if TYPE_CHECKING:
    from worldsim.model.policy import ActionLayout


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return `size` = (height, width) in pixels as ints; ValueError unless both are positive multiples of 16."""
    height, width = int(size[0]), int(size[1])
    if height <= 0 or width <= 0 or height % PATCH or width % PATCH:
        raise ValueError(f"size must be (height, width), both positive multiples of {PATCH}, got ({height}, {width})")
    return height, width


def space_to_json(space: spaces.Space) -> dict[str, Any]:
    """Describe a Gymnasium space as plain JSON values; TypeError for a kind of space that has no description."""
    if isinstance(space, spaces.Discrete):
        return {"kind": "discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"kind": "multi_discrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "multi_binary", "n": np.asarray(space.n).tolist()}
    if isinstance(space, spaces.Box):
        return {
            "kind": "box",
            "low": space.low.tolist(),
            "high": space.high.tolist(),
            "dtype": str(space.dtype),
        }
    if isinstance(space, spaces.Dict):  # a list of pairs: the order of the keys is part of the space
        return {"kind": "dict", "spaces": [[key, space_to_json(part)] for key, part in space.spaces.items()]}
    if isinstance(space, spaces.Tuple):
        return {"kind": "tuple", "spaces": [space_to_json(part) for part in space.spaces]}
    raise TypeError(
        f"cannot store a {type(space).__name__} action space; "
        "use Discrete, MultiDiscrete, MultiBinary, Box, Dict or Tuple"
    )


def space_from_json(data: dict[str, Any]) -> spaces.Space:
    """The inverse of `space_to_json`; ValueError on an unknown kind."""
    match data.get("kind"):
        case "discrete":
            return spaces.Discrete(data["n"], start=data["start"])
        case "multi_discrete":
            return spaces.MultiDiscrete(data["nvec"], start=data["start"])
        case "multi_binary":
            return spaces.MultiBinary(data["n"])
        case "box":
            dtype = np.dtype(data["dtype"]).type
            return spaces.Box(np.asarray(data["low"], dtype), np.asarray(data["high"], dtype), dtype=dtype)
        case "dict":
            return spaces.Dict(OrderedDict((key, space_from_json(part)) for key, part in data["spaces"]))
        case "tuple":
            return spaces.Tuple([space_from_json(part) for part in data["spaces"]])
    raise ValueError(f"unknown kind of action space {data.get('kind')!r}")


def action_layout(space: spaces.Space) -> ActionLayout:
    """How the model sees and predicts flat actions of this space; TypeError for a space without a flat vector."""
    import torch  # here, because simulators and recorders need the rest of this module and should start fast

    from worldsim.model.policy import ActionLayout, Segment

    segments: list[Segment] = []

    def add(kind: Literal["categorical", "box"], size: int, whole: bool = False) -> None:
        start = segments[-1].start + segments[-1].size if segments else 0
        segments.append(Segment(kind=kind, start=start, size=size, whole=whole))

    def visit(part: spaces.Space) -> None:
        if isinstance(part, spaces.Discrete):
            add("categorical", int(part.n))
        elif isinstance(part, spaces.MultiDiscrete):
            for choices in part.nvec.flatten():
                add("categorical", int(choices))
        elif isinstance(part, spaces.Box | spaces.MultiBinary):
            add("box", int(np.prod(part.shape)), whole=np.issubdtype(part.dtype, np.integer))
        elif isinstance(part, spaces.Dict):
            for child in part.spaces.values():
                visit(child)
        elif isinstance(part, spaces.Tuple):
            for child in part.spaces:
                visit(child)
        else:
            raise TypeError(f"a {type(part).__name__} action space has no flat vector of fixed length")

    visit(space)
    flat = spaces.flatten_space(space)
    assert isinstance(flat, spaces.Box)
    return ActionLayout(
        segments, torch.tensor(flat.low, dtype=torch.float32), torch.tensor(flat.high, dtype=torch.float32)
    )


def unflatten_action(space: spaces.Space, flat: np.ndarray) -> Any:
    """The element of the space that a flat vector (A,) stands for; what rounding took beyond a bound is put back."""
    bounds = spaces.flatten_space(space)
    assert isinstance(bounds, spaces.Box)
    return spaces.unflatten(space, np.clip(flat, bounds.low, bounds.high).astype(bounds.dtype))


class WorldSpec(BaseModel):
    """The facts about a World that its users rely on. An unknown or wrong field is an error that names it."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, ignored_types=(cached_property,), ser_json_inf_nan="constants"
    )  # a Box may have no bounds

    name: str
    size: tuple[int, int] = Field(description="native (height, width) of a frame in pixels, multiples of 16")
    fps: int = Field(gt=0, description="frames, and so actions, per second")
    action: dict[str, Any] = Field(description="the Gymnasium action space, by `space_to_json`")
    context_length: int = Field(
        gt=0,
        description="frames that the World remembers while it is stepped; of a film, latents that are made together",
    )
    film: bool = Field(default=False, description="makes films, all frames at once, and cannot be stepped")
    noise_memory: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="of films: correlation of the noise of one latent with that of the one before",
    )
    painter_steps: int = Field(
        default=4, gt=0, description="denoising steps of what comes into view, of a World that has a painter"
    )
    guidance_scale: float = Field(
        default=1.0,
        gt=0,
        description="of films, and of frames painted from text: how many times as far as without its text one goes, "
        "unless told",
    )
    shortcut: bool = Field(default=False, description="whether the dynamics was trained to know its step size")
    steps: int = Field(default=2, gt=0, description="denoising steps a frame, unless the caller says otherwise")
    context_noise: float = Field(
        default=0.05, ge=0, lt=1, description="noise level of the frames that stepping starts from"
    )
    temperature: float = Field(
        default=1.0, ge=0, description="scale of the noise that frames are made from while stepping"
    )
    sizes: list[tuple[int, int]] = Field(
        default=[], description="of films: further (height, width) in pixels that it learned from"
    )
    field_of_view: float | None = Field(
        default=None,
        gt=0,
        lt=180,
        description="degrees that the height of a frame shows, where a camera turns: such a "
        "World remembers what it showed in other directions, if its tokenizer carries",
    )
    simulator: str | None = Field(default=None, description="id of the ground-truth environment it was trained on")
    simulator_kwargs: dict[str, Any] = Field(default_factory=dict)
    description: str = ""

    @field_validator("size")
    @classmethod
    def _size_is_whole_tokens(cls, size: tuple[int, int]) -> tuple[int, int]:
        return check_size(size)

    @field_validator("sizes")
    @classmethod
    def _sizes_are_whole_tokens(cls, sizes: list[tuple[int, int]]) -> list[tuple[int, int]]:
        return [check_size(size) for size in sizes]

    @cached_property
    def action_space(self) -> spaces.Space:
        """The Gymnasium action space of one lane."""
        return space_from_json(self.action)

    @cached_property
    def layout(self) -> ActionLayout:
        """How the model sees and predicts flat actions."""
        return action_layout(self.action_space)

    @property
    def action_dim(self) -> int:
        """Length of the flat action vector."""
        return int(spaces.flatdim(self.action_space))

    def flatten(self, action: Any) -> np.ndarray:
        """One action of the space as a flat float32 vector (action_dim,); ValueError if it lies outside the space."""
        if not self.action_space.contains(action):
            raise ValueError(f"action {action!r} is outside the action space {self.action_space}")
        return np.asarray(spaces.flatten(self.action_space, action), np.float32)

    def unflatten(self, flat: np.ndarray) -> Any:
        """The action of the space that the flat vector (action_dim,) stands for; the inverse of `flatten`."""
        return unflatten_action(self.action_space, flat)

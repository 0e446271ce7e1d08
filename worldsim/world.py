"""A World: trained weights and their spec, saved as safetensors and JSON, loaded by name or path.

From here a `Simulation` is started. Nothing in this file knows how a World was trained.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from worldsim.checkpoint import load_tensors, save_tensors
from worldsim.files import digest, write_atomically
from worldsim.machine import fast_dtype, pick_device
from worldsim.model import PATCH
from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.model.layers import Linear
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig
from worldsim.spec import WorldSpec

if TYPE_CHECKING:
    from worldsim.simulation import Simulation

WORLDS = Path(__file__).parent / "worlds"
FORMAT = 6  # 6: a painter is a network of the World, and no longer the name of another
_WEIGHTS, _SPEC = "weights.safetensors", "spec.json"


class UnknownWorldError(ValueError):
    """There is no World of that name or at that path."""


class WorldFile(BaseModel):
    """What stands in a World's spec.json."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    format: int
    spec: WorldSpec
    tokenizer: TokenizerConfig
    dynamics: DynamicsConfig
    painter: DynamicsConfig | None = None
    start_captions: list[str]


@dataclass
class Starts:
    """Start contexts: latents (starts, time, h, w, C), flat actions (starts, time - 1, action_dim), captions.

    frames: the last frame of each, uint8 (starts, H, W, 3), as it was recorded.
    """

    latents: Tensor
    actions: Tensor
    frames: Tensor
    captions: list[str]

    def __len__(self) -> int:
        return len(self.latents)

    @classmethod
    def none(cls, spec: WorldSpec, channels: int) -> Starts:
        """No start contexts: a World that makes films begins with nothing."""
        height, width = spec.size
        latents = torch.zeros(0, 1, height // PATCH, width // PATCH, channels)
        frames = torch.zeros(0, height, width, 3, dtype=torch.uint8)
        return cls(latents, torch.zeros(0, 0, spec.action_dim), frames, [])


class World:
    """Tokenizer, dynamics and start contexts with the spec that says what they are for.

    overlay: bool (H, W), pixels that stay on the screen wherever the camera turns, see `worldsim.model.shown`.
    painter: paints what comes into view, and first frames from text, see `worldsim.model.painting`; for a World that
    carries and is seen through a camera.
    """

    def __init__(
        self,
        spec: WorldSpec,
        tokenizer: Tokenizer,
        dynamics: Dynamics,
        starts: Starts,
        overlay: Tensor | None = None,
        painter: Dynamics | None = None,
    ) -> None:
        config = dynamics.config
        if config.action_dim != spec.action_dim or config.policy_logits != spec.layout.logits:
            raise ValueError(
                f"the dynamics was built for actions of {config.action_dim} numbers and {config.policy_logits} logits, "
                f"the spec's action space has {spec.action_dim} and {spec.layout.logits}"
            )
        if config.latent_channels != tokenizer.config.latent_channels:
            raise ValueError(
                f"the dynamics takes latents of {config.latent_channels} channels, "
                f"the tokenizer makes {tokenizer.config.latent_channels}"
            )
        if spec.film == config.causal:
            raise ValueError(
                f"a World that {'makes films needs an open' if spec.film else 'is stepped needs a causal'} dynamics, "
                f"and that of {spec.name} is {'causal' if config.causal else 'open'}"
            )
        if starts.frames.shape != (len(starts), *spec.size, 3) or starts.frames.dtype != torch.uint8:
            raise ValueError(
                f"the start contexts need a uint8 frame of {spec.size} each, there are {starts.frames.dtype} "
                f"{tuple(starts.frames.shape)} for {len(starts)}"
            )
        self.spec, self.tokenizer, self.dynamics, self.starts = spec, tokenizer, dynamics, starts
        if overlay is not None and (overlay.shape != spec.size or overlay.dtype != torch.bool):
            raise ValueError(f"the overlay must be bool {spec.size}, it is {overlay.dtype} {tuple(overlay.shape)}")
        if painter is not None and not (tokenizer.config.carries and spec.field_of_view):
            raise ValueError(
                f"a painter paints for a World that carries and is seen through a camera, which {spec.name} is not"
            )
        if painter is not None and not painter.config.sees_known:
            raise ValueError(f"the painter of {spec.name} does not see what is known: it needs sees_known")
        if painter is not None and painter.config.latent_channels != config.latent_channels:
            raise ValueError(
                f"the painter makes latents of {painter.config.latent_channels} channels, and the World has "
                f"{config.latent_channels}"
            )
        self.overlay, self.painter = overlay, painter
        self.path: Path | None = None  # of the directory that it was loaded from
        self.digest: str | None = None  # what its files were known by then

    @property
    def size(self) -> tuple[int, int]:
        """Native (height, width) of a frame in pixels."""
        return self.spec.size

    @property
    def device(self) -> torch.device:
        return self.dynamics.no_action.device

    @property
    def dtype(self) -> torch.dtype:
        return self.dynamics.no_action.dtype

    @classmethod
    def random(
        cls, spec: WorldSpec, tokenizer: TokenizerConfig | None = None, starts: int = 4, seed: int = 0, **sizes: Any
    ) -> World:
        """An untrained World, for tests and speed measurements; `sizes` are fields of `DynamicsConfig`."""
        state = torch.random.get_rng_state()
        torch.manual_seed(seed)
        tokens = Tokenizer(tokenizer or TokenizerConfig())
        channels = tokens.config.latent_channels
        dynamics = Dynamics(
            DynamicsConfig(
                **{
                    "causal": not spec.film,
                    "words": spec.film,
                    "action_dim": spec.action_dim,
                    "policy_logits": spec.layout.logits,
                    "latent_channels": channels,
                    "reward_values": [-1.0, 0.0, 1.0],
                    **sizes,
                }
            )
        )
        # What is zero before training is random here, so that every input matters to what is shown.
        nn.init.orthogonal_(tokens.analysis)
        tokens.synthesis.copy_(tokens.analysis.T)
        for layer in (dynamics.to_latent, dynamics.heads, *(b.modulation.linear for b in dynamics.typed_blocks)):
            nn.init.normal_(layer.weight, std=0.2)
        if spec.film:
            torch.random.set_rng_state(state)
            return cls(spec, tokens, dynamics, Starts.none(spec, channels))
        if tokens.config.carries:
            nn.init.normal_(tokens.from_moved.weight, std=0.02)
            nn.init.normal_(tokens.to_fit.weight)
        if dynamics.config.moves:
            motion = dynamics.motion
            motion.start_from(tokens)
            led = (motion.embed_seen,) if dynamics.config.sees_motion else ()
            for layer in (motion.whole, motion.parts, motion.follow, *led):
                nn.init.normal_(layer.weight, std=0.02)  # some pixels; more would make chaos of what is noise already
        time = min(spec.context_length, 8)
        shape = (starts, time, spec.size[0] // PATCH, spec.size[1] // PATCH, channels)
        actions = torch.zeros(starts, time - 1, spec.action_dim)
        frames = torch.randint(0, 256, (starts, *spec.size, 3), dtype=torch.uint8)
        world = cls(spec, tokens, dynamics, Starts(torch.randn(shape), actions, frames, [""] * starts))
        torch.random.set_rng_state(state)
        return world

    def save(self, path: str | Path, dtype: torch.dtype = torch.bfloat16) -> None:
        """Write weights.safetensors and spec.json into the directory `path`, each complete or not at all."""
        path = Path(path)
        tensors = {f"tokenizer.{key}": value for key, value in self.tokenizer.state_dict().items()}
        tensors |= {f"dynamics.{key}": value for key, value in self.dynamics.state_dict().items()}
        if self.painter is not None:
            tensors |= {f"painter.{key}": value for key, value in self.painter.state_dict().items()}
        tensors |= {"starts.latents": self.starts.latents}
        tensors = {key: value.to(dtype) for key, value in tensors.items()} | {
            "starts.actions": self.starts.actions.float(),
            "starts.frames": self.starts.frames,
        }
        if self.overlay is not None:
            tensors["overlay"] = self.overlay
        save_tensors(path / _WEIGHTS, tensors)
        file = WorldFile(
            format=FORMAT, spec=self.spec, tokenizer=self.tokenizer.config, dynamics=self.dynamics.config,
            painter=None if self.painter is None else self.painter.config, start_captions=self.starts.captions,
        )  # fmt: skip
        write_atomically(path / _SPEC, json.dumps(file.model_dump(mode="json"), indent=1, ensure_ascii=False))

    def to(self, device: torch.device | str, dtype: torch.dtype) -> World:
        """Move this World to a device and number format, in place; returns it. What `load` gave is shared: do not."""
        device = torch.device(device)
        parts: list[nn.Module] = [self.tokenizer, self.dynamics]
        for part in parts if self.painter is None else [*parts, self.painter]:
            part.to(device, dtype).eval().requires_grad_(False)
            for layer in part.modules():
                if isinstance(layer, Linear):
                    layer.prepare()
        starts = self.starts
        self.starts = Starts(
            starts.latents.to(device, dtype), starts.actions.to(device), starts.frames.to(device), starts.captions
        )
        self.overlay = None if self.overlay is None else self.overlay.to(device)
        return self

    def check_stepped(self) -> None:
        """ValueError if this World makes films."""
        if self.spec.film:
            raise ValueError(
                f"the World {self.spec.name} makes films, all frames at once, and cannot be stepped or played: "
                "try `worldsim generate`, or the World blocks"
            )

    def start(
        self,
        lanes: int = 1,
        seed: int | Sequence[int] = 0,
        *,
        prompt: str | Sequence[str] | None = None,
        context: np.ndarray | Tensor | None = None,
        actions: np.ndarray | Tensor | None = None,
        size: tuple[int, int] | None = None,
        steps: int | None = None,
    ) -> Simulation:
        """Run this World: a Simulation of `lanes` lanes.

        seed: an int (lane i gets seed + i) or one int a lane. A lane starts from one of the World's start contexts,
        drawn by its seed; or from `prompt` (text, one for all or one a lane); or from `context`, uint8 frames
        (T, H, W, 3) or (lanes, T, H, W, 3), with `actions`, the flat actions (T - 1, A) or (lanes, T - 1, A) between;
        nan in those that are not known.
        size: (height, width) of the frames in pixels, multiples of 16 (default: that of the context, or native).
        steps: denoising steps a frame. ValueError for arguments that do not fit.
        """
        from worldsim.simulation import Simulation

        self.check_stepped()
        return Simulation(self, lanes, seed, prompt=prompt, context=context, actions=actions, size=size, steps=steps)


def available_worlds() -> list[str]:
    """Names of the Worlds that ship with the package."""
    return sorted(path.parent.name for path in WORLDS.glob(f"*/{_SPEC}"))


def find_world(name_or_path: str | Path) -> Path:
    """The directory of a World; UnknownWorldError that lists the names there are."""
    for path in (WORLDS / str(name_or_path), Path(name_or_path)):
        if (path / _SPEC).is_file():
            return path
    known = ", ".join(available_worlds()) or "none ships with this installation"
    raise UnknownWorldError(
        f"there is no World {str(name_or_path)!r}: give the directory of a World that `worldsim train` wrote, "
        f"or one of these names: {known}"
    )


def load(name_or_path: str | Path, device: str = "auto", dtype: str | torch.dtype = "auto") -> World:
    """Load a World by name ("blocks") or directory; loaded once a process for each device and dtype.

    device: "auto", "cpu", "cuda"; dtype: "auto" (what this device multiplies faster), "float32" or "bfloat16".
    UnknownWorldError (a ValueError) if there is none; ValueError if its files are damaged or do not fit together.
    """
    target = pick_device(device)
    if isinstance(dtype, str):
        if dtype not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"dtype must be auto, float32 or bfloat16, got {dtype!r}")
        dtype = fast_dtype(target) if dtype == "auto" else getattr(torch, dtype)
    path = find_world(name_or_path).resolve()
    changed = (path / _SPEC).stat().st_mtime_ns  # a World that was trained on is loaded anew
    return _load(path, changed, target, dtype)


@lru_cache(maxsize=4)
def _load(path: Path, changed: int, device: torch.device, dtype: torch.dtype) -> World:
    try:
        content = json.loads((path / _SPEC).read_text(encoding="utf-8"))
        # First of all, because the other fields of another format may be others.
        if isinstance(content, dict) and (found := content.get("format", FORMAT)) != FORMAT:
            raise ValueError(f"{path} is a World of format {found}; this version of worldsim reads format {FORMAT}")
        file = WorldFile.model_validate(content)
    except (ValidationError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path / _SPEC} is not a World's spec: {error}") from None
    tensors, _ = load_tensors(path / _WEIGHTS)
    with torch.device("meta"):
        tokenizer, dynamics = Tokenizer(file.tokenizer), Dynamics(file.dynamics)
        painter = None if file.painter is None else Dynamics(file.painter)
    for part, module in (("tokenizer", tokenizer), ("dynamics", dynamics), ("painter", painter)):
        if module is None:
            continue
        weights = {key.removeprefix(f"{part}."): value for key, value in tensors.items() if key.startswith(f"{part}.")}
        _check_weights(path, part, module, weights)
        module.load_state_dict(weights, assign=True)
    try:
        latents, actions, frames = (tensors[f"starts.{name}"] for name in ("latents", "actions", "frames"))
        starts = Starts(latents, actions, frames, file.start_captions)
    except KeyError as error:
        raise ValueError(f"{path / _WEIGHTS} lacks {error}: it holds no start contexts") from None
    world = World(file.spec, tokenizer, dynamics, starts, tensors.get("overlay"), painter).to(device, dtype)
    world.path, world.digest = path, digest(path / _SPEC, path / _WEIGHTS)
    return world


def _check_weights(path: Path, part: str, module: nn.Module, weights: dict[str, Tensor]) -> None:
    """ValueError that names both sides where the weights on disk do not fit the sizes in spec.json."""
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    have = {key: tuple(value.shape) for key, value in weights.items()}
    differing = [key for key in sorted(wanted.keys() | have.keys()) if wanted.get(key) != have.get(key)]
    if differing:
        key = differing[0]
        raise ValueError(
            f"the weights in {path / _WEIGHTS} do not fit the sizes in {_SPEC}: {part}.{key} is "
            f"{have.get(key, 'missing')} in the file, but {_SPEC} describes {wanted.get(key, 'no such tensor')} "
            f"({len(differing)} of {len(wanted)} differ)"
        )

"""A recipe: everything needed to make a World again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from worldsim.model.dynamics import DynamicsConfig
from worldsim.model.filming import FilmConfig
from worldsim.model.forcing import ForcingConfig
from worldsim.model.painting import PaintingConfig
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.spec import check_size
from worldsim.training.loop import Phase

_PHASES = ("tokenizer_phases", "dynamics_phases", "painter_phases", "decoder_phases")


class DynamicsSizes(BaseModel):
    """Sizes of the dynamics that a recipe chooses; the rest follows from the tokenizer and the action space."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: int = 256
    heads: int = 4
    layers: int = 6
    time_every: int = 3
    text_every: int = 3
    moves: bool = True
    sees_motion: bool = False
    shares_motion: bool = False
    aims: bool = False
    condition_channels: int = 256
    text_channels: int = 128

    @model_validator(mode="after")
    def _fit(self) -> Self:
        # Now, and not after the recording. Of films and painters, which read words; what reads bytes asks for more.
        DynamicsConfig(**self.model_dump(), words=True, action_dim=2, policy_logits=1)
        return self


class PainterRecipe(BaseModel):
    """What a painter learns from, and its sizes, see `worldsim.model.painting`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    frames: int = Field(description="frames to record for it, of as many places as may be")
    episode_frames: int = 40
    policy: str = "auto"
    env_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="changes to the recipe's: nothing should lie over the picture"
    )
    sizes: DynamicsSizes = DynamicsSizes()
    film: str | None = Field(default=None, description="World of films, of the same sizes, whose weights to begin with")
    painting: PaintingConfig = PaintingConfig()
    steps: int = Field(default=4, gt=0, description="denoising steps of what comes into view")

    @model_validator(mode="after")
    def _knows_no_actions(self) -> Self:
        if self.sizes.aims:
            raise ValueError("a painter knows no actions: leave out aims in its sizes")
        return self


class Recipe(BaseModel):
    """Environment, policy, amounts, sizes, seeds and budgets of one World."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str
    env_id: str
    env_kwargs: dict[str, Any] = Field(default_factory=dict)
    policy: str = "auto"
    frames: int = Field(description="frames to record for training")
    episode_frames: int = 256
    seed: int = Field(default=0, description="seed of the first recorded episode")
    tokenizer: TokenizerConfig = TokenizerConfig()
    dynamics: DynamicsSizes = DynamicsSizes()
    forcing: ForcingConfig = ForcingConfig()
    film: FilmConfig | None = Field(default=None, description="for a World that makes films and is not stepped")
    tokenizer_phases: list[Phase]
    dynamics_phases: list[Phase]
    decoder_phases: list[Phase] = Field(default=[], description="of the decoder, on what the dynamics then makes")
    average: float = Field(default=0.999, description="decay of the moving average of the weights, per step")
    compiled: bool = Field(default=True, description="compile the training step; not worth it for a minute of training")
    context_length: int = 15
    steps: int = 1
    context_noise: float = 0.05
    field_of_view: float | None = Field(
        default=None, gt=0, lt=180, description="degrees, see WorldSpec; for a tokenizer that carries"
    )
    temperature: float = 1.0
    painter: PainterRecipe | None = Field(default=None, description="for a World seen through a camera that turns")
    painter_phases: list[Phase] = []
    guidance_scale: float = Field(default=1.0, gt=0, description="of films and painted frames, see WorldSpec")
    sizes: list[tuple[int, int]] = Field(
        default=[], description="further (height, width) of films: the dynamics learns from as many frames of each"
    )
    starts: int = Field(default=32, description="start contexts that are stored with the World")
    start_frames: int = Field(default=16, description="frames of each start context; cut to context_length")
    start_episode_frames: int | None = Field(
        default=None, gt=0, description="of the episodes at whose ends they lie; twice their length unless given"
    )
    start_seed: int = Field(default=5_000_000, description="seeds of the start contexts; never recorded for training")

    @model_validator(mode="after")
    def _films_have_what_they_need(self) -> Self:
        if self.film is None and self.tokenizer.stride > 1:
            raise ValueError(
                f"a World that is stepped goes frame by frame: its tokenizer has stride 1, not {self.tokenizer.stride}"
            )
        of_steps = self.dynamics.sees_motion or self.dynamics.shares_motion or self.dynamics.aims
        if self.film is not None and (self.tokenizer.carries or of_steps):
            raise ValueError(
                "films are made all at once, not from frames before and actions: leave out carries, sees_motion, "
                "shares_motion and aims"
            )
        if self.film is None:
            DynamicsConfig(**self.dynamics.model_dump(), action_dim=2, policy_logits=1)
        if self.sizes and self.film is None:
            raise ValueError("only films are of many sizes: leave out sizes")
        if len(set(self.sizes)) < len(self.sizes):
            raise ValueError(f"sizes names one twice: {self.sizes}")
        for size in self.sizes:
            check_size(size)
        return self

    @model_validator(mode="after")
    def _start_contexts_are_long_enough(self) -> Self:
        frames = min(self.start_frames, self.context_length)
        if self.start_episode_frames is not None and self.start_episode_frames < frames:
            raise ValueError(f"start contexts have {frames} frames: start_episode_frames must be at least that")
        return self

    @model_validator(mode="after")
    def _what_is_carried_is_moved(self) -> Self:
        if self.tokenizer.carries and not self.dynamics.moves:
            raise ValueError("a tokenizer that carries draws from the frame before once it is moved: leave out carries")
        return self

    @model_validator(mode="after")
    def _painters_have_what_they_need(self) -> Self:
        if (self.painter is None) != (not self.painter_phases):
            raise ValueError("a painter needs painter_phases, and they need a painter: give both or neither")
        if self.painter is not None and self.field_of_view is None:
            raise ValueError("a painter paints what comes into view as a camera turns: set field_of_view")
        return self

    @property
    def minutes(self) -> float:
        """How long all phases train."""
        return sum(phase.minutes for part in _PHASES for phase in getattr(self, part))

    def times(self, factor: float, parts: Sequence[str] = _PHASES) -> Recipe:
        """The same with so many times the minutes in each phase of these parts."""
        return self.model_copy(
            update={
                part: [p.model_copy(update={"minutes": factor * p.minutes}) for p in getattr(self, part)]
                for part in parts
            }
        )

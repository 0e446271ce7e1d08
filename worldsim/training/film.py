"""Training an open dynamics, which makes films: clips of latents and their captions, without actions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from worldsim.data.batches import ahead, film_batches
from worldsim.data.store import FrameStore
from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.model.filming import FilmConfig, film_loss
from worldsim.model.tokenizer import Tokenizer
from worldsim.recipes.recipe import Recipe
from worldsim.spec import WorldSpec, space_to_json
from worldsim.training.loop import Batch, Loss, Phase, Training
from worldsim.world import Starts, World


def train_film_dynamics(
    recipe: Recipe,
    film: FilmConfig,
    store: FrameStore,
    latents: np.ndarray,
    tokenizer: Tokenizer,
    out: Path,
    device: torch.device,
    train_part: Callable[..., Training],
    begin: Callable[[Dynamics], None],
) -> Path:
    """Train the dynamics of a World that makes films, on latents (N // stride, h, w, C); the World's path.

    begin: called with the new network, to give it the weights to begin with.
    """
    nothing = spaces.Discrete(1)  # nobody is at the controls of a film
    spec = WorldSpec(
        name=recipe.name, size=store.size, fps=store.fps, action=space_to_json(nothing), steps=recipe.steps,
        context_length=film_window(recipe), film=True, guidance_scale=recipe.guidance_scale,
        simulator=store.env_id or None, simulator_kwargs=store.env_kwargs, description=recipe.description,
    )  # fmt: skip
    config = DynamicsConfig(
        **recipe.dynamics.model_dump(), causal=False, words=True, latent_channels=recipe.tokenizer.latent_channels,
        action_dim=spec.action_dim, policy_logits=spec.layout.logits,
    )  # fmt: skip
    torch.manual_seed(recipe.seed + 1)
    dynamics = Dynamics(config).to(device)
    begin(dynamics)

    def save_world(average: dict[str, Tensor]) -> None:
        copy = Dynamics(config)
        copy.load_state_dict({key: value.detach().cpu() for key, value in average.items()})
        World(spec, tokenizer, copy, Starts.none(spec, config.latent_channels)).save(out / "world")

    def loss(phase: Phase) -> Loss:
        mix = film_mix(film, phase)
        return lambda batch: film_loss(dynamics, mix, **batch)

    def batches(phase: Phase, seed: int) -> Iterator[Batch]:
        return ahead(film_batches(store, latents, recipe.tokenizer.stride, phase.batch, phase.time, device, seed))

    train_part(dynamics, name="dynamics", on_checkpoint=save_world).run(recipe.dynamics_phases, loss, batches)
    return out / "world"


def film_window(recipe: Recipe) -> int:
    """How many frames, as the dynamics sees them, are made together: those of the last phase."""
    return recipe.dynamics_phases[-1].time


def film_mix(film: FilmConfig, phase: Phase) -> FilmConfig:
    """The training mix of a phase; ValueError that names a setting which there is not."""
    return FilmConfig.model_validate(film.model_dump() | phase.settings)

"""Training a decoder further, on what the World makes that it belongs to."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from worldsim.data.batches import Batch
from worldsim.data.store import FrameStore
from worldsim.model.discriminator import Discriminator
from worldsim.model.tokenizer import ReconstructionConfig, Tokenizer
from worldsim.recipes.recipe import Recipe
from worldsim.training.drawing import drawing_batches, make_frames
from worldsim.training.film import film_drawing_batches
from worldsim.training.loop import Loss, Phase, Training, trained_rival
from worldsim.training.painting import painted_views
from worldsim.world import World, load


def train_decoder(
    recipe: Recipe, store: FrameStore, path: Path, step: int, out: Path, device: torch.device,
    train_part: Callable[..., Training], show: bool,
) -> None:  # fmt: skip
    """Train the tokenizer's decoder further, beside recorded frames on those that the World makes, and save it there.

    The encoder stays, and so all that was encoded, and the dynamics. step: of what makes the frames; trained on, it
    makes others.
    """
    discriminator = new_discriminator(recipe.decoder_phases, device)
    if discriminator is not None and (learned := trained_rival(out / "tokenizer.safetensors")):
        discriminator.load_state_dict(learned)
    for number, phase in enumerate(recipe.decoder_phases, 1):
        # Each phase on what the World makes with the decoder of the phase before: what is drawn is what goes on.
        world = copy.deepcopy(load(path, device=str(device), dtype="float32"))  # what `load` gave is shared
        name = f"decoder-{step}-{number}"
        made = out / f"{name}-made.safetensors"
        tokenizer = world.tokenizer.requires_grad_(True)
        train_part(tokenizer, name=name, rival=discriminator).run(
            [phase],
            loss=partial(_drawing_loss, tokenizer, discriminator),
            batches=partial(_drawing_batches, load(path, device=str(device)), store, made, device, show),
        )
        made.unlink(missing_ok=True)
        world.save(path)


def new_discriminator(phases: list[Phase], device: torch.device) -> Discriminator | None:
    """A new one if some phase needs one."""
    adversarial = any(ReconstructionConfig(**phase.settings).adversarial for phase in phases)
    return Discriminator().to(device) if adversarial else None


def _drawing_loss(tokenizer: Tokenizer, discriminator: Discriminator | None, phase: Phase) -> Loss:
    config = ReconstructionConfig(**phase.settings)
    return lambda batch: tokenizer.loss(config=config, discriminator=discriminator, **batch)


def _drawing_batches(
    world: World, store: FrameStore, made: Path, device: torch.device, show: bool, phase: Phase, seed: int
) -> Iterator[Batch]:
    if world.spec.film:
        return film_drawing_batches(world, store, phase.batch, device, seed)
    painted = None if world.painter is None else painted_views(world, store, max(phase.batch // 2, 1), device, seed)
    made_frames = make_frames(world, store, made, seed=seed, show=show)
    return drawing_batches(store, made_frames, phase.batch, device, seed, painted)

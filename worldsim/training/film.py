"""Training an open dynamics, which makes films: clips of latents and their captions, without actions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from worldsim.data.batches import Captions, ahead, film_batches, frame_batches, to_device
from worldsim.data.store import FrameStore
from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.model.filming import FilmConfig, film_loss, sample_film
from worldsim.model.tokenizer import Tokenizer
from worldsim.recipes.recipe import Recipe
from worldsim.spec import WorldSpec, space_to_json
from worldsim.training.loop import Batch, Loss, Phase, Training
from worldsim.world import Starts, World

Recorded = tuple[FrameStore, np.ndarray]  # films of one size, and their latents (N // stride, h, w, C)
_STEPS, _MOST_STRENGTH = 6, 0.7  # of what the decoder learns to draw


def train_film_dynamics(
    recipe: Recipe,
    film: FilmConfig,
    recorded: Sequence[Recorded],
    tokenizer: Tokenizer,
    out: Path,
    device: torch.device,
    train_part: Callable[..., Training],
    begin: Callable[[Dynamics], None],
) -> tuple[Path, int]:
    """Train the dynamics of a World that makes films, on films of one size or more; the first is the World's own.

    Returns the World's path, and how many steps it was trained for.

    begin: called with the new network, to give it the weights to begin with.
    """
    store = recorded[0][0]
    nothing = spaces.Discrete(1)  # nobody is at the controls of a film
    spec = WorldSpec(
        name=recipe.name, size=store.size, fps=store.fps, action=space_to_json(nothing), steps=recipe.steps,
        context_length=recipe.dynamics_phases[-1].time, film=True, guidance_scale=recipe.guidance_scale,
        noise_memory=film.noise_memory, sizes=[other.size for other, _ in recorded[1:]],
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
        pictures = film_mix(film, phase).pictures
        return ahead(mixed_batches(recorded, recipe.tokenizer.stride, phase, pictures, device, seed))

    training = train_part(dynamics, name="dynamics", on_checkpoint=save_world)
    training.run(recipe.dynamics_phases, loss, batches)
    return out / "world", training.progress.step


def mixed_batches(
    recorded: Sequence[Recorded], stride: int, phase: Phase, pictures: float, device: torch.device, seed: int
) -> Iterator[Batch]:
    """Endless batches of `film_batches`, each of one size, all of about as many tokens as one of the first size.

    pictures: the share of the batches that are of single latents, of which more fit in.
    """
    rng = np.random.default_rng([seed, 3])
    area = recorded[0][0].size[0] * recorded[0][0].size[1]
    on_device = [(store, to_device(latents, device)) for store, latents in recorded]  # once, for clips and pictures

    def of_each_size(batch: int, time: int) -> list[Iterator[Batch]]:
        return [
            film_batches(
                store, latents, stride, max(round(batch * area / (store.size[0] * store.size[1])), 1), time, device,
                seed + number,
            )
            for number, (store, latents) in enumerate(on_device)
        ]  # fmt: skip

    clips, singles = of_each_size(phase.batch, phase.time), of_each_size(phase.batch * phase.time, 1)
    while True:
        kind = singles if rng.random() < pictures else clips
        yield next(kind[rng.integers(len(kind))])


def film_drawing_batches(
    world: World, store: FrameStore, batch: int, device: torch.device, seed: int
) -> Iterator[Batch]:
    """Endless batches for `Tokenizer.loss`: half recorded frames, half what the World makes of others and captions.

    They are made anew to a random degree, up to most of it (SDEdit): so far they are still of the same place, and have
    the faults that the decoder is to forgive, tokens that do not quite fit together among them.
    """
    rng = np.random.default_rng([seed, 2])
    stride, tokenizer = world.tokenizer.config.stride, world.tokenizer
    texts = [Captions(store, episode) for episode in range(len(store))]
    nothing = world.dynamics.encode_prompts([None])
    alone = torch.ones(1, 1, device=device)
    for recorded in frame_batches(store, batch - batch // 2, device, seed, stride):
        made, truth, travelled = [], [], []
        for episode in rng.choice(np.flatnonzero(store.lengths >= stride), batch // 2):
            row = int(rng.integers(0, store.lengths[episode] - stride + 1))
            first = int(store.starts[episode]) + row
            frames = torch.from_numpy(np.array(store.frames[first : first + stride])).to(device)
            latents = tokenizer.encode(frames)[None].float()
            text = world.dynamics.encode_prompts([texts[episode].at(row, rng)])
            strength = float(rng.uniform(0.1, _MOST_STRENGTH))
            made.append(
                sample_film(
                    world.dynamics, latents, strength * alone[0], torch.randn_like(latents), text, alone, window=1,
                    steps=_STEPS, guidance_scale=world.spec.guidance_scale, unwanted=nothing,
                )[0, 0]
            )  # fmt: skip
            truth.append(frames)
            travelled.append(
                torch.full((stride,), strength / 2, device=device)
            )  # as far off as frames that have moved so
        yield recorded | {"made": torch.stack(made), "truth": torch.cat(truth), "travelled": torch.cat(travelled)}


def film_mix(film: FilmConfig, phase: Phase) -> FilmConfig:
    """The training mix of a phase; ValueError that names a setting which there is not."""
    return FilmConfig.model_validate(film.model_dump() | phase.settings)

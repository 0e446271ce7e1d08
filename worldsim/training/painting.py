"""Training a painter: on recorded frames of which it is told only what a camera saw before it turned or walked.

What is known is as it would be when stepped: colours that were looked up between pixels, or were drawn from latents.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from worldsim.data.batches import Batch, Captions, ahead
from worldsim.data.store import FrameStore
from worldsim.model import PATCH
from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.model.painting import PaintingConfig, guess, paint, painting_loss, unknown
from worldsim.model.text import encode_words
from worldsim.model.tokenizer import Tokenizer, blurred
from worldsim.recipes.recipe import PainterRecipe, Recipe
from worldsim.training.loop import Loss, Phase, Training
from worldsim.world import World, load

_NOTHING = 0.3  # share of frames of which nothing is known: they are painted from text alone
_LEAST_TURN, _MOST_TURN = 1.0, 60.0  # degrees
_ZOOM = 0.25  # logarithm of how far the most what is in view moves apart or together, as one walks on or back
_HOLES = 4  # the most that are no longer hidden by what is near
_DRAWN, _BLURRED = 0.4, 0.2  # shares of frames of which what is known is what latents tell of it, or blurred
_BLUR = 1.5  # pixels, the most
_LIKENED, _SHUT = 1500, -2.0  # frames, and a logit, see `taken_over`
_PAINTED_AWAY = 1.0  # heights from the truth: so far away counts what a painter made


def train_painter(
    recipe: Recipe, painter: PainterRecipe, store: FrameStore, path: Path, device: torch.device,
    train_part: Callable[..., Training], base: World | None,
) -> int:  # fmt: skip
    """Train the painter of the World in `path` on the frames of a store, and save it there; returns its steps.

    base: a World whose painter's weights to begin with, if it has one. ValueError if that has other sizes.
    """
    world = copy.deepcopy(load(path, device="cpu", dtype="float32"))  # what `load` gave is shared
    config = painter_config(recipe, painter)
    torch.manual_seed(recipe.seed + 2)
    network, tokenizer = Dynamics(config), world.tokenizer
    begun = (path.parent / "painter.safetensors").exists()  # and what it had learned will be taken up
    if base is not None and base.painter is not None:
        network.load_state_dict(base.painter.state_dict())
    elif painter.film is not None and not begun:
        rows = np.linspace(0, len(store.frames) - 1, _LIKENED).astype(int)
        film = load(painter.film, device="cpu", dtype="float32")
        network.load_state_dict(taken_over(film, tokenizer, network, torch.from_numpy(np.array(store.frames[rows]))))
    network, tokenizer = network.to(device), tokenizer.to(device)

    def save_world(average: dict[str, Tensor]) -> None:
        world.painter = Dynamics(config)
        world.painter.load_state_dict({key: value.detach().cpu() for key, value in average.items()})
        world.spec = world.spec.model_copy(update={"painter_steps": painter.steps})
        world.save(path)

    def loss(phase: Phase) -> Loss:
        mix = painting_mix(painter, phase)
        return lambda batch: painting_loss(network, mix, **batch)

    def batches(phase: Phase, seed: int) -> Iterator[Batch]:
        assert recipe.field_of_view is not None, "the recipe was checked"
        return ahead(painting_batches(store, tokenizer, phase.batch, device, seed, recipe.field_of_view))

    training = train_part(network, name="painter", on_checkpoint=save_world)
    training.run(recipe.painter_phases, loss, batches)
    return training.progress.step


def painter_config(recipe: Recipe, painter: PainterRecipe) -> DynamicsConfig:
    """The sizes of a recipe's painter."""
    return DynamicsConfig(
        **painter.sizes.model_dump(), causal=False, words=True, sees_known=True,
        latent_channels=recipe.tokenizer.latent_channels, action_dim=1, policy_logits=1,
    )  # fmt: skip


def check_painter(recipe: Recipe, painter: PainterRecipe, base: World | None) -> None:
    """ValueError for settings that there are not, and for weights to begin with that are missing or of other sizes."""
    for phase in recipe.painter_phases:
        painting_mix(painter, phase)
    config, theirs = painter_config(recipe, painter), None
    if base is not None and base.painter is not None:
        theirs = base.painter.config
    elif painter.film is not None:
        theirs = load(painter.film, device="cpu", dtype="float32").dynamics.config
        theirs = theirs.model_copy(update={"sees_known": True})
    if theirs is not None and theirs != config:
        raise ValueError(f"the network that the painter is to begin with is {theirs}, that of the recipe is {config}")


@torch.no_grad()
def taken_over(film: World, tokenizer: Tokenizer, painter: Dynamics, frames: Tensor) -> dict[str, Tensor]:
    """The weights of a painter that draws as the dynamics of a World of films does, in the latents of a tokenizer.

    Both kinds of latents are linear in the pixels. So each of them is nearly a linear function of the other, found from
    frames, uint8 (n, H, W, 3), that stand still, and goes into the first and the last layer. Of what is known it has
    learned nothing yet.
    """
    still = frames.repeat_interleave(film.tokenizer.config.stride, 0)
    ours, theirs = tokenizer.encode(frames).flatten(0, 2), film.tokenizer.encode(still).flatten(0, 2)
    (there, _), (back, offset) = _linear_map(ours, theirs), _linear_map(theirs, ours)
    old, new = film.dynamics.state_dict(), painter.state_dict()
    new |= {key: value for key, value in old.items() if new[key].shape == value.shape}
    new["embed.weight"] = old["embed.weight"] @ there.T
    # A gate that is nearly shut, before what is known; the rest makes up for what it keeps.
    drawn = 1 - torch.sigmoid(torch.tensor(_SHUT))
    weight, bias = back.T @ old["to_latent.weight"] / drawn, (old["to_latent.bias"] @ back + offset) / drawn
    new["to_latent.weight"] = torch.cat([torch.zeros_like(weight), weight])
    new["to_latent.bias"] = torch.cat([torch.full_like(bias, _SHUT), bias])
    # How much each channel keeps of what is noisy: the diagonal of what is kept there, seen from here.
    new["keep_noisy.weight"] = torch.einsum("f c, f b, b f -> b c", old["keep_noisy.weight"], back, there)
    new["keep_noisy.bias"] = torch.einsum("f, f b, b f -> b", old["keep_noisy.bias"], back, there)
    for key in ("embed_known.weight", "embed_known.bias", "summarise_known.weight"):
        new[key] = new[key] / 10
    return new


def _linear_map(inputs: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """The weight (in, out) and the offset (out,) with the least squared error."""
    rows = torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1).double()
    found = torch.linalg.lstsq(rows, outputs.double()).solution.to(outputs.dtype)
    return found[:-1], found[-1]


def painting_mix(painter: PainterRecipe, phase: Phase) -> PaintingConfig:
    """How the painter learns in a phase; ValueError that names a setting which there is not."""
    return PaintingConfig.model_validate(painter.painting.model_dump() | phase.settings)


def painting_batches(
    store: FrameStore, tokenizer: Tokenizer, batch: int, device: torch.device, seed: int, field_of_view: float
) -> Iterator[Batch]:
    """Endless batches: the tensor arguments of `worldsim.model.painting.painting_loss`."""
    rng = np.random.default_rng(seed)
    texts = [Captions(store, episode) for episode in range(len(store))]
    while True:
        episodes = rng.choice(len(store), batch, p=store.lengths / store.lengths.sum())
        rows = rng.integers(0, store.lengths[episodes])
        captions = [texts[episode].at(int(row), rng) for episode, row in zip(episodes, rows, strict=True)]
        frames = torch.from_numpy(np.array(store.frames[store.starts[episodes] + rows])).to(device)
        with torch.no_grad():
            latents = tokenizer.encode(frames)
            seen = _as_shown(tokenizer, frames, latents, rng)
        mask = torch.from_numpy(random_masks(batch, store.size, field_of_view, rng)).to(device)[..., None]
        known = torch.cat([seen * mask, mask], -1)
        yield {
            "latents": latents.float(),
            "known": guess(tokenizer, known),
            "new": unknown(known),
            "text": encode_words(captions, device),
        }


def painted_views(world: World, store: FrameStore, count: int, device: torch.device, seed: int) -> Iterator[Batch]:
    """Endless batches of views that the World's painter made of parts of frames, as `drawing_batches` adds them.

    What the painter makes up is not what was there: such views count as far from the truth.
    """
    rng = np.random.default_rng([seed, 3])
    assert world.painter is not None, "this World has no painter"
    assert world.spec.field_of_view is not None, "it is seen through a camera"
    nothing = world.painter.encode_prompts([None] * count)
    overlay = world.overlay if world.overlay is not None and world.size == store.size else None
    while True:
        episodes = rng.choice(len(store), count, p=store.lengths / store.lengths.sum())
        rows = store.starts[episodes] + rng.integers(0, store.lengths[episodes])
        frames = torch.from_numpy(np.array(store.frames[rows])).to(device)
        with torch.no_grad():
            seen = _as_shown(world.tokenizer, frames, world.tokenizer.encode(frames), rng)
        mask = torch.from_numpy(random_masks(count, store.size, world.spec.field_of_view, rng)).to(device)[..., None]
        if overlay is not None:
            mask = mask * ~overlay[..., None]
        known = torch.cat([seen * mask, mask], -1)
        shape = frames.shape[1] // PATCH, frames.shape[2] // PATCH, world.dynamics.config.latent_channels
        noise = torch.randn(count, *shape, device=device)
        latents = paint(world.painter, guess(world.tokenizer, known), noise, nothing, steps=world.spec.painter_steps)
        moved = (255 * known).round().to(torch.uint8)
        yield {
            "made": latents, "truth": frames, "moved": moved, "true_moved": moved[..., :3],
            "travelled": torch.full((count,), _PAINTED_AWAY, device=device),
        }  # fmt: skip


def seen_before(
    size: tuple[int, int], field_of_view: float, yaw: np.ndarray, pitch: np.ndarray, apart: np.ndarray
) -> np.ndarray:
    """Which pixels a camera saw before it turned to the right and up, in radians (n,), each: bool (n, H, W).

    field_of_view: degrees of the height. apart (n,): how many times as far from the middle as now things were then.
    """
    height, width = size
    slope = math.tan(math.radians(field_of_view) / 2)
    y = (2 * np.arange(height) + 1 - height) / height * slope
    x = (2 * np.arange(width) + 1 - width) / height * slope
    yaw, pitch, apart = (part[:, None, None] for part in (yaw, pitch, apart))
    # The ray through each pixel, seen from the camera before: turned up or down, then to a side.
    across, down = np.broadcast_arrays(x[None, None], y[None, :, None])
    up, ahead = down * np.cos(pitch) - np.sin(pitch), np.cos(pitch) + down * np.sin(pitch)
    side, ahead = across * np.cos(yaw) + ahead * np.sin(yaw), ahead * np.cos(yaw) - across * np.sin(yaw)
    limit = np.maximum(ahead, 1e-6) * slope / apart
    return (ahead > 0) & (np.abs(side) <= limit * width / height) & (np.abs(up) <= limit)


def random_masks(count: int, size: tuple[int, int], field_of_view: float, rng: np.random.Generator) -> np.ndarray:
    """What is known of frames after random turns and steps, float32 (count, H, W), 1 or 0."""
    height, width = size
    angle = np.radians(_LEAST_TURN + (_MOST_TURN - _LEAST_TURN) * rng.random(count) ** 1.3)
    way = rng.uniform(0, 2 * math.pi, count)
    apart = np.exp(_ZOOM * rng.uniform(-1, 1, count) * (rng.random(count) < 0.5))
    mask = seen_before(size, field_of_view, angle * np.cos(way), 0.6 * angle * np.sin(way), apart)
    for number in range(count):
        if rng.random() < _NOTHING:
            mask[number] = False
        elif rng.random() < 0.5:
            for _ in range(rng.integers(1, _HOLES + 1)):
                tall, wide = np.exp(rng.uniform(0, np.log([height / 2, width / 4]))).astype(int)
                top, left = rng.integers(-tall, height), rng.integers(-wide, width)
                mask[number, max(top, 0) : top + tall, max(left, 0) : left + wide] = False
    return mask.astype(np.float32)


def _as_shown(tokenizer: Tokenizer, frames: Tensor, latents: Tensor, rng: np.random.Generator) -> Tensor:
    """Frames as they look when stepped: some are what latents tell of them, some blurred; float in [0, 1]."""
    seen = frames.float() / 255
    kind = torch.from_numpy(rng.random(len(frames))).to(frames.device)
    drawn, soft = kind < _DRAWN, kind > 1 - _BLURRED
    if drawn.any():
        seen[drawn] = (tokenizer.linear_inverse(latents[drawn]).float() + 1) / 2
    if soft.any():
        seen[soft] = blurred(seen[soft], _BLUR * torch.rand(int(soft.sum()), device=frames.device))
    return seen.clamp(0, 1)

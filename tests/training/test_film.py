"""`worldsim train` of a World that makes films: from a recording to films that are of their captions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import worldsim
from worldsim import studio
from worldsim.clip import Clip
from worldsim.data.batches import encode_store
from worldsim.data.record import record_store
from worldsim.data.store import FrameStore
from worldsim.model.filming import FilmConfig
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.recipes import load_recipe
from worldsim.recipes.recipe import DynamicsSizes, Recipe
from worldsim.training.film import mixed_batches
from worldsim.training.loop import Phase
from worldsim.training.run import train
from worldsim.world import World


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe(
        name="small_film",
        description="",
        env_id="worldsim/BlocksSim-v0",
        env_kwargs={"size": [32, 32], "overlay": False},
        policy="filming",
        frames=4800,
        episode_frames=16,
        tokenizer=TokenizerConfig(
            latent_channels=12, stride=2, channels=32, layers=1, fine_channels=32, fine_layers=1, head_dim=16
        ),
        tokenizer_phases=[Phase(minutes=0.05, batch=16)],
        dynamics=DynamicsSizes(channels=64, heads=2, layers=4, time_every=2, text_every=2, condition_channels=64),
        film=FilmConfig(),
        dynamics_phases=[
            Phase(minutes=0.5, batch=48, time=1, rate=3e-3, rate_end=2e-3),
            Phase(minutes=0.3, batch=12, time=4, rate=2e-3, rate_end=1e-4),
        ],
        decoder_phases=[Phase(minutes=0.05, batch=8, rate=1e-3, rate_end=1e-4)],
        average=0.98,
        compiled=False,
        steps=8,
        guidance_scale=2.0,
    )


@pytest.fixture(scope="module")
def world(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> World:
    out = tmp_path_factory.mktemp("film")
    return worldsim.load(train(recipe, out, show=False), device="cpu", dtype="float32")


def light(clip: Clip) -> float:
    return float(clip.frames.mean())


def test_films_are_of_what_the_words_say(world: World) -> None:
    def made(prompt: str) -> list[float]:
        return [light(clip) for clip in studio.generate(world, prompt, frames=8, variations=8)]

    nights, days = made("a meadow at night"), made("a meadow by day")
    assert np.mean(nights) < np.mean(days) - 40, (nights, days)
    assert np.mean(made("黑夜的草地")) < np.mean(made("白天的草地"))


def test_what_is_between_is_like_what_is_given(world: World) -> None:
    """A film that goes on from a bright one is bright, whatever else it is."""
    (begun,) = studio.generate(world, "a snowy plain by day", frames=4, seed=1)
    begun = Clip(begun.frames, fps=20)
    dark = Clip(begun.frames // 6, fps=20)
    bright = studio.connect(world, begun, begun, seconds=0.2)[0].frames[4:-4]
    assert bright.mean() > studio.connect(world, dark, dark, seconds=0.2)[0].frames[4:-4].mean() + 10


def test_the_spec_says_that_it_makes_films(world: World) -> None:
    assert world.spec.film
    assert world.spec.context_length == 4
    assert world.spec.guidance_scale == 2.0
    assert not world.dynamics.config.causal


def test_a_film_that_is_trained_on_keeps_what_it_knows(recipe: Recipe, world: World, tmp_path: Path) -> None:
    assert world.path is not None
    more = recipe.model_copy(
        update={
            "dynamics_phases": [Phase(minutes=0.02, batch=4, time=4, rate=1e-6, rate_end=1e-6)],
            "decoder_phases": [],
            "sizes": [(48, 32)],
            "frames": 160,
        }
    )
    data = world.path.parent / "frames"
    other = worldsim.load(
        train(more, tmp_path, data=data, init=str(world.path), show=False), device="cpu", dtype="float32"
    )
    one, two = (studio.generate(each, "a desert at dusk", frames=4)[0].frames.astype(int) for each in (world, other))
    assert np.abs(one - two).mean() < 8
    assert other.spec.sizes == [(48, 32)]
    assert FrameStore.open(tmp_path / "frames-48x32").size == (48, 32)


def test_batches_are_of_all_sizes_and_some_of_single_pictures(recipe: Recipe, world: World, tmp_path: Path) -> None:
    recorded = []
    for height, width in ((32, 32), (32, 64)):
        kwargs = recipe.env_kwargs | {"size": [height, width]}
        record_store(recipe.env_id, 64, tmp_path / str(width), env_kwargs=kwargs, policy="filming", seed=0,
                     episode_frames=16, progress=False)  # fmt: skip
        store = FrameStore.open(tmp_path / str(width))
        parts = [latents for _, latents in encode_store(world.tokenizer, store, torch.device("cpu"))]
        recorded.append((store, np.concatenate(parts)))
    phase = Phase(minutes=1, batch=8, time=4)
    batches = mixed_batches(recorded, 2, phase, 0.25, torch.device("cpu"), 0)
    shapes = Counter(tuple(next(batches)["latents"].shape[:4]) for _ in range(200))
    # (batch, time, rows, columns): twice as wide, half as many; and single ones, as many frames as of clips.
    assert set(shapes) == {(8, 4, 2, 2), (4, 4, 2, 4), (32, 1, 2, 2), (16, 1, 2, 4)}
    assert 25 < shapes[32, 1, 2, 2] + shapes[16, 1, 2, 4] < 80
    assert 60 < shapes[4, 4, 2, 4] + shapes[16, 1, 2, 4] < 140


def test_what_does_not_fit_is_said_at_once(recipe: Recipe, tmp_path: Path) -> None:
    values = recipe.model_dump()
    for message, changes in (
        ("stride 1, not 2", {"film": None}),
        ("made all at once", {"dynamics": values["dynamics"] | {"sees_motion": True}}),
        ("made all at once", {"tokenizer": values["tokenizer"] | {"stride": 1, "carries": True}}),
        ("multiples of 16", {"sizes": [(40, 32)]}),
        ("names one twice", {"sizes": [(48, 32), (48, 32)]}),
        ("leave out sizes", {"film": None, "sizes": [(48, 32)], "tokenizer": values["tokenizer"] | {"stride": 1}}),
    ):
        with pytest.raises(ValidationError, match=message):
            Recipe.model_validate(values | changes)
    longer = recipe.model_copy(update={"dynamics_phases": [Phase(minutes=1, batch=4, time=9)], "frames": 64})
    with pytest.raises(ValueError, match="films of 18 frames need episodes as long, and the longest has 16"):
        train(longer, tmp_path / "long", show=False)
    short = recipe.model_copy(update={"sizes": [(48, 32)], "frames": 64, "episode_frames": 4})
    with pytest.raises(ValueError, match="the longest has 4"):
        train(short, tmp_path / "short", show=False)
    wrong = recipe.model_copy(update={"dynamics_phases": [Phase(minutes=1, batch=4, settings={"own": 0.5})]})
    with pytest.raises(ValidationError, match="own"):
        train(wrong, tmp_path / "wrong", show=False)


def test_the_recipe_that_ships_is_one_of_films() -> None:
    assert load_recipe("blocks_film").film is not None

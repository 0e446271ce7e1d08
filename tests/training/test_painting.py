"""Training a painter: what it is shown of frames, and what it then paints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from pydantic import ValidationError

import worldsim
from worldsim.data.store import FrameStore
from worldsim.model.dynamics import Dynamics
from worldsim.model.painting import guess, paint
from worldsim.model.surroundings import Surroundings
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig
from worldsim.painter import paint_frames
from worldsim.recipes import load_recipe
from worldsim.recipes.recipe import DynamicsSizes, PainterRecipe, Recipe
from worldsim.spec import WorldSpec, space_to_json
from worldsim.training.loop import Phase
from worldsim.training.painting import random_masks, seen_before, taken_over
from worldsim.training.run import train
from worldsim.world import World

SIZES = DynamicsSizes(channels=64, heads=2, layers=3, time_every=3, text_every=2, condition_channels=64)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    tokenizer = TokenizerConfig(
        latent_channels=12, carries=True, channels=32, layers=1, fine_channels=32, fine_layers=1, head_dim=16
    )
    return Recipe(
        name="small_painter",
        description="",
        env_id="worldsim/BlocksSim-v0",
        env_kwargs={"size": [32, 48]},
        policy="blocks",
        frames=400,
        episode_frames=40,
        starts=2,
        tokenizer=tokenizer,
        tokenizer_phases=[Phase(minutes=0.05, batch=16)],
        dynamics=SIZES,
        dynamics_phases=[Phase(minutes=0.05, batch=4, time=4)],
        painter=PainterRecipe(
            frames=3200, episode_frames=16, policy="blocks", env_kwargs={"overlay": False}, sizes=SIZES
        ),
        painter_phases=[Phase(minutes=0.45, batch=48, rate=3e-3, rate_end=1e-4)],
        average=0.98,
        compiled=False,
        context_length=4,
        field_of_view=70.0,
        guidance_scale=2.0,
    )


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("painter")
    train(recipe, out, show=False)
    return out


@pytest.fixture(scope="module")
def world(run: Path) -> World:
    return worldsim.load(run / "world", device="cpu", dtype="float32")


def test_it_paints_by_words(world: World) -> None:
    noise = torch.randn(16, 2, 3, 12, generator=torch.Generator().manual_seed(0))
    day, night = (
        paint_frames(world, [f"a meadow {hour}"] * 16, noise).double().mean() for hour in ("by day", "at night")
    )
    assert day > night + 20


def test_what_it_paints_goes_with_what_is_known(run: Path, world: World) -> None:
    assert world.painter is not None
    store = FrameStore.open(run / "paintings")
    rows = torch.arange(0, 3200, 50)
    frames = torch.from_numpy(np.array(store.frames[rows.numpy()])).float() / 255
    known = torch.cat([frames, torch.ones_like(frames[..., :1])], -1)
    known[:, :, 32:, 3] = 0
    noise = torch.randn(len(rows), 2, 3, 12, generator=torch.Generator().manual_seed(0))
    nothing = world.painter.encode_prompts([None] * len(rows))
    latents = paint(world.painter, guess(world.tokenizer, known), noise, nothing, steps=6)
    colours = ((world.tokenizer.linear_inverse(latents) + 1) / 2)[:, :, 32:].mean(2)
    true = frames[:, :, 32:].mean(2)
    off, of_others = ((colours - other).abs().mean() for other in (true, true.roll(1, 0)))
    assert off < 0.6 * of_others


def test_the_world_goes_on_where_it_is_stepped(world: World) -> None:
    assert world.spec.painter_steps == 4
    assert world.spec.guidance_scale == 2.0
    frames = world.start(seed=1, prompt="snow").step(np.zeros((1, world.spec.action_dim), np.float32)).frames
    assert frames.shape == (1, 32, 48, 3)


def test_trained_again_it_is_what_it_was_and_others_begin_with_it(run: Path, recipe: Recipe, tmp_path: Path) -> None:
    before = (run / "world" / "weights.safetensors").read_bytes()
    train(recipe, run, show=False)
    assert (run / "world" / "weights.safetensors").read_bytes() == before
    brief = [phase.model_copy(update={"minutes": 0.001}) for phase in recipe.painter_phases]
    dynamics = [recipe.dynamics_phases[0].model_copy(update={"minutes": 0.001})]
    changes = {"painter_phases": brief, "dynamics_phases": dynamics}
    more = recipe.model_copy(update=changes)
    again = worldsim.load(train(more, tmp_path / "more", init=str(run / "world"), show=False), "cpu", "float32")
    noise = torch.randn(8, 2, 3, 12, generator=torch.Generator().manual_seed(0))
    assert paint_frames(again, ["at night"] * 8, noise).double().mean() < 100, "it knows the night from before"
    unpainted = more.model_copy(update={"painter": None, "painter_phases": [], "guidance_scale": 1.0})
    path = train(unpainted, tmp_path / "kept", data=run / "frames", init=str(run / "world"), show=False)
    kept, first = (worldsim.load(each, "cpu", "float32") for each in (path, run / "world"))
    assert kept.painter is not None, "a recipe that trains no painter leaves it as it is"
    assert first.painter is not None
    assert all(torch.equal(*pair) for pair in zip(kept.painter.parameters(), first.painter.parameters(), strict=True))
    assert kept.spec.painter_steps == first.spec.painter_steps
    assert kept.spec.guidance_scale == first.spec.guidance_scale == 2.0
    assert recipe.painter is not None
    wider = recipe.painter.model_copy(update={"sizes": SIZES.model_copy(update={"layers": 4})})
    with pytest.raises(ValueError, match="the network that the painter is to begin with"):
        train(more.model_copy(update={"painter": wider}), tmp_path / "wider", init=str(run / "world"), show=False)


def test_a_camera_that_turned_saw_one_side() -> None:
    masks = random_masks(400, (32, 48), 70.0, np.random.default_rng(0))
    assert masks.shape == (400, 32, 48)
    assert set(np.unique(masks)) == {0, 1}
    nothing = (masks == 0).all((1, 2)).mean()
    assert 0.25 < nothing < 0.6, "some know nothing, some have turned too far"
    seen = masks[masks.any((1, 2))]
    left, right = seen[:, :, 0].mean(1), seen[:, :, -1].mean(1)
    assert ((left > 0.9) & (right < 0.1)).mean() > 0.1
    assert ((right > 0.9) & (left < 0.1)).mean() > 0.1


@pytest.mark.parametrize("degrees", [5.0, 20.0, 45.0])
def test_what_it_saw_is_what_a_world_would_look_up(degrees: float) -> None:
    """The same turn in `worldsim.model.surroundings`, whose geometry stepping uses."""
    angle = np.radians([degrees])
    (seen,) = seen_before((80, 128), 70.0, angle, np.zeros(1), np.ones(1))
    surroundings = Surroundings.empty(torch.zeros(1, 80, 128, 3, dtype=torch.uint8), 70.0)
    cosine, sine = float(np.cos(angle)[0]), float(np.sin(angle)[0])
    turn = torch.tensor([[[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]]])
    moved = surroundings.looked_up(torch.zeros(1, 80, 128, 4), turn)
    assert abs(seen - moved[0, ..., 3].numpy()).mean() < 0.01
    assert 0.1 < seen.mean() < 0.95


def test_a_recipe_says_what_its_painter_lacks() -> None:
    recipe = load_recipe("blocks").model_dump()
    with pytest.raises(ValidationError, match="give both or neither"):
        Recipe.model_validate(recipe | {"painter_phases": []})
    with pytest.raises(ValidationError, match="set field_of_view"):
        Recipe.model_validate(recipe | {"field_of_view": None})


def test_a_painter_begins_with_what_a_film_world_knows() -> None:
    nothing = WorldSpec(
        name="film", size=(32, 48), fps=20, action=space_to_json(spaces.Discrete(1)), context_length=4, film=True
    )
    sizes = {"channels": 32, "heads": 2, "layers": 2, "time_every": 2, "text_every": 2, "condition_channels": 32}
    small = {"latent_channels": 8, "channels": 32, "layers": 1, "fine_channels": 32, "fine_layers": 1, "head_dim": 16}
    film = World.random(nothing, TokenizerConfig(**small, stride=2), **sizes)
    torch.manual_seed(0)
    tokenizer = Tokenizer(TokenizerConfig(**small))
    frames = torch.randint(0, 256, (40, 32, 48, 3), dtype=torch.uint8)
    tokenizer.fit(frames)
    # Its latents are those of the first of two pictures, turned: an exact linear function of the painter's.
    turn = torch.linalg.qr(torch.randn(8, 8))[0]
    film.tokenizer.mean.copy_(tokenizer.mean.repeat(2))
    film.tokenizer.analysis.copy_(torch.cat([tokenizer.analysis @ turn, torch.zeros_like(tokenizer.analysis)]))
    painter = Dynamics(film.dynamics.config.model_copy(update={"sees_known": True}))
    painter.load_state_dict(taken_over(film, tokenizer, painter, frames))

    noisy, level = torch.randn(5, 1, 2, 3, 8), torch.full((5, 1), 0.6)
    others = torch.zeros(5, 1), torch.zeros(5, 1, 1), torch.zeros(5, 1, dtype=torch.bool)
    said = [
        network(x, level, *others, network.encode_prompts(["snow"] * 5), None, None, **known).latents
        for network, x, known in (
            (film.dynamics, noisy @ turn, {}),
            (painter, noisy, {"known": torch.zeros(5, 1, 2, 3, 24)}),
        )
    ]
    # But for what is kept of the noisy latents, of which only the diagonal can be taken over.
    assert (said[1] - said[0] @ turn.T).std() < 0.1 * said[0].std()
    torch.testing.assert_close(painter.embed(noisy), film.dynamics.embed(noisy @ turn), rtol=1e-3, atol=1e-4)

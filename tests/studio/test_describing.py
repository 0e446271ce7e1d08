"""Pictures are put into words: the caption is taken by which the dynamics comes nearest."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from worldsim import studio
from worldsim.cli import main
from worldsim.envs.blocks.captions import parse_prompt
from worldsim.model.filming import denoising_error
from worldsim.studio import Card
from worldsim.world import World


@pytest.fixture(scope="module")
def world(film_world: World) -> World:
    spec = film_world.spec.model_copy(update={"simulator": "worldsim/BlocksSim-v0"})
    return World(spec, film_world.tokenizer, film_world.dynamics, film_world.starts)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 48, 3)).astype(np.uint8)


def test_a_description_is_a_caption(world: World) -> None:
    said = studio.describe(world, picture(0))
    got, unknown = parse_prompt(said)
    assert not unknown
    assert "biome" in got
    assert said == studio.describe(world, picture(0))


def test_the_text_that_leads_to_the_clip_has_the_least_error(world: World) -> None:
    """A clip that one text leads to exactly, from any noise, is known as that text's."""
    dynamics = copy.deepcopy(world.dynamics)
    with torch.no_grad():  # what is shown does not matter, only the text
        dynamics.embed.weight.zero_()
        dynamics.keep_noisy.weight.zero_()
        dynamics.keep_noisy.bias.zero_()
    texts = dynamics.encode_prompts(["snow", "rain", "fog"])
    level = torch.tensor([[0.5], [0.5]])
    noise = torch.randn(2, 1, 2, 3, 8)
    nothing = torch.zeros(1, 1, 2, 3, 8)
    from worldsim.model.filming import sample_film

    rain = sample_film(
        dynamics,
        nothing,
        torch.tensor([0.5]),
        nothing,
        dynamics.encode_prompts(["rain"]),
        torch.ones(1, 1),
        window=1,
        steps=1,
    )
    errors = denoising_error(dynamics, rain, noise, level, texts, at_once=4)
    assert errors.argmin() == 1
    assert errors[1] < 1e-9 < 1e-6 < errors[0]


def test_a_card_may_be_told_by_its_picture(world: World) -> None:
    image = picture(1)
    (told,) = studio.storyboard(world, [Card(0, image=image, use="text")], seconds=0.4)
    (same,) = studio.storyboard(world, [Card(0, studio.describe(world, image))], seconds=0.4)
    np.testing.assert_array_equal(told.frames, same.frames)
    (both,) = studio.storyboard(world, [Card(0.2, image=image, use="both")], seconds=0.4)
    np.testing.assert_array_equal(both.frames[4], image)


def test_only_pictures_of_the_block_world_are_described(
    film_world: World, film_world_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="of the block world"):
        studio.describe(film_world, picture(0))
    Image.fromarray(picture(0)).save(tmp_path / "picture.png")
    assert main(["describe", str(tmp_path / "picture.png"), "--world", str(film_world_dir)]) == 2
    assert "of the block world" in capsys.readouterr().err

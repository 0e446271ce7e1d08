"""Prompts made full, and words that are not known."""

from __future__ import annotations

import pytest

from worldsim import studio
from worldsim.envs.blocks.captions import parse_prompt
from worldsim.world import World


@pytest.fixture(scope="module")
def world(film_world: World) -> World:
    spec = film_world.spec.model_copy(update={"simulator": "worldsim/BlocksSim-v0"})
    return World(spec, film_world.tokenizer, film_world.dynamics, film_world.starts)


@pytest.mark.parametrize(
    "prompt", ["a desert at night with two pigs", "fog", "snowfall", "雪地，夜晚，有一座石塔", "a dragon", ""]
)
def test_what_the_prompt_says_stays_and_the_rest_is_said(world: World, prompt: str) -> None:
    said, _ = parse_prompt(prompt)
    full = [studio.expand(world, prompt, seed=seed) for seed in range(6)]
    for text in full:
        got, unknown = parse_prompt(text)
        assert not unknown, text
        assert said.items() <= got.items(), text
        assert {"biome", "time", "weather"} <= got.keys()
    assert len(set(full)) > 1
    assert full[0] == studio.expand(world, prompt, seed=0)


def test_chinese_stays_chinese(world: World) -> None:
    assert not studio.expand(world, "雪地").isascii()
    assert studio.expand(world, "snow").isascii()


def test_another_may_do_it(film_world: World) -> None:
    assert studio.expand(film_world, "snow", by=str.upper) == "SNOW"
    with pytest.raises(ValueError, match="of the block world"):
        studio.expand(film_world, "snow")


def test_unknown_words_are_named(world: World, film_world: World) -> None:
    assert studio.unknown_words(world, "a purple dragon in the snow") == ["purple", "dragon"]
    assert studio.unknown_words(world, "a snowy plain at dusk") == []
    assert studio.unknown_words(film_world, "a dragon") == []
    assert studio.unknown_words(world, "a meadow from day to night") == [], "it contradicts itself: let the World see"
    with pytest.raises(ValueError, match="day"):
        studio.expand(world, "a meadow from day to night")

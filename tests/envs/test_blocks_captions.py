"""Captions and prompts of the block world: what is written is understood, what is not understood is said."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.envs.blocks import words
from worldsim.envs.blocks.blocks import ANIMALS, BIOMES, STRUCTURES, TIMES, WEATHERS
from worldsim.envs.blocks.captions import caption, short_caption
from worldsim.envs.blocks.prompts import parse_prompt

SCENE: dict[str, Any] = {
    "biome": "snow",
    "time": "dusk",
    "weather": "rain",
    "structure": None,
    "animals": {"sheep": 2},
    "water": False,
    "trees": True,
    "terrain": "flat",
    "activity": "walking",
}

scenes = st.fixed_dictionaries(
    {"biome": st.sampled_from(BIOMES)},
    optional={
        "time": st.sampled_from(TIMES),
        "weather": st.sampled_from(WEATHERS),
        "structure": st.sampled_from((None, *STRUCTURES)),
        "animals": st.dictionaries(st.sampled_from(ANIMALS), st.integers(1, 120)),
        "water": st.booleans(),
        "trees": st.booleans(),
        "terrain": st.sampled_from(words.TERRAINS),
        "activity": st.sampled_from(words.ACTIVITIES),
    },
)


@settings(max_examples=300, deadline=None)
@given(scene=scenes, seed=st.integers(0, 2**32), language=st.sampled_from(("en", "zh")))
def test_a_caption_is_understood_as_the_scene_it_describes(scene: dict[str, Any], seed: int, language: str) -> None:
    rng = np.random.default_rng(seed)
    assert parse_prompt(caption(scene, rng, "long", language)) == (scene, [])
    wanted, unknown = parse_prompt(caption(scene, rng, "short", language))
    assert unknown == []
    assert wanted["biome"] == scene["biome"]
    assert wanted.items() <= scene.items()


@given(scene=scenes)
def test_the_short_caption_is_understood_too(scene: dict[str, Any]) -> None:
    wanted, unknown = parse_prompt(short_caption(scene))
    assert unknown == []
    assert wanted.items() <= scene.items()
    left_out = scene.keys() - wanted.keys()
    assert all(scene[name] in (None, False, {}, "clear") or name in ("activity", "trees") for name in left_out)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    order=st.permutations(
        [
            "a snowy plain",
            "at dusk",
            "in the rain",
            "no buildings",
            "two sheep",
            "without water",
            "树木",
            "平坦",
            "玩家正在行走",
        ]
    ),
    separator=st.sampled_from((", ", ". ", "; ", "，", "\n")),
)
def test_order_and_punctuation_do_not_matter(seed: int, order: list[str], separator: str) -> None:
    assert parse_prompt(separator.join(order)) == (SCENE, [])


def phrases() -> list[tuple[str, str, Any]]:
    return [
        (phrase, name, value)
        for table in words.LANGUAGES.values()
        for name, values in table.items()
        for value, roles in values.items()
        for role in roles.values()
        for phrase in role
        if value != words.ANY
    ]


@pytest.mark.parametrize("name", words.ENGLISH)
def test_every_word_of_the_vocabulary_is_read_as_what_it_means(name: str) -> None:
    for phrase, attribute, value in phrases():
        if attribute == name:
            wanted, unknown = parse_prompt(phrase)
            assert unknown == [], phrase
            assert list(wanted[name]) == [value] if name == "animals" else wanted == {name: value}, phrase


def test_both_languages_name_every_value() -> None:
    expected = {
        "biome": set(BIOMES), "time": set(TIMES), "weather": set(WEATHERS), "structure": {*STRUCTURES, words.ANY},
        "animals": {*ANIMALS, words.ANY}, "terrain": set(words.TERRAINS), "activity": set(words.ACTIVITIES),
    }  # fmt: skip
    for table in words.LANGUAGES.values():
        for name, values in expected.items():
            assert set(table[name]) == values


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("", {}),
        ("  ,  the ", {}),
        ("A Snowy Plain at DUSK", {"biome": "snow", "time": "dusk"}),
        ("snow-covered plain", {"biome": "snow"}),
        ("a plain", {"biome": "meadow"}),
        ("a sandy plain", {"biome": "desert"}),
        ("falling snow over a meadow", {"biome": "meadow", "weather": "snowfall"}),
        ("雪地上下着雪", {"biome": "snow", "weather": "snowfall"}),
        (
            "黄昏的雪原，两只羊和一座小屋",
            {"biome": "snow", "time": "dusk", "animals": {"sheep": 2}, "structure": "hut"},
        ),
        ("a forest 在夜里", {"biome": "forest", "time": "night"}),
        ("a building", {"structure": "hut"}),
        ("building a tower", {"activity": "building", "structure": "tower"}),
        ("no trees", {"trees": False}),
        ("without trees or water, a hut", {"trees": False, "water": False, "structure": "hut"}),
        ("no trees and two pigs", {"trees": False, "animals": {"pig": 2}}),
        ("neither trees nor water", {"trees": False, "water": False}),
        ("没有树和水，有一堵墙", {"trees": False, "water": False, "structure": "wall"}),
        ("treeless", {"trees": False}),
        ("no hut", {"structure": None}),
        ("no hut but a tower", {"structure": "tower"}),
        ("no rain", {"weather": "clear"}),
        ("no rain but fog", {"weather": "fog"}),
        ("no animals", {"animals": {}}),
        ("no sheep, three cows", {"animals": {"sheep": 0, "cow": 3}}),
        ("0 sheep", {"animals": {"sheep": 0}}),
        ("animals", {"animals": {"sheep": 2}}),
        ("cows", {"animals": {"cow": 2}}),
        ("a cow", {"animals": {"cow": 1}}),
        ("some cows and a flock of sheep", {"animals": {"cow": 3, "sheep": 5}}),
        ("two sheep; the sheep are grazing", {"animals": {"sheep": 2}}),
        ("14 chickens", {"animals": {"chicken": 14}}),
        ("三只羊", {"animals": {"sheep": 3}}),
        ("二十一只鸡", {"animals": {"chicken": 21}}),
        ("一群牛，几头猪", {"animals": {"cow": 5, "pig": 3}}),
        ("羊", {"animals": {"sheep": 2}}),
    ],
)
def test_prompts_are_read(prompt: str, wanted: dict[str, Any]) -> None:
    assert parse_prompt(prompt) == (wanted, [])


@pytest.mark.parametrize(
    ("prompt", "wanted", "unknown"),
    [
        ("a Purple forest with dragons", {"biome": "forest"}, ["Purple", "dragons"]),
        ("two red sheep", {"animals": {"sheep": 2}}, ["red"]),
        ("沙漠里的巨龙和一只羊", {"biome": "desert", "animals": {"sheep": 1}}, ["巨龙"]),
        ("12345678 cows", {"animals": {"cow": 2}}, ["12345678"]),
        ("two huts", {"structure": "hut"}, ["two"]),
        ("three", {}, ["three"]),
        ("not at night", {}, ["not at night"]),
        ("ein Wald, лес", {}, ["ein", "Wald", "лес"]),
        ("two wild towers, 3 caves", {"structure": "tower"}, ["two", "wild", "3", "caves"]),
    ],
)
def test_what_is_not_understood_is_returned_as_written(prompt: str, wanted: dict, unknown: list[str]) -> None:
    assert parse_prompt(prompt) == (wanted, unknown)


@given(st.text(max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    with contextlib.suppress(ValueError):  # some texts contradict themselves
        wanted, unknown = parse_prompt(text)
        assert wanted.keys() <= words.ENGLISH.keys()
        assert all(isinstance(word, str) and word for word in unknown)


@pytest.mark.parametrize(
    ("prompt", "first", "second"),
    [
        ("day at night", "day", "at night"),
        ("白天和夜晚", "白天", "夜晚"),
        ("a forest in the desert", "forest", "desert"),
        ("trees but no trees", "trees", "no trees"),
        ("no buildings, a Tower", "no buildings", "Tower"),
        ("two sheep and three sheep", "two sheep", "three sheep"),
        ("no animals, a pig", "no animals", "a pig"),
        ("没有动物，两只羊", "没有动物", "两羊"),
    ],
)
def test_a_contradiction_names_both_words(prompt: str, first: str, second: str) -> None:
    with pytest.raises(ValueError, match="contradict each other") as error:
        parse_prompt(prompt)
    assert repr(first) in str(error.value)
    assert repr(second) in str(error.value)


def test_short_captions_read_well_and_are_cheap() -> None:
    assert short_caption(SCENE) == "a flat snowy plain at dusk, rain, trees, two sheep"
    assert short_caption({"biome": "islands", "structure": "hut", "animals": {}}) == "islands, a hut"
    assert short_caption({"biome": "forest", "trees": True, "animals": {"cow": 1}}) == "a forest, one cow"
    seconds = []
    for _ in range(5):
        begin = time.process_time()
        for _ in range(500):
            short_caption(SCENE)
        seconds.append((time.process_time() - begin) / 500)
    assert min(seconds) < 30e-6  # about one microsecond on a free core


@pytest.mark.parametrize("language", ["en", "zh"])
def test_one_scene_has_many_phrasings_and_a_seed_chooses_one(language: str) -> None:
    rng = np.random.default_rng(0)
    for style in ("short", "long"):
        assert len({caption(SCENE, rng, style, language) for _ in range(200)}) > 150
    again = [caption(SCENE, np.random.default_rng(3), "long", language) for _ in range(2)]
    assert again[0] == again[1]


def test_short_captions_leave_out_some_of_the_scene_each_time() -> None:
    rng = np.random.default_rng(0)
    told = [parse_prompt(caption(SCENE, rng, "short"))[0] for _ in range(200)]
    for name in SCENE:
        assert any(name in wanted for wanted in told)
        assert name == "biome" or any(name not in wanted for wanted in told)


def test_attributes_that_say_nothing_are_passed_over() -> None:
    scene = {"biome": "snow", "terrain": None, "activity": None, "animals": {"sheep": 0, "cow": 1}, "water": np.True_}
    expected = {"biome": "snow", "animals": {"cow": 1}, "water": True}
    for seed in range(20):
        assert parse_prompt(caption(scene, np.random.default_rng(seed), "long"))[0] == expected


@pytest.mark.parametrize(
    ("scene", "arguments", "message"),
    [
        (SCENE, ("tall",), "style must be 'short' or 'long', got 'tall'"),
        (SCENE, ("short", "fr"), r"language must be one of \['en', 'zh'\], got 'fr'"),
        ({"time": "day"}, (), "at least the attribute 'biome'"),
        ({"biome": "swamp"}, (), "unknown biome 'swamp'; there are meadow, forest, desert, snow, islands"),
        ({"biome": "snow", "mood": "grim"}, (), "unknown attribute 'mood'; there are biome, time"),
        ({"biome": "snow", "animals": {"wolf": 1}}, (), "unknown animals 'wolf'; there are sheep, pig, cow, chicken"),
        ({"biome": "snow", "structure": "any"}, (), "unknown structure 'any'; there are hut, tower, wall"),
    ],
)
def test_wrong_scenes_are_named(scene: dict[str, Any], arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        caption(scene, np.random.default_rng(0), *arguments)

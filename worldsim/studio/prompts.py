"""Short prompts made full, and the words in them that a World has not learned. For Worlds of the block world."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from worldsim.world import World

SIMULATOR = "worldsim/BlocksSim-v0"
# As the simulator has them.
_WEATHERS, _MILD = {"desert": ("clear", "fog"), "snow": ("clear", "snowfall", "fog")}, ("clear", "rain", "fog")
_CHINESE = ("\u4e00", "\u9fff")


def expand(world: World, prompt: str, *, seed: int = 0, by: Callable[[str], str] | None = None) -> str:
    """A full description of a scene that a short prompt leaves open, as the captions are that the World learned from.

    What the prompt says stays; what it does not say (the hour, the weather, the land, trees and buildings) is drawn by
    the seed, but for animals, of which there are then none. Chinese prompts become Chinese ones. by: does it instead,
    for example a language model. ValueError for a World of another simulator than the block world's, and for a prompt
    that contradicts itself, unless there is `by`.
    """
    if by is not None:
        return by(prompt)
    wanted, _ = _read(world, prompt)
    from worldsim.envs.blocks.blocks import BIOMES, STRUCTURES, TIMES
    from worldsim.envs.blocks.captions import caption

    rng = np.random.default_rng(seed)
    possible = [biome for biome in BIOMES if wanted.get("weather", "clear") in _WEATHERS.get(biome, _MILD)]
    biome = wanted.get("biome") or str(rng.choice(possible))
    weathers = _WEATHERS.get(biome, _MILD)
    scene: dict[str, Any] = {
        "biome": biome,
        "time": str(rng.choice(TIMES)),
        "weather": str(rng.choice(weathers)),
        "terrain": str(rng.choice(("flat", "hills"))),
        "structure": str(rng.choice(STRUCTURES)) if rng.random() < 0.4 else None,
        "animals": {},
        "water": biome == "islands",
        "trees": biome == "forest" or bool(rng.random() < 0.4),
        "activity": None,
    }
    language = "zh" if any(_CHINESE[0] <= letter <= _CHINESE[1] for letter in prompt) else "en"
    return caption(scene | wanted, rng, "long", language)


def unknown_words(world: World, prompt: str) -> list[str]:
    """Words of the prompt that mean nothing to the simulator whose captions the World learned from.

    [] for Worlds of other simulators, and where the prompt contradicts itself, which need not trouble a World.
    """
    if world.spec.simulator != SIMULATOR:
        return []
    try:
        return list(_read(world, prompt)[1])
    except ValueError:
        return []


def _read(world: World, prompt: str) -> tuple[dict[str, Any], list[str]]:
    if world.spec.simulator != SIMULATOR:
        raise ValueError(f"prompts are read for Worlds of the block world, and {world.spec.name} is of another")
    from worldsim.envs.blocks.captions import parse_prompt

    return parse_prompt(prompt)

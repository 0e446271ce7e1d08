"""Short prompts made full, and the words in them that a World has not learned. For Worlds of the block world."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from worldsim.world import World

_SIMULATOR = "worldsim/BlocksSim-v0"
_WEATHERS = {"desert": ("clear", "fog"), "snow": ("clear", "snowfall", "fog")}  # as the simulator has them
_CHINESE = ("\u4e00", "\u9fff")


def expand(world: World, prompt: str, *, seed: int = 0, by: Callable[[str], str] | None = None) -> str:
    """A full description of a scene that a short prompt leaves open, as the captions are that the World learned from.

    What the prompt says stays; what it does not say (the hour, the weather, what stands about) is drawn by the seed.
    Chinese prompts become Chinese ones. by: does it instead, for example a language model. ValueError for a World of
    another simulator than the block world's, unless there is `by`.
    """
    if by is not None:
        return by(prompt)
    wanted, _ = _read(world, prompt)
    from worldsim.envs.blocks.blocks import BIOMES, STRUCTURES, TIMES
    from worldsim.envs.blocks.captions import caption

    rng = np.random.default_rng(seed)
    biome = wanted.get("biome") or str(rng.choice(BIOMES))
    weathers = _WEATHERS.get(biome, ("clear", "rain", "fog"))
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
    """Words of the prompt that mean nothing to the simulator whose captions the World learned from; [] for others."""
    return [] if world.spec.simulator != _SIMULATOR else list(_read(world, prompt)[1])


def _read(world: World, prompt: str) -> tuple[dict[str, Any], list[str]]:
    if world.spec.simulator != _SIMULATOR:
        raise ValueError(f"prompts are read for Worlds of the block world, and {world.spec.name} is of another")
    from worldsim.envs.blocks.captions import parse_prompt

    return parse_prompt(prompt)

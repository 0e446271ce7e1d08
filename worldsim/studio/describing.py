"""A picture put into words, by the World that makes films of words: which caption makes it most likely?"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldsim.clip import fitted
from worldsim.model.filming import denoising_error
from worldsim.reel import taken
from worldsim.studio.prompts import SIMULATOR
from worldsim.world import World

_DRAWS = 12  # of noise, the same for all captions
_LIKELY = 12  # captions that are looked at with all of them
_LEVELS = (0.4, 0.85)  # below, the picture itself says all; above, too little of it is left


def describe(world: World, image: str | Path | np.ndarray, *, seed: int = 0) -> str:
    """A short caption of a picture of the block world: biome, time of day, weather, and what stands about.

    Noise is added to the picture, and taken is the caption by which the dynamics comes nearest to it again (a diffusion
    classifier, arXiv 2303.16203); things that are seldom named are added one by one, while it comes nearer. ValueError
    for a World that makes no films, or none of the block world.
    """
    if not world.spec.film or world.spec.simulator != SIMULATOR:
        raise ValueError(f"pictures are described by Worlds of films of the block world, and {world.spec.name} is none")
    from worldsim.envs.blocks.blocks import BIOMES, STRUCTURES, TIMES, WEATHERS
    from worldsim.envs.blocks.captions import short_caption

    frame = fitted(image, world.size)
    latents = taken(world, np.repeat(frame[None], world.tokenizer.config.stride, 0)).latents[None]
    noise = torch.randn(_DRAWS, *latents.shape[1:], generator=torch.Generator().manual_seed(seed))
    level = torch.linspace(*_LEVELS, _DRAWS)[:, None]

    def ranked(scenes: list[dict[str, Any]], every: int = 1) -> list[dict[str, Any]]:
        """The most likely first, by every so many draws of noise."""
        texts = world.dynamics.encode_prompts([short_caption(scene) for scene in scenes])
        drawn, here = noise[::every].to(world.device), latents.to(world.device)
        errors = denoising_error(world.dynamics, here, drawn, level[::every], texts)
        return [scenes[number] for number in errors.argsort().tolist()]

    scenes = [
        {"biome": biome, "time": time, "weather": weather} for biome, time, weather in product(BIOMES, TIMES, WEATHERS)
    ]
    best = ranked(ranked(scenes, every=4)[:_LIKELY])[0]
    for more in ([{"trees": True}], [{"water": True}], [{"structure": kind} for kind in STRUCTURES]):
        best = ranked([best, *(best | thing for thing in more)])[0]
    return short_caption(best)

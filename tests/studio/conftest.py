"""A small World that makes films, with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from gymnasium import spaces

import worldsim
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.spec import WorldSpec, space_to_json
from worldsim.world import World

SPEC = WorldSpec(
    name="film", size=(32, 48), fps=20, action=space_to_json(spaces.Discrete(1)), context_length=6, film=True,
    guidance_scale=2.0, steps=3,
)  # fmt: skip


@pytest.fixture(scope="session")
def film_world_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a World that makes films: four frames to a latent, windows of six latents."""
    path = tmp_path_factory.mktemp("worlds") / "film"
    tokenizer = TokenizerConfig(
        latent_channels=8, fine_channels=32, fine_layers=1, channels=32, layers=1, head_dim=16, stride=4
    )
    sizes = {"channels": 32, "heads": 2, "layers": 2, "time_every": 2, "text_every": 2, "condition_channels": 32}
    World.random(SPEC, tokenizer, **sizes, text_channels=64).save(path)
    return path


@pytest.fixture(scope="session")
def film_world(film_world_dir: Path) -> World:
    return worldsim.load(film_world_dir, device="cpu", dtype="float32")

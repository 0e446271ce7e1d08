"""Fixtures that several rooms share: small untrained Worlds, which start in milliseconds."""

from __future__ import annotations

import copy
import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.spec import WorldSpec, space_to_json
from worldsim.world import World, load

# Before pygame is imported anywhere: tests open no window and make no sound.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")


@pytest.fixture(scope="session")
def tiny_spec() -> WorldSpec:
    """A spec of 32 x 48 frames, whose actions are a key and a camera, as those of the block world are."""
    camera = spaces.Box(-10, 10, (2,), np.float32)
    action = spaces.Dict(OrderedDict(forward=spaces.Discrete(2), camera=camera))
    return WorldSpec(
        name="tiny",
        size=(32, 48),
        fps=20,
        action=space_to_json(action),
        context_length=8,
        description="random weights, for tests",
    )


def random_world(spec: WorldSpec, end_logit: float, carries: bool = False) -> World:
    """A small World with random weights whose end head says `end_logit` of every frame, whatever it sees."""
    tokenizer = TokenizerConfig(
        latent_channels=8, fine_channels=32, fine_layers=1, channels=32, layers=1, head_dim=16, carries=carries
    )
    sizes = {"channels": 32, "heads": 2, "layers": 2, "time_every": 2, "text_every": 2, "condition_channels": 32}
    world = World.random(spec, tokenizer, **sizes, text_channels=64, text_layers=1)
    with torch.no_grad():
        end = len(world.dynamics.config.reward_values)
        world.dynamics.heads.weight[end] = 0
        world.dynamics.heads.bias[end] = end_logit
    return world


@pytest.fixture(scope="session")
def tiny_world_dir(tiny_spec: WorldSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a small World with random weights, which never ends an episode."""
    path = tmp_path_factory.mktemp("worlds") / "tiny"
    random_world(tiny_spec, end_logit=-9).save(path)
    return path


@pytest.fixture(scope="session")
def carrying_world_dir(tiny_spec: WorldSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a small World that carries, with a camera that turns and an overlay: a quarter by a quarter."""
    path = tmp_path_factory.mktemp("worlds") / "carrying"
    spec = tiny_spec.model_copy(update={"field_of_view": 70.0})
    world = random_world(spec, end_logit=-9, carries=True)
    world.overlay = torch.zeros(32, 48, dtype=torch.bool)
    world.overlay[24:, 36:] = True  # a hand
    world.save(path)
    return path


@pytest.fixture(scope="session")
def painting_world_dir(carrying_world_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of the same World with a painter, whose weights are random."""
    path = tmp_path_factory.mktemp("worlds") / "painting"
    world = copy.copy(load(carrying_world_dir, device="cpu", dtype="float32"))
    config = DynamicsConfig(
        channels=32, heads=2, layers=2, time_every=2, text_every=2, condition_channels=32, text_channels=32,
        causal=False, words=True, sees_known=True, latent_channels=8, action_dim=1, policy_logits=1,
    )  # fmt: skip
    torch.manual_seed(3)
    world.painter = Dynamics(config)
    painter = world.painter
    for layer in (painter.to_latent, painter.keep_noisy, *(b.modulation.linear for b in painter.typed_blocks)):
        torch.nn.init.normal_(layer.weight, std=0.2)
    world.spec = world.spec.model_copy(update={"guidance_scale": 2.0, "painter_steps": 3})
    world.save(path)
    return path


@pytest.fixture(scope="session")
def ending_world_dir(tiny_spec: WorldSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of the same World, but each step of it ends the episode."""
    path = tmp_path_factory.mktemp("worlds") / "ending"
    random_world(tiny_spec, end_logit=9).save(path)
    return path


@pytest.fixture(scope="session")
def agent_world_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a small World of 48 x 48 frames, enough for an agent's convolutions, whose actions are a Box."""
    path = tmp_path_factory.mktemp("worlds") / "agent"
    action = space_to_json(spaces.Box(-1, 1, (2,), np.float32))
    random_world(WorldSpec(name="agent", size=(48, 48), fps=20, action=action, context_length=6), end_logit=-9).save(
        path
    )
    return path

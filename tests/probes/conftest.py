"""Untrained Worlds that have a simulator, and the places and truths that they are compared at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import gymnasium as gym
import numpy as np
import pytest
import torch

from worldsim.model.tokenizer import TokenizerConfig
from worldsim.probes import players
from worldsim.probes.heldout import CONTEXT, open_simulator
from worldsim.probes.places import Action, StandingTwin, looking_down, standing_places
from worldsim.spec import WorldSpec, space_to_json
from worldsim.world import World


def untrained(simulator: str, size: tuple[int, int]) -> World:
    env = gym.make(simulator, size=size)
    spec = WorldSpec(
        name="untrained",
        size=size,
        fps=20,
        action=space_to_json(env.action_space),
        context_length=CONTEXT,
        simulator=simulator,
        simulator_kwargs={"size": size},
    )
    tokenizer = TokenizerConfig(latent_channels=8, fine_channels=32, fine_layers=1, channels=32, layers=1, head_dim=16)
    sizes = {"channels": 32, "heads": 2, "layers": 2, "time_every": 2, "text_every": 2, "condition_channels": 32}
    return World.random(spec, tokenizer, **sizes, text_channels=64, text_layers=1).to("cpu", torch.float32)


@pytest.fixture(scope="session")
def balls() -> World:
    return untrained("worldsim/BallsSim-v0", (48, 48))


@pytest.fixture(scope="session")
def lab_balls() -> World:
    return untrained("worldsim/BallsLabSim-v0", (64, 64))


@pytest.fixture(scope="session")
def goal_balls() -> World:
    return untrained("worldsim/BallsGoalSim-v0", (48, 48))


@pytest.fixture(scope="session")
def blocks() -> World:
    return untrained("worldsim/BlocksSim-v0", (32, 48))


class Faithful(StandingTwin):
    """A twin whose World shows what the simulator does, but for what `forget` takes out of the actions."""

    forget: tuple[str, ...] = ()

    def shown(self, steps: Sequence[Action]) -> np.ndarray:
        def left(action: Action) -> Action:
            return {name: value for name, value in action.items() if name not in self.forget}

        return self.truth([left(step) for step in steps])


@pytest.fixture
def faithful(blocks: World) -> Iterator[Faithful]:
    with open_simulator(blocks.spec) as env:
        yield Faithful(env, blocks, standing_places(env, blocks.spec, 7_800_000, 4), lambda frames: None)


@pytest.fixture
def faithful_down(blocks: World) -> Iterator[Faithful]:
    with open_simulator(blocks.spec) as env:
        places = standing_places(env, blocks.spec, 7_800_000, 4)
        yield Faithful(env, blocks, looking_down(env, blocks.spec, places), lambda frames: None)


@pytest.fixture(autouse=True, scope="session")
def few_recorded() -> Iterator[None]:
    """A recording of seconds, not minutes, to retrieve from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(players, "_RECORDED", 4)
        yield

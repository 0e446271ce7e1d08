"""Places where the player stands still."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from worldsim.probes import places as places_module
from worldsim.probes.heldout import CONTEXT
from worldsim.probes.places import looking_down, standing_places
from worldsim.spec import WorldSpec, space_to_json


def test_places_where_nobody_stands_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Flooded(gym.Wrapper):
        def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
            frame, info = super().reset(**kwargs)
            return frame, info | {"in_water": True}

        def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
            *outcome, info = super().step(action)
            return (*outcome, info | {"in_water": True})

    monkeypatch.setattr(places_module, "_TRIES", 2)
    env = Flooded(gym.make("worldsim/BlocksSim-v0", size=(32, 32)))
    spec = WorldSpec(name="true", size=(32, 32), fps=20, action=space_to_json(env.action_space), context_length=16)
    with pytest.raises(ValueError, match=r"only 0 of 1 places to stand at were found from seed 5 on: in 2 tries"):
        standing_places(env, spec, 5, 1)


def test_players_stand_still_at_the_places() -> None:
    env = gym.make("worldsim/BlocksSim-v0", size=(32, 32))
    spec = WorldSpec(name="true", size=(32, 32), fps=20, action=space_to_json(env.action_space), context_length=16)
    places = standing_places(env, spec, 7_800_000, 3)
    assert len({place.seed for place in places}) == 3
    for place in places:
        assert place.frames.shape == (CONTEXT, 32, 32, 3)
        assert place.actions.shape == (CONTEXT - 1, spec.action_dim)
        assert np.array_equal(env.unwrapped.restore(place.snapshot), place.frames[-1])
        pose = env.step(place.last)[4]["pose"]
        assert np.array_equal(pose, env.step(place.last)[4]["pose"])
        assert pose[4] == place.pitch


def test_players_look_down_from_the_places() -> None:
    env = gym.make("worldsim/BlocksSim-v0", size=(32, 32))
    spec = WorldSpec(name="true", size=(32, 32), fps=20, action=space_to_json(env.action_space), context_length=16)
    level = standing_places(env, spec, 7_800_000, 2)
    for before, place in zip(level, looking_down(env, spec, level), strict=True):
        simulator: Any = env.unwrapped
        assert np.array_equal(simulator.restore(place.snapshot), place.frames[-1])
        assert env.step(place.last)[4]["pose"][4] == pytest.approx(place.pitch) == 40
        simulator.restore(before.snapshot)
        for number, flat in enumerate(place.actions, 1):
            action = gym.spaces.unflatten(env.action_space, flat)
            assert np.array_equal(env.step(action)[0], place.frames[number])

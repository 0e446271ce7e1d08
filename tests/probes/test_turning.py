"""The summary of turns: gains, errors, and what blank views do to them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from worldsim.probes import turning
from worldsim.probes.heldout import CONTEXT
from worldsim.probes.turning import RATES, TICKS, standing_places, summary
from worldsim.spec import WorldSpec, space_to_json

COMMANDED = np.broadcast_to(np.array(RATES)[:, None, None], (len(RATES), 3, TICKS))


def test_a_world_that_turns_half_as_far_has_gain_one_half() -> None:
    report = summary(COMMANDED, 0.5 * COMMANDED)
    assert report["readable"] == 1
    assert report["truth_gain"] == pytest.approx(1)
    assert report["gain"] == pytest.approx(0.5)
    assert report["gain_by_rate"] == pytest.approx([0.5] * len(RATES))
    assert report["error_per_tick"] == report["error_per_turn"] == pytest.approx(0.5)


def test_a_turn_that_wavers_is_right_as_a_whole() -> None:
    report = summary(COMMANDED, COMMANDED * np.where(np.arange(TICKS) % 2, 1.4, 0.6))
    assert report["gain"] == pytest.approx(1)
    assert report["error_per_tick"] == pytest.approx(0.4)
    assert report["error_per_turn"] == pytest.approx(0, abs=1e-9)


def test_steps_that_the_truth_does_not_show_decide_nothing() -> None:
    truth, learned = COMMANDED.copy(), COMMANDED.copy()
    truth[:, 0, :4] = 13.0  # a blank view is read as any angle
    learned[:, 0, :4] = -13.0
    report = summary(truth, learned)
    assert report["readable"] == pytest.approx(1 - 4 / (3 * TICKS))
    assert report["gain"] == report["truth_gain"] == pytest.approx(1)
    assert report["error_per_turn"] == pytest.approx(0, abs=1e-9)


def test_places_where_nobody_stands_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Flooded(gym.Wrapper):
        def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
            frame, info = super().reset(**kwargs)
            return frame, info | {"in_water": True}

        def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
            *outcome, info = super().step(action)
            return (*outcome, info | {"in_water": True})

    monkeypatch.setattr(turning, "_TRIES", 2)
    env = Flooded(gym.make("worldsim/BlocksSim-v0", size=(32, 32)))
    spec = WorldSpec(name="true", size=(32, 32), fps=20, action=space_to_json(env.action_space), context_length=16)
    with pytest.raises(ValueError, match=r"only 0 of 1 places to turn at were found from seed 5 on: in 2 tries"):
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

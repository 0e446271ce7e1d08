"""Whether animals and weather stay, of Worlds whose behaviour is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldsim.probes import alive
from worldsim.probes.heldout import open_simulator
from worldsim.probes.places import StandingTwin
from worldsim.world import World


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alive, "LANES", 3)
    monkeypatch.setattr(alive, "STEPS", 30)


def looked_on(world: World, monkeypatch: pytest.MonkeyPatch, shown: Any) -> dict[str, Any]:
    """The report on a World that shows what `shown` makes of the simulator's frames."""
    monkeypatch.setattr(StandingTwin, "shown", lambda self, steps: shown(self.truth(steps)))
    with open_simulator(world.spec) as env:
        report = alive.alive(world, env, 7_800_000, lambda frames: None)
    assert len(report["animals"]["truth"]) == len(report["weather"]["weather"]) == 3
    assert sum(report["animals"]["truth"]) >= 2  # an animal may have gone, or be too small here
    return report


def test_a_faithful_world_keeps_its_animals_and_its_weather(blocks: World, monkeypatch: pytest.MonkeyPatch) -> None:
    report = looked_on(blocks, monkeypatch, lambda frames: frames)
    animals, weather = report["animals"], report["weather"]
    assert animals["error"].mean == 0
    assert animals["none_error"].mean == np.mean(animals["truth"])
    assert animals["moving"] == weather["moving"] == pytest.approx(1)
    assert weather["right"].mean == 1
    assert weather["weather"] == pytest.approx([1, 1, 1])
    assert weather["clear"] == pytest.approx([0, 0, 0])


def test_a_grey_world_has_lost_both(blocks: World, monkeypatch: pytest.MonkeyPatch) -> None:
    report = looked_on(blocks, monkeypatch, lambda frames: np.full_like(frames, 128))
    assert report["animals"]["world"] == [0, 0, 0]
    assert report["animals"]["error"] == report["animals"]["none_error"]
    assert report["animals"]["moving"] == report["weather"]["moving"] == 0
    assert report["weather"]["weather"] == report["weather"]["clear"]
    assert report["weather"]["right"].mean == 0


def test_a_frozen_world_shows_animals_that_do_not_move(blocks: World, monkeypatch: pytest.MonkeyPatch) -> None:
    report = looked_on(blocks, monkeypatch, lambda frames: np.repeat(frames[:, :1], frames.shape[1], 1))
    assert sum(report["animals"]["world"]) >= 2
    assert report["animals"]["moving"] == report["weather"]["moving"] == 0

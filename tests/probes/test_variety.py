"""What starts from text show, read by a readout that is trained on the simulator."""

from __future__ import annotations

import pytest

from worldsim.probes import variety
from worldsim.probes.heldout import open_simulator
from worldsim.world import World

SEED = 7_850_000


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variety, "_LEARNED", 300)


def test_true_starts_reach_the_ceiling(blocks: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_simulator(blocks.spec) as env:
        places = range(SEED + variety._LEARNED, SEED + variety._LEARNED + variety.STARTS)
        frames, _, captions = variety.first_frames(env, places, lambda frames: None)
        monkeypatch.setattr(variety, "_started", lambda world, seed, asked: frames if asked == captions else None)
        report = variety.variety(blocks, env, SEED, lambda frames: None)
        monkeypatch.setattr(variety, "_started", lambda world, seed, asked: frames[::-1].copy())
        mixed_up = variety.variety(blocks, env, SEED, lambda frames: None)
    for name in variety.ATTRIBUTES:
        assert report[name]["ratio"] == 1
        assert report[name]["ceiling"] > report[name]["chance"] + 0.1
        assert mixed_up[name]["ratio"] < 0.5


def test_an_untrained_world_does_not_do_as_it_is_told(blocks: World) -> None:
    made: list[int] = []
    with open_simulator(blocks.spec) as env:
        report = variety.variety(blocks, env, SEED, made.append)
    assert sum(made) == variety.frames_made()
    assert len(report["captions"]) == variety.STARTS
    assert max(report[name]["ratio"] for name in variety.ATTRIBUTES) < 0.5

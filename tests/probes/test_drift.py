"""Distances of sets of frames, and drift as they show it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldsim.probes import drift
from worldsim.probes.heldout import open_simulator
from worldsim.world import World


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MARKS": (20, 40), "_WINDOW": 20, "_EVERY": 4}.items():
        monkeypatch.setattr(drift, name, value)


def measured(world: World) -> tuple[list[dict[str, Any]], int]:
    made: list[int] = []
    with open_simulator(world.spec) as env:
        report = drift.drift(world, env, 7_700_000, made.append)
    assert report["seeds"] + report["other_seeds"] == list(range(7_700_000, 7_700_000 + 3 * drift.LANES))
    return report["marks"], sum(made)


def test_an_untrained_world_is_far_from_true_frames(blocks: World) -> None:
    marks, made = measured(blocks)
    assert made == drift.frames_made()
    assert [mark["steps"] for mark in marks] == [20, 40]
    for mark in marks:
        assert mark["latents"]["ratio"] > 1.1
        assert mark["latents"]["ratio"] == pytest.approx(mark["latents"]["world"] / mark["latents"]["truth"])


def test_true_frames_are_as_near_as_true_frames(blocks: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "_follow", lambda world, truth, tick: truth.marked)
    marks, _ = measured(blocks)
    assert all(mark[name]["ratio"] == pytest.approx(1) for mark in marks for name in drift.DISTANCES)
    monkeypatch.setattr(drift, "_follow", lambda world, truth, tick: truth.marked // 255 * 255)  # black but for white
    marks, _ = measured(blocks)
    assert min(mark[name]["ratio"] for mark in marks for name in drift.DISTANCES) > 1.5


def test_what_is_followed_are_the_frames_at_the_marks(blocks: World) -> None:
    with open_simulator(blocks.spec) as env:
        truth = drift._explore(env, [7_700_000], lambda frames: None)
    assert truth.marked.shape == (2, 1, 5, 32, 48, 3)
    run = truth.start.start(blocks)
    frames = [run.step(truth.actions[:, step]).frames.numpy() for step in range(40)]
    shown = drift._follow(blocks, truth, lambda frames: None)
    assert np.array_equal(shown[0, :, 0], frames[3])
    assert np.array_equal(shown[1, :, -1], frames[39])


def test_frechet_distance_of_normal_sets() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(0, 1, (2, 10_000, 2))
    other = rng.normal(0, 1, (2, 10_000, 2)) * (2, 1) + (3, 0)
    assert drift.frechet(one, one) == pytest.approx(0, abs=1e-6)
    assert drift.frechet(one, other) == pytest.approx((9 + (2 - 1) ** 2) ** 0.5, rel=0.03)

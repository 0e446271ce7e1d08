"""The probes of the balls laboratory: a perfect World passes them, and who has learned nothing does not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from worldsim.envs.balls import COLOURS
from worldsim.envs.balls_lab import Ball, BallsLabSimEnv, Scene
from worldsim.probes import ball_motion, ball_reading, ball_things
from worldsim.probes.ball_things import Unseen
from worldsim.probes.heldout import open_simulator
from worldsim.probes.probe import Lab, Probe
from worldsim.probes.profile import _entry
from worldsim.world import World

PROBES = (*ball_motion.PROBES, *ball_things.PROBES)


@pytest.fixture(scope="module")
def lab(lab_balls: World) -> Iterator[Lab]:
    with open_simulator(lab_balls.spec) as env:
        yield Lab(lab_balls, env, starts=6)


@pytest.mark.parametrize("kind", [p for p in PROBES if not issubclass(p, Unseen)], ids=lambda kind: kind.name)
def test_the_simulator_itself_passes_and_who_learned_nothing_does_not(kind: type[Probe], lab: Lab) -> None:
    probe = kind()
    outcome = probe.run(lab)
    outcome.values["World"] = outcome.values["simulator"]
    assert not np.isnan(outcome.values["World"].astype(float)).any()
    entry = _entry(probe, outcome, None)
    assert entry["passed"] is True
    assert entry["void"] is False


@pytest.mark.parametrize("kind", [p for p in PROBES if issubclass(p, Unseen)], ids=lambda kind: kind.name)
def test_the_error_of_what_was_never_seen_is_that_by_the_usual_one(kind: type[Unseen], lab: Lab) -> None:
    outcome = kind().run(lab)
    frozen = outcome.values["copy last frame"]  # is wrong by the whole speed
    assert frozen.mean() == pytest.approx(np.mean(kind.strange.speeds) / np.mean(kind.usual.speeds), rel=0.5)
    assert not _entry(kind(), outcome, None)["void"]


def test_balls_are_read_where_they_are_and_only_those_there_are() -> None:
    env = BallsLabSimEnv()
    for law in ("space", "table", "room"):
        balls = tuple(Ball((0.2 + 0.3 * k, 0.3 + 0.15 * k), radius=0.08 + 0.02 * k, colour=2 * k) for k in range(3))
        frame, info = env.reset(seed=0, options={"scene": Scene(law, balls)})
        places = ball_reading.positions(frame, [0, 2, 4])
        assert np.abs(places - info["positions"][:3]).max() < 0.004  # a quarter of a pixel
        assert ball_reading.seen(frame).tolist() == [k in (0, 2, 4) for k in range(len(COLOURS))]


def test_velocity_and_acceleration_are_those_of_the_path() -> None:
    time = np.arange(12) / 20
    path = np.stack([0.1 + 0.4 * time, 0.9 - 0.6 * time**2], 1)
    assert ball_reading.velocity(path[:, :1].repeat(2, 1), 20) == pytest.approx([0.4, 0.4])
    assert ball_reading.acceleration(path, 20) == pytest.approx([0, -1.2])
    path[::2] = np.nan
    assert not np.isnan(ball_reading.velocity(path, 20)).any()
    path[::3] = np.nan
    assert np.isnan(ball_reading.velocity(path, 20)).all()

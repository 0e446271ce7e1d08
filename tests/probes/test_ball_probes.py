"""The probes of the balls laboratory: a perfect World passes them, and who has learned nothing does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from worldsim.envs.balls import COLOURS
from worldsim.envs.balls_lab import GRIDS, LARGE, Ball, BallsLabSimEnv, Scene
from worldsim.probes import ball_motion, ball_reading, ball_things
from worldsim.probes.ball_motion import BallProbe
from worldsim.probes.ball_things import Unseen
from worldsim.probes.heldout import open_simulator
from worldsim.probes.probe import Cases, Lab, Probe
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
    # What the untrained World shows is noise here, as its tokenizer is untrained too; the last frame can be read.
    assert _entry(probe, outcome)["void"] == []
    outcome.values["World"] = outcome.values["copy last frame"]
    assert _entry(probe, outcome)["passed"] is ("copy last frame" in probe.easy)
    outcome.values["World"] = outcome.values["simulator"]
    assert not np.isnan(outcome.values["World"].astype(float)).any()
    entry = _entry(probe, outcome)
    assert entry["passed"] is True
    if probe.better == "low" and probe.unit != "share":
        assert entry["value"] < 0.02  # of a box side, a box side a second, or a share: a floor to stand on


@pytest.mark.parametrize("kind", [p for p in PROBES if issubclass(p, Unseen)], ids=lambda kind: kind.name)
def test_the_error_of_what_was_never_seen_is_a_share_of_one_that_is_known(kind: type[Unseen], lab: Lab) -> None:
    outcome = kind().run(lab)
    assert np.isnan(outcome.values["copy last frame"]).all()  # it does not know the usual motion either
    assert outcome.drawn == 6
    entry = _entry(kind(), outcome)
    assert entry["passed"] is False
    assert entry["void"] == []
    outcome.values["World"] = np.full(1001, 1.5)
    assert _entry(kind(), outcome)["passed"] is True


@pytest.mark.parametrize("kind", ball_motion.PROBES, ids=lambda kind: kind.name)
def test_all_scenes_can_be_played_and_begin_as_recordings_do(kind: type[BallProbe]) -> None:
    probe = kind()
    for seed in range(300):
        scene = probe.scene(np.random.default_rng(seed))
        for ball in scene.balls:
            speed = float(np.hypot(*ball.velocity))
            assert GRIDS["train"].radii[0][0] <= ball.radius <= LARGE
            assert speed == 0 or 0.15 <= speed <= 0.8


def test_balls_that_pass_through_each_other_do_not_pass_for_a_collision(lab: Lab) -> None:
    probe = ball_motion.CollisionRebound()
    trials = probe.trials(lab)
    twin = lab.twin([trial.start for trial in trials])
    truth, infos = twin.witnessed(np.stack([trial.actions for trial in trials], 1))
    cases = Cases(trials, truth[:, None], [[one] for one in infos])
    env = BallsLabSimEnv()
    ghosts = []
    for trial in trials:
        films = []
        for ball in trial.facts["scene"].balls:  # each alone, then both films in one
            frames = [env.reset(options={"scene": Scene("space", (dataclasses.replace(ball, colour=len(films)),))})[0]]
            frames += [env.step(np.zeros(2, np.float32))[0] for _ in range(7 + probe.length)]
            films.append(np.stack(frames[7:]))
        ghosts.append(np.maximum(*films))
    shown = probe.measure(np.stack(ghosts)[:, None], cases)
    assert np.nanmean(shown) < -0.5
    assert probe.measure(cases.truth, cases) == pytest.approx(np.ones(6), abs=0.1)


def test_balls_are_read_where_they_are_and_only_those_there_are() -> None:
    env = BallsLabSimEnv()
    for law in ("space", "table", "room"):
        balls = tuple(Ball((0.2 + 0.3 * k, 0.3 + 0.15 * k), radius=0.08 + 0.02 * k, colour=2 * k) for k in range(3))
        frame, info = env.reset(seed=0, options={"scene": Scene(law, balls)})
        places = ball_reading.positions(frame, [0, 2, 4])
        assert np.abs(places - info["positions"][:3]).max() < 0.004  # a quarter of a pixel
        seen = ~np.isnan(ball_reading.positions(frame, range(len(COLOURS)))[:, 0])
        assert seen.tolist() == [k in (0, 2, 4) for k in range(len(COLOURS))]


def test_velocity_and_acceleration_are_those_of_the_path() -> None:
    time = np.arange(12) / 20
    path = np.stack([0.1 + 0.4 * time, 0.9 - 0.6 * time**2], 1)
    assert ball_reading.velocity(path[:, :1].repeat(2, 1), 20) == pytest.approx([0.4, 0.4])
    assert ball_reading.acceleration(path, 20) == pytest.approx([0, -1.2])
    path[::2] = np.nan
    assert not np.isnan(ball_reading.velocity(path, 20)).any()
    path[::3] = np.nan
    assert np.isnan(ball_reading.velocity(path, 20)).all()

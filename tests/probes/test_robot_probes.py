"""The probes of things that are pushed: a perfect World passes them, and who has learned nothing does not.

Each simulator takes a package of worldsim[robotics]; its tests are skipped where that is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import gymnasium as gym
import numpy as np
import pytest
import torch

from worldsim.agents.pushing import scene_of
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.probes import players, robot_probes
from worldsim.probes.heldout import CONTEXT, open_simulator, wander
from worldsim.probes.probe import Cases, Lab
from worldsim.probes.profile import _entry, probes_for
from worldsim.probes.robot_probes import CLEAR, PROBES, ObjectsLast, RobotProbe, explored
from worldsim.probes.robot_reading import PUSHT, TABLE, PushTReading, TableReading, reading_of
from worldsim.spec import WorldSpec, space_to_json
from worldsim.world import World

ASKED = [(simulator, probe) for probe in PROBES for simulator in probe.simulators]
FPS = {PUSHT: 10, TABLE: 20}


def simulator_or_skip(name: str, **kwargs: object) -> gym.Env:
    try:
        env = gym.make(name, **kwargs)
        env.reset(seed=0)
    except (ImportError, gym.error.DependencyNotInstalled) as error:  # it says what is missing: package, or OpenGL
        pytest.skip(str(error))
    return env


@cache
def untrained(simulator: str) -> World:
    spec = WorldSpec(
        name="untrained",
        size=(64, 64),
        fps=FPS[simulator],
        action=space_to_json(simulator_or_skip(simulator).action_space),
        context_length=11,
        simulator=simulator,
        simulator_kwargs={"size": (64, 64)},
    )
    tokenizer = TokenizerConfig(latent_channels=8, fine_channels=32, fine_layers=1, channels=32, layers=1, head_dim=16)
    sizes = {"channels": 32, "heads": 2, "layers": 2, "time_every": 2, "text_every": 2, "condition_channels": 32}
    return World.random(spec, tokenizer, **sizes, text_channels=64, text_layers=1).to("cpu", torch.float32)


@cache
def lab_of(simulator: str) -> Lab:
    world = untrained(simulator)
    return Lab(world, open_simulator(world.spec), starts=4)


@pytest.fixture(autouse=True, scope="module")
def few_recorded() -> Iterator[None]:
    """A recording of seconds, not minutes, to retrieve from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(players, "_RECORDED", 2)
        yield


@pytest.mark.parametrize(("simulator", "kind"), ASKED)
def test_the_simulator_itself_passes_and_who_learned_nothing_does_not(simulator: str, kind: type[RobotProbe]) -> None:
    lab = lab_of(simulator)
    probe = kind()
    outcome = probe.run(lab)
    assert _entry(probe, outcome)["void"] == []
    outcome.values["World"] = outcome.values["copy last frame"]
    assert _entry(probe, outcome)["passed"] is ("copy last frame" in probe.easy)
    outcome.values["World"] = outcome.values["simulator"]
    assert not np.isnan(outcome.values["World"].astype(float)).any()
    entry = _entry(probe, outcome)
    assert entry["passed"] is True
    if probe.better == "low":
        # A floor to stand on: a pixel and a half of 64 of the worst of all boxes, or a share of what is true.
        assert entry["value"] < (0.024 if probe.unit == "scene widths" else 0.15)


def cases_of(probe: RobotProbe, lab: Lab) -> Cases:
    trials = probe.trials(lab)
    truth, infos = lab.twin([trial.start for trial in trials]).witnessed(np.stack([t.actions for t in trials], 1))
    return Cases(trials, truth[:, None], [[one] for one in infos])


@pytest.mark.parametrize("simulator", [PUSHT, TABLE])
def test_nothing_touches_anything_where_the_pusher_is_sent_and_where_it_is_held(simulator: str) -> None:
    lab = lab_of(simulator)
    for probe in (robot_probes.PusherObedience(), robot_probes.ObjectRest()):
        cases = cases_of(probe, lab)
        assert not cases.of("contact" if simulator == PUSHT else "contacts").any()
        begins, ends = robot_probes._true_ways(cases)
        np.testing.assert_allclose(ends, begins, atol=2e-3)
    scene = scene_of(lab.env)
    assert scene is not None
    for trial, played in zip(cases.trials, cases.infos, strict=True):  # held
        away = scene.pusher(played[0][-1]) - scene.pusher(trial.facts["begin"])
        assert np.hypot(*away) < 0.01 * reading_of(lab.spec).width


@pytest.mark.parametrize("simulator", [PUSHT, TABLE])
def test_a_context_is_what_its_actions_led_to(simulator: str) -> None:
    lab = lab_of(simulator)
    for past in explored(lab, lab.seed):
        if len(past.frames) == CONTEXT + 10:
            break
    start = past.start(CONTEXT + 5)
    assert len(start.frames) == CONTEXT
    assert len(start.actions) == CONTEXT - 1
    simulator_env = lab.env.unwrapped
    frames = [simulator_env.restore(past.snapshots[6])]  # type: ignore[attr-defined]
    frames += [lab.env.step(lab.spec.unflatten(flat))[0] for flat in start.actions]
    np.testing.assert_array_equal(np.stack(frames), start.frames)
    np.testing.assert_array_equal(simulator_env.restore(start.snapshot), start.frames[-1])  # type: ignore[attr-defined]


def test_things_that_stay_or_vanish_do_not_last() -> None:
    lab = lab_of(TABLE)
    probe = ObjectsLast()
    cases = cases_of(probe, lab)
    assert probe.measure(cases.truth, cases).all()
    frozen = np.repeat(cases.truth[:, :, :1], cases.truth.shape[2], 2)
    assert not probe.measure(frozen, cases).any()
    begins, ends = robot_probes._true_ways(cases)
    for box in range(3):
        gone = cases.truth.copy()
        hue = np.array([(255, 0, 0), (255, 200, 0), (0, 0, 255)][box], float)
        film = gone[:, :, 10]  # one of every fifth frames shows one box less
        chroma = film - film.mean(-1, keepdims=True)
        alike = (chroma @ (hue - hue.mean())) / (np.linalg.norm(chroma, axis=-1) * np.linalg.norm(hue - hue.mean()) + 1)
        film[(alike > 0.9) & (np.ptp(film.astype(float), axis=-1) > 40)] = 200
        assert not probe.measure(gone, cases).any()
    assert (np.linalg.norm(ends - begins, axis=2).max(1) > CLEAR).all()


@pytest.mark.parametrize("size", [(64, 64), (96, 128)])
def test_disc_and_t_are_read_where_they_are(size: tuple[int, int]) -> None:
    env = simulator_or_skip(PUSHT, size=size, max_episode_steps=1000)
    frames, infos = seen(env)
    reading = PushTReading()
    off = np.linalg.norm(reading.pusher(frames) - [reading.true_pusher(info) for info in infos], axis=-1)
    inside = [np.abs(info["pos_agent"] - 256).max() < 230 for info in infos]  # as a whole
    assert not np.isnan(off[inside]).any()
    assert off[inside].mean() * reading.width < 1.5  # a fifth of a pixel of 64
    off = np.linalg.norm(reading.things(frames) - [reading.true_things(info) for info in infos], axis=-1)
    assert off.mean() * reading.width < 2
    turned = reading.angles(frames) - [info["block_pose"][2] for info in infos]
    off = np.abs((turned + np.pi) % (2 * np.pi) - np.pi)
    assert np.degrees(off.mean()) < 3
    assert np.degrees(off.max()) < 15


@pytest.mark.parametrize("size", [(64, 64), (96, 128)])
def test_pusher_and_boxes_are_read_where_they_are(size: tuple[int, int]) -> None:
    env = simulator_or_skip(TABLE, size=size)
    frames, infos = seen(env)
    reading = TableReading(3)
    off = np.linalg.norm(reading.pusher(frames) - [reading.true_pusher(info) for info in infos], axis=-1)
    off = off[[np.abs(info["pusher_position"]).max() < 0.2 for info in infos]]
    assert off.mean() * reading.width < 0.006  # half a pixel of 64, boxes in front of it and all
    off = np.linalg.norm(reading.things(frames) - [reading.true_things(info) for info in infos], axis=-1)
    assert np.isnan(off).mean() < 0.01
    assert (np.nanmean(off, 0) * reading.width < 0.007).all()
    assert np.nanpercentile(off, 90) * reading.width < 0.011


def seen(env: gym.Env) -> tuple[np.ndarray, list[dict[str, object]]]:
    """Every tenth frame of some exploration, and its info."""
    frames, infos = [], []
    for seed in range(3):
        for tick, (frame, _, info) in enumerate(wander(env, seed)):
            if tick % 10 == 0:
                frames.append(frame)
                infos.append(info)
            if tick == 150:
                break
    return np.stack(frames), infos


def test_what_is_not_there_is_not_read() -> None:
    env = simulator_or_skip(TABLE, boxes=1)
    frame, _ = env.reset(seed=0)
    assert np.isnan(TableReading(3).things(frame)).all(1).tolist() == [False, True, True]
    blank = np.full((2, 64, 64, 3), 255, np.uint8)
    assert np.isnan(PushTReading().pusher(blank)).all()
    assert np.isnan(PushTReading().things(blank)).all()
    assert np.isnan(PushTReading().angles(blank)).all()
    blue = np.broadcast_to(np.array([65, 105, 225], np.uint8), (64, 64, 3))
    assert np.isnan(PushTReading().pusher(blue)).all()  # far too large to be a disc


def test_each_simulator_has_its_probes_and_no_other_reading() -> None:
    for simulator in (PUSHT, TABLE):
        names = {probe.name for probe in probes_for(simulator)}
        assert {"pusher-obedience", "pusher-gain", "object-way", "object-rest", "objects-last"} <= names
    assert not {probe.name for probe in probes_for("worldsim/BallsSim-v0")} & {probe.name for probe in PROBES}
    spec = WorldSpec(
        name="other", size=(32, 32), fps=20, action=space_to_json(gym.spaces.Box(-1, 1, (2,), np.float32)),
        context_length=8, simulator="worldsim/BallsSim-v0",
    )  # fmt: skip
    with pytest.raises(ValueError, match="cannot be read here"):
        reading_of(spec)

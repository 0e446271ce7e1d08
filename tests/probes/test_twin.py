"""A simulator and its World, stepped alike."""

from __future__ import annotations

import numpy as np

from worldsim.probes.heldout import CONTEXT, open_simulator
from worldsim.probes.places import StandingTwin, standing_places
from worldsim.world import World


def test_both_start_at_the_place_and_take_the_same_actions(blocks: World) -> None:
    env = open_simulator(blocks.spec)
    places = standing_places(env, blocks.spec, 7_800_000, 2)
    made: list[int] = []
    twin = StandingTwin(env, blocks, places, made.append)
    steps = [{"forward": 1}, {"camera": (5.0, 0.0), "jump": 1}]
    truth, shown = twin.play(steps)
    assert truth.shape == shown.shape == (2, 3, 32, 48, 3)
    assert sum(made) == 4
    for lane, place in enumerate(places):
        assert np.array_equal(truth[lane, 0], place.frames[-1])
        env.unwrapped.restore(place.snapshot)
        first = {**place.last, "forward": 1}
        second = {**place.last, "camera": np.array((5.0, 0.0), np.float32), "jump": 1}
        run = blocks.start(1, place.seed, context=place.frames[-CONTEXT:], actions=place.actions)
        for number, action in enumerate((first, second), 1):
            assert np.array_equal(env.step(action)[0], truth[lane, number])
            assert np.array_equal(run.step(blocks.spec.flatten(action)[None]).frames[0].numpy(), shown[lane, number])


def test_every_play_begins_anew(blocks: World) -> None:
    env = open_simulator(blocks.spec)
    twin = StandingTwin(env, blocks, standing_places(env, blocks.spec, 7_800_000, 1), lambda frames: None)
    once, again = twin.play([{"forward": 1}] * 3), twin.play([{"forward": 1}] * 3)
    assert np.array_equal(once[0], again[0])
    assert np.array_equal(once[1], again[1])

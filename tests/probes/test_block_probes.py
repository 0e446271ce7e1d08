"""The probes of the block world: the simulator itself passes them, and an untrained World does not."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from worldsim.envs.blocks import animals, physics
from worldsim.probes import block_probes, launched
from worldsim.probes.heldout import open_simulator
from worldsim.probes.places import Standing, later
from worldsim.probes.probe import Lab, Probe
from worldsim.probes.profile import _entry
from worldsim.world import World

PROBES = (*block_probes.PROBES, launched.Launched)


@pytest.fixture(scope="module")
def lab(blocks: World) -> Iterator[Lab]:
    with open_simulator(blocks.spec) as env:
        yield Lab(blocks, env, starts=4, seed=7_800_000)


@pytest.mark.parametrize("kind", PROBES, ids=lambda kind: kind.name)
def test_the_simulator_itself_passes_and_an_untrained_world_does_not(kind: type[Probe], lab: Lab) -> None:
    probe = kind()
    outcome = probe.run(lab)
    assert (~np.isnan(outcome.values["simulator"])).sum() >= 2
    assert len(outcome.values["simulator"]) == 4  # one a place
    assert _entry(probe, outcome)["void"] == []
    outcome.values["World"] = outcome.values["copy last frame"]
    assert _entry(probe, outcome)["passed"] is ("copy last frame" in probe.easy)
    outcome.values["World"] = outcome.values["simulator"]
    entry = _entry(probe, outcome)
    assert entry["passed"] is (not probe.sure)  # four of four are not enough to be sure of nine in ten
    assert entry["value"] == pytest.approx(1) if probe.unit == "share" else True


def test_who_is_told_the_opposite_turns_the_other_way(lab: Lab) -> None:
    places = block_probes.places_of(lab)
    twin = block_probes.StandingTwin(lab.env, lab.world, places, lab.tick)
    twin = twin.beside(block_probes.Simulator(twin))
    others = lab.players.beside(twin, acts=True)
    gains = {
        name: np.nanmean(block_probes.Turns().measure(twin.beside(others[name])))
        for name in ("no actions", "wrong direction")
    }
    assert gains["no actions"] == pytest.approx(0, abs=0.1)
    assert gains["wrong direction"] == pytest.approx(-1, abs=0.2)


def test_an_animal_that_walked_on_stands_still_or_is_gone_is_told_apart(lab: Lab) -> None:
    starts = launched.crossings(lab)
    truth, empty = (np.stack([launched.played(lab.env, start, alone) for start in starts]) for alone in (False, True))
    still = np.repeat(truth[:, :1], truth.shape[1], 1)
    shown = {"evolved": truth, "frozen": still, "gone": empty}
    for number, fate in enumerate(launched.FATES):
        assert launched.fates(shown[fate], truth, empty).tolist() == [number] * 4
        darker = np.maximum(shown[fate], 20) - 20  # nobody draws it quite right
        assert launched.fates(darker, truth, empty).tolist() == [number] * 4


def test_the_animal_begins_to_one_side_before_the_player_and_walks_to_the_other(lab: Lab) -> None:
    def seen(herd: np.ndarray, place: Standing) -> np.ndarray:
        """How far ahead and to the right of the player the animal is, in blocks."""
        yaw = math.radians(place.snapshot.body[physics.YAW])
        apart = herd[0, [animals.X, animals.Z]] - place.snapshot.body[[physics.X, physics.Z]]
        return np.array([[-math.sin(yaw), math.cos(yaw)], [-math.cos(yaw), -math.sin(yaw)]]) @ ((apart + 64) % 128 - 64)

    walked = 0
    for place in block_probes.places_of(lab):
        for side in (-1, 1):
            herd = launched.walker(place, 4.0, side)
            if herd is None:
                continue
            assert seen(herd, place) == pytest.approx([4.0, 1.8 * side], abs=1e-6)
            ahead, right = seen(later(lab.env, lab.spec, place, herd=herd).snapshot.herd, place)
            if abs(right - 1.8 * side) > 0.5:  # nothing is in its way
                walked += 1
                assert ahead == pytest.approx(4.0, abs=0.3)
                assert right * side < 1.5
    assert walked >= 2

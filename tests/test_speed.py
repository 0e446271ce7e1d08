"""The speeds that are promised for two cores that do nothing else: `python -m pytest -m slow`."""

from __future__ import annotations

import pytest

import worldsim
from worldsim.probes.bench import simulator_rate, start_up_seconds, world_rate

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("size", "floor"), [((64, 64), 1500), ((80, 128), 500)])
def test_the_simulator_draws_fast(size: tuple[int, int], floor: float) -> None:
    assert simulator_rate(size, 1000)["frames_per_second"] >= floor


def test_the_world_that_ships_is_stepped_fast() -> None:
    world = worldsim.load("blocks", device="cpu")
    assert world_rate(world, lanes=1, steps=2, frames=60)["frames_per_second"] >= 15


def test_the_first_frame_comes_soon() -> None:
    """Of the second start, when the files are in memory."""
    assert start_up_seconds("blocks") <= 8

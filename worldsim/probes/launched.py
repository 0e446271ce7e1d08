"""What goes on while nobody looks: an animal walks off, the player turns away and back. For Worlds of the block world.

Is it where it has walked to, where it was, or nowhere? The simulator draws all three pictures, and the one that the
World's comes nearest to, where they differ, is what it shows; no detector is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from worldsim.envs.blocks import animals, physics
from worldsim.envs.blocks.blocks import ANIMALS
from worldsim.probes.holding import RATE
from worldsim.probes.places import Action, Standing, StandingTwin, later, standing_places
from worldsim.probes.probe import Lab, Outcome, Probe
from worldsim.probes.rollouts import psnr
from worldsim.probes.twin import Player, Simulator

FATES = ("evolved", "frozen", "gone")
_AWAY = 9  # ticks of RATE degrees: all that was in view is out of sight, for a moment
_DWELL = 12  # ticks
_STEPS: list[Action] = [{"camera": (RATE, 0)}] * _AWAY + [{}] * _DWELL + [{"camera": (-RATE, 0)}] * _AWAY
_VISIBLE = 40  # difference in one channel, of 255, from which on a pixel shows something else
_LEAST = 24  # pixels of 80x128 that an animal must show, here and there
_TURNED = 6.0  # dB that the picture may be more like the start than the truth is, and still have turned away
_TRIES = 6  # places that are looked at for each that is wanted


class Launched(Probe):
    name = "launched"
    question = (
        "An animal walks across the view; the player turns by 90 degrees, waits, and turns back, 1.5 s in all: the "
        "share of animals that are then where they have walked to, and neither where they were nor gone."
    )
    chance = 1 / 3
    simulators = ("worldsim/BlocksSim-v0",)

    def run(self, lab: Lab) -> Outcome:
        """At as many places as the lab wants, for the World and everybody else in its place."""
        starts = _crossings(lab)
        twin = StandingTwin(lab.env, lab.world, starts, lab.tick)
        truth, empty = twin.truth(_STEPS), _emptied(twin)
        players: dict[str, Player] = {"World": twin.player, "simulator": Simulator(twin)}
        values, note, films = {}, "", None
        for name, player in (players | lab.players.beside(twin, acts=True)).items():
            shown = twin.beside(player).shown(_STEPS)
            fates = _fates(shown, truth, empty)
            away = _looks_away(shown, truth)
            values[name] = np.where(away, fates == FATES.index("evolved"), np.nan)
            if name == "World":
                counts = [int((fates[away] == number).sum()) for number in range(len(FATES))]
                note = f"of {len(starts)}: {', '.join(f'{c} {f}' for c, f in zip(counts, FATES, strict=True))}"
                films = truth, shown
        return Outcome(values, films, note=note)

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.8, 1


def _crossings(lab: Lab) -> list[Standing]:
    """Places at which an animal walks across the view, seen before and after the look away, in two places.

    ValueError if there are too few.
    """
    found: list[Standing] = []
    for place in _places(lab):
        for distance, side in ((3.5, 1), (3.5, -1), (5, 1), (5, -1)):
            herd = _walker(place, distance, side)
            if herd is None:
                continue
            start = later(lab.env, lab.spec, place, herd=herd)
            twin = StandingTwin(lab.env, lab.world, [start], lab.tick)
            truth, empty = twin.truth(_STEPS), _emptied(twin)
            before, after = (_differ(truth[0, at], empty[0, at]) for at in (0, -1))
            hidden = not _differ(truth[0, _AWAY : _AWAY + _DWELL], empty[0, _AWAY : _AWAY + _DWELL]).any()
            if hidden and min(before.sum(), after.sum()) >= _LEAST and (before & after).sum() < 0.2 * before.sum():
                found.append(start)
                break
        if len(found) == lab.starts:
            return found
    raise ValueError(
        f"an animal can walk across the view at only {len(found)} of {_TRIES * lab.starts} places from seed {lab.seed} "
        "on: choose another seed, or fewer starts"
    )


def _places(lab: Lab) -> Iterator[Standing]:
    for batch in range(_TRIES):  # not all at once: most often the first are enough
        yield from standing_places(lab.env, lab.spec, lab.seed + batch * 100_000, lab.starts)


def _walker(place: Standing, distance: float, side: int) -> np.ndarray | None:
    """A herd of one that walks from one side (-1: left) to the other before the player; None where it cannot stand."""
    state: Any = place.snapshot
    yaw = state.body[physics.YAW]
    ahead = np.array([-math.sin(math.radians(yaw)), -math.cos(math.radians(yaw))])
    right = np.array([-ahead[1], ahead[0]])
    x, z = state.body[[physics.X, physics.Z]] + distance * ahead + 2.0 * side * right
    y = animals.ground_below(state.voxels, x, state.body[physics.Y] + 1, z, 3)
    if y < 0 or not physics.free(state.voxels, x, y, z, physics.ANIMAL_HALF, physics.ANIMAL_HEIGHT):
        return None
    herd = animals.make_herd(np.array([place.seed % len(ANIMALS)]), np.random.default_rng(place.seed))
    herd[0, [animals.X, animals.Y, animals.Z]] = physics.wrap(x), y, physics.wrap(z)
    herd[0, animals.YAW] = herd[0, animals.AIM] = (yaw + 90 * side) % 360
    herd[0, animals.WALKING], herd[0, animals.TIMER] = 1, 1000  # it does not change its mind
    return herd


def _emptied(twin: StandingTwin) -> np.ndarray:
    """The simulator's frames as they would be without animals, (places, T + 1, H, W, 3)."""
    frames = []
    simulator: Any = twin.env.unwrapped
    for place in twin.starts:
        state = place.snapshot.copy()
        state.herd = state.herd[:0]
        frames.append([simulator.restore(state)])
        frames[-1] += [simulator.step(place.acting(step))[0] for step in _STEPS]
    return np.array(frames)


def _differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Which pixels of frames (..., H, W, 3) differ visibly, bool (..., H, W)."""
    return np.abs(one.astype(np.int16) - other).max(-1) > _VISIBLE


def _fates(shown: np.ndarray, truth: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """Which of FATES the last frames show, int (places,): the nearest of the true end, the true start, and nothing."""
    pictures = np.stack([truth[:, -1], truth[:, 0], empty[:, -1]])
    where = _differ(truth[:, -1], empty[:, -1]) | _differ(truth[:, 0], empty[:, 0])
    apart = ((pictures.astype(np.float32) - shown[:, -1]) ** 2).sum(-1)
    return (apart * where).sum((2, 3)).argmin(0)


def _looks_away(shown: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Whether another place is shown half way, bool (places,)."""
    middle = _AWAY + _DWELL // 2
    return psnr(shown[:, middle], truth[:, 0]) < psnr(truth[:, middle], truth[:, 0]) + _TURNED


PROBES = (Launched,)

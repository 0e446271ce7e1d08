"""What goes on while nobody looks: an animal walks on, the player turns away and back. For Worlds of the block world.

Is it where it has walked to, where it was, or nowhere? The simulator draws all three pictures, and the one that the
World's comes nearest to, where they differ, is what it shows; no detector is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim.envs.blocks import animals, physics
from worldsim.envs.blocks.blocks import ANIMALS
from worldsim.envs.blocks.render import view_direction
from worldsim.probes.block_probes import places_of
from worldsim.probes.holding import RATE, turned_away
from worldsim.probes.places import SIMULATOR, Action, Standing, StandingTwin, later, standing_places
from worldsim.probes.probe import Lab, Outcome, Probe
from worldsim.probes.twin import Player, Simulator

FATES = ("evolved", "frozen", "gone")
_AWAY, _DWELL = 9, 12  # ticks of RATE degrees, and of waiting
_STEPS: list[Action] = [{"camera": (RATE, 0)}] * _AWAY + [{}] * _DWELL + [{"camera": (-RATE, 0)}] * _AWAY
_ASIDE = 1.8  # blocks from the middle of the view, where the animal begins; it comes 2.5 blocks far in all
_VISIBLE = 40  # difference in one channel, of 255, from which on a pixel shows something else
_LEAST = 1 / 400  # of the pixels, which an animal must show, here and there
_TRIES = 6  # places that are looked at for each that is wanted


class Launched(Probe):
    name = "launched"
    question = (
        "An animal walks across the middle of the view; the player turns by 90 degrees, waits, and turns back, 1.5 s "
        "in all: the share of animals that are then where they have walked to, and neither where they were nor gone."
    )
    chance = 1 / 3
    simulators = (SIMULATOR,)
    easy = ("wrong direction",)  # which looks away and back too

    def run(self, lab: Lab) -> Outcome:
        """At as many places as the lab wants, for the World and everybody else in its place."""
        starts = crossings(lab)
        twin = StandingTwin(lab.env, lab.world, starts, lab.tick)
        truth, empty = twin.truth(_STEPS), np.stack([played(lab.env, start, alone=True) for start in starts])
        players: dict[str, Player] = {"World": twin.player, "simulator": Simulator(twin)}
        values, note, films = {}, "", None
        for name, player in (players | lab.players.beside(twin, acts=True)).items():
            shown = twin.beside(player).shown(_STEPS)
            ends = fates(shown, truth, empty)
            away = turned_away(shown[:, _AWAY], truth[:, [0, _AWAY]])
            values[name] = np.where(away, ends == FATES.index("evolved"), np.nan)
            if name == "World":
                counts = [int((ends[away] == number).sum()) for number in range(len(FATES))]
                note = ", ".join(f"{count} {fate}" for count, fate in zip(counts, FATES, strict=True))
                films = truth, shown
        return Outcome(values, films, note=note)

    def line(self, simulator: float) -> tuple[float, float]:
        return 0.8, 1


def crossings(lab: Lab) -> list[Standing]:
    """Places at which an animal walks across the view, out of sight while the player looks away, and not hidden before
    or after; as many as the lab wants. ValueError if there are too few."""
    found: list[Standing] = []
    for place in _places(lab):
        first = 1 if place.seed % 2 else -1
        for distance, side in ((3.5, first), (3.5, -first), (5, first), (5, -first)):
            herd = walker(place, distance, side)
            if herd is None:
                continue
            start = later(lab.env, lab.spec, place, herd=herd)
            seen = _differ(played(lab.env, start, alone=False), played(lab.env, start, alone=True))
            pixels = seen.mean((1, 2))
            hidden = pixels[_AWAY : _AWAY + _DWELL + 1].max() == 0
            apart = (seen[0] & seen[-1]).sum() < 0.2 * seen[0].sum()
            if hidden and apart and min(pixels[0], pixels[-1]) >= _LEAST:
                found.append(start)
                break
        if len(found) == lab.starts:
            return found
    raise ValueError(
        f"an animal can walk across the view at only {len(found)} of {_TRIES * lab.starts} places from seed {lab.seed} "
        "on: choose another seed, or fewer starts"
    )


def _places(lab: Lab) -> Iterator[Standing]:
    yield from places_of(lab)  # most often these are enough
    for batch in range(1, _TRIES):
        yield from standing_places(lab.env, lab.spec, lab.seed + batch * 100_000, lab.starts)


def walker(place: Standing, distance: float, side: int) -> np.ndarray | None:
    """A herd of one, `distance` blocks ahead and to one side (1: right), that walks to the other across the player's
    view; None where it cannot stand."""
    state: Any = place.snapshot
    yaw = float(state.body[physics.YAW])
    ahead = view_direction(yaw, 0)[[0, 2]]
    right = np.array([-ahead[1], ahead[0]])
    x, z = state.body[[physics.X, physics.Z]] + distance * ahead + _ASIDE * side * right
    y = animals.ground_below(state.voxels, x, state.body[physics.Y] + 1, z, 3)
    if y < 0 or not physics.free(state.voxels, x, y, z, physics.ANIMAL_HALF, physics.ANIMAL_HEIGHT):
        return None
    herd = animals.make_herd(np.array([place.seed % len(ANIMALS)]), np.random.default_rng(place.seed))
    herd[0, [animals.X, animals.Y, animals.Z]] = physics.wrap(x), y, physics.wrap(z)
    herd[0, animals.YAW] = herd[0, animals.AIM] = (yaw - 90 * side) % 360
    herd[0, animals.WALKING], herd[0, animals.TIMER] = 1, math.inf  # it does not change its mind
    return herd


def played(env: gym.Env, place: Standing, alone: bool) -> np.ndarray:
    """The simulator's frames, uint8 (T + 1, H, W, 3). alone: as they would be without animals."""
    simulator: Any = env.unwrapped
    state = place.snapshot.copy()
    if alone:
        state.herd = state.herd[:0]
    frames = [simulator.restore(state)]
    return np.stack(frames + [simulator.step(place.acting(step))[0] for step in _STEPS])


def _differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Which pixels of frames (..., H, W, 3) differ visibly, bool (..., H, W)."""
    return np.abs(one.astype(np.int16) - other).max(-1) > _VISIBLE


def fates(shown: np.ndarray, truth: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """Which of FATES the last frames show, int (places,): the nearest of the true end, the true start, and nothing.

    All are films, uint8 (places, T + 1, H, W, 3); empty: the simulator's without animals.
    """
    pictures = np.stack([truth[:, -1], truth[:, 0], empty[:, -1]])
    where = _differ(truth[:, -1], empty[:, -1]) | _differ(truth[:, 0], empty[:, 0])
    apart = ((pictures.astype(np.float32) - shown[:, -1]) ** 2).sum(-1)
    nearest: np.ndarray = (apart * where).sum((2, 3)).argmin(0)
    return nearest


PROBES = (Launched,)

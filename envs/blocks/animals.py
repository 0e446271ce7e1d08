"""Animals: they wander, pause, step up and down single blocks, and keep out of walls, drops and water.

The herd is a float64 array (n, ANIMAL): x, y (feet), z, yaw, kind first, as the renderer takes them. Its random stream
is a uint64 array (1,), part of the state, so that a snapshot continues exactly.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from worldsim.envs.blocks.blocks import SEA_LEVEL, SOLID, WATER, WORLD_SHAPE
from worldsim.envs.blocks.physics import ANIMAL_HALF, ANIMAL_HEIGHT, fall, free, offset, wet, wrap
from worldsim.envs.blocks.physics import X as BODY_X
from worldsim.envs.blocks.physics import Y as BODY_Y
from worldsim.envs.blocks.physics import Z as BODY_Z

# AIM: the yaw it turns to. TIMER: ticks until it changes its mind. WALKING: 1 or 0. CLIMB as for the player.
X, Y, Z, YAW, KIND, VY, AIM, TIMER, WALKING, CLIMB = range(10)
ANIMAL = 10

_MASK, _TOP = WORLD_SHAPE[0] - 1, WORLD_SHAPE[1]
_SPEED = 0.055  # blocks a tick
_TURN = 7.0  # degrees a tick


@njit(cache=True)
def _uniform(stream: np.ndarray) -> float:
    """The next number in [0, 1) of a splitmix64 stream, uint64 (1,)."""
    stream[0] += np.uint64(0x9E3779B97F4A7C15)
    value = stream[0]
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    value = value ^ (value >> np.uint64(31))
    return float(value >> np.uint64(11)) / 9007199254740992.0


@njit(cache=True)
def ground_below(voxels: np.ndarray, x: float, y: float, z: float, depth: int) -> int:
    """y of the free cell on the highest solid block at or below y; -1 if there is none within `depth` or it is wet."""
    i, k = math.floor(x) & _MASK, math.floor(z) & _MASK
    start = min(math.floor(y + 0.01), _TOP - 1)
    for j in range(start, max(start - depth - 1, 0), -1):
        if voxels[i, j, k] == WATER:
            return -1
        if SOLID[voxels[i, j - 1, k]]:
            return j
    return -1


@njit(cache=True)
def _walk(voxels: np.ndarray, animal: np.ndarray) -> bool:
    """One step ahead; False if a wall, a drop or water is in the way."""
    sine, cosine = -math.sin(math.radians(animal[YAW])), math.cos(math.radians(animal[YAW]))
    x, y, z = animal[X] + sine * _SPEED, animal[Y], animal[Z] + cosine * _SPEED
    nose_x, nose_z = animal[X] + sine * (ANIMAL_HALF + 0.25), animal[Z] + cosine * (ANIMAL_HALF + 0.25)
    if free(voxels, x, y, z, ANIMAL_HALF, ANIMAL_HEIGHT):
        if animal[CLIMB] < 0 and ground_below(voxels, nose_x, y + 1.0, nose_z, 2) < 0:
            return False
        animal[X], animal[Z] = wrap(x), wrap(z)
        return True
    if animal[CLIMB] >= 0:
        return True
    up = math.floor(y + 0.01) + 1.0
    if free(voxels, x, up, z, ANIMAL_HALF, ANIMAL_HEIGHT) and free(
        voxels, animal[X], up, animal[Z], ANIMAL_HALF, ANIMAL_HEIGHT
    ):
        animal[CLIMB] = up
        return True
    return False


@njit(cache=True)
def tick(voxels: np.ndarray, herd: np.ndarray, stream: np.ndarray, body: np.ndarray) -> None:
    """Advance all animals by 1/20 s in place. herd: float64 (n, ANIMAL), stream: uint64 (1,), body: the player."""
    for n in range(herd.shape[0]):
        animal = herd[n]
        animal[TIMER] -= 1.0
        if animal[TIMER] <= 0:
            animal[WALKING] = 1.0 if _uniform(stream) < 0.6 else 0.0
            animal[AIM] = (animal[YAW] + (_uniform(stream) - 0.5) * 240.0) % 360.0
            animal[TIMER] = 25.0 + math.floor(_uniform(stream) * 70.0)
        turn = (animal[AIM] - animal[YAW] + 180.0) % 360.0 - 180.0
        animal[YAW] = (animal[YAW] + min(max(turn, -_TURN), _TURN)) % 360.0
        if animal[WALKING] > 0 and abs(turn) < 60.0 and not _walk(voxels, animal):
            animal[AIM] = (animal[YAW] + 120.0 + _uniform(stream) * 120.0) % 360.0
            animal[TIMER] = 30.0
        # The player pushes animals out of the way instead of walking through them.
        away_x, away_z = offset(body[BODY_X], animal[X]), offset(body[BODY_Z], animal[Z])
        distance = math.sqrt(away_x * away_x + away_z * away_z)
        if distance < 0.9 and abs(animal[Y] - body[BODY_Y]) < 1.6 and distance > 1e-6:
            x, z = animal[X] + away_x / distance * 0.1, animal[Z] + away_z / distance * 0.1
            if free(voxels, x, animal[Y], z, ANIMAL_HALF, ANIMAL_HEIGHT):
                animal[X], animal[Z] = wrap(x), wrap(z)
        if animal[CLIMB] >= 0 and animal[Y] < animal[CLIMB] and animal[WALKING] > 0:
            animal[VY] = min(0.25, animal[CLIMB] - animal[Y])
        else:
            animal[CLIMB] = -1.0
            if wet(voxels, animal[X], animal[Y] + 0.5, animal[Z]):
                animal[VY] = 0.05
            else:
                animal[VY] = (animal[VY] - 0.08) * 0.98
        y = fall(voxels, animal[X], animal[Y], animal[Z], animal[VY], ANIMAL_HALF, ANIMAL_HEIGHT)
        if abs(y - animal[Y] - animal[VY]) > 1e-6:
            animal[VY] = 0.0
        animal[Y] = y


@njit(cache=True)
def stand(
    voxels: np.ndarray, heights: np.ndarray, built: np.ndarray, herd: np.ndarray, index: int, x: float, z: float
) -> bool:
    """Put animal `index` of the herd on the ground near (x, z) unless it is wet, built on, narrow or taken there."""
    i, k = math.floor(x) & _MASK, math.floor(z) & _MASK
    y = heights[i, k] + 1.0
    if y < SEA_LEVEL or built[i, k] != 0 or voxels[i, int(y), k] == WATER:
        return False
    x, z = i + 0.5, k + 0.5
    if not SOLID[voxels[i, int(y) - 1, k]] or not free(voxels, x, y, z, ANIMAL_HALF, ANIMAL_HEIGHT + 1):
        return False
    for n in range(index):
        if abs(offset(herd[n, X], x)) < 1.2 and abs(offset(herd[n, Z], z)) < 1.2:
            return False
    herd[index, X], herd[index, Y], herd[index, Z] = x, y, z
    herd[index, CLIMB] = -1.0
    return True


def make_herd(kinds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A herd (n, ANIMAL) of the given kinds (indices into ANIMALS), facing anywhere, not yet placed in the world."""
    herd = np.zeros((len(kinds), ANIMAL))
    herd[:, KIND], herd[:, CLIMB] = kinds, -1.0
    herd[:, YAW] = rng.uniform(0, 360, len(kinds))
    herd[:, AIM], herd[:, TIMER] = herd[:, YAW], rng.integers(5, 60, len(kinds))
    return herd

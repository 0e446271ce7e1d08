"""Where an episode begins: a dry, open place with a view worth looking at, and animals set around it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from worldsim.envs.blocks import animals
from worldsim.envs.blocks.blocks import AIR, ANIMALS, FLOWER, SEA_LEVEL, SOLID, WORLD_SHAPE
from worldsim.envs.blocks.physics import (
    BODY,
    CLIMB,
    EYE,
    EYE_HEIGHT,
    GROUND,
    HALF_WIDTH,
    HEIGHT,
    PITCH,
    YAW,
    X,
    Y,
    Z,
    free,
)
from worldsim.envs.blocks.render import raycast
from worldsim.envs.blocks.terrain import Land, terrain_at
from worldsim.envs.blocks.views import eye_of, survey

_MASK = WORLD_SHAPE[0] - 1
_GOOD = 7  # candidates that are compared


@njit(cache=True)
def _open(voxels: np.ndarray, heights: np.ndarray, built: np.ndarray, x: int, z: int) -> bool:
    """Whether a body can stand on the ground of the column under the open sky, with walkable ground around it."""
    ground = heights[x, z]
    if ground < SEA_LEVEL or (built[x, z] != 0 and built[x, z] != 9) or not SOLID[voxels[x, ground, z]]:
        return False
    for y in range(ground + 1, WORLD_SHAPE[1]):
        if voxels[x, y, z] != AIR and voxels[x, y, z] != FLOWER:
            return False
    for dx in range(-1, 2):
        for dz in range(-1, 2):
            if abs(heights[(x + dx) & _MASK, (z + dz) & _MASK] - ground) > 1:
                return False
    return free(voxels, x + 0.5, ground + 1.0, z + 0.5, HALF_WIDTH, HEIGHT)


@njit(cache=True)
def choose_place(
    voxels: np.ndarray, heights: np.ndarray, biomes: np.ndarray, built: np.ndarray, draws: np.ndarray,
    biome: int, terrain: int, water: int, trees: int, structure: int, anchor_x: int, anchor_z: int,
) -> tuple[float, float, float, float, float]:  # fmt: skip
    """The best of the first open places among the draws (n, 4) in [0, 1): x, feet y, z, yaw, pitch.

    biome, terrain, structure: what to stand in or look at, -1 for anything. water, trees: 1 to see it, 0 not to, -1 for
    anything. With a structure the places lie around the anchor and look at it. pitch > 90 where no place was open.
    """
    best, found, chosen = -1e9, 0, (0.0, 0.0, 0.0, 0.0, 999.0)
    wanted = biome >= 0 or terrain >= 0 or water >= 0 or trees >= 0 or structure >= 0
    for n in range(draws.shape[0]):
        yaw = draws[n, 2] * 360.0
        x, z = int(draws[n, 0] * (_MASK + 1)), int(draws[n, 1] * (_MASK + 1))
        if structure >= 0:
            angle, radius = draws[n, 0] * 2 * math.pi, 7.0 + 8.0 * draws[n, 1]
            x = math.floor(anchor_x + 0.5 - radius * math.sin(angle)) & _MASK
            z = math.floor(anchor_z + 0.5 + radius * math.cos(angle)) & _MASK
            yaw = (math.degrees(angle) + 180.0 + (draws[n, 2] - 0.5) * 40.0) % 360.0
        if not _open(voxels, heights, built, x, z):
            continue
        pitch = -3.0 + 14.0 * draws[n, 3]
        eye = np.array((x + 0.5, heights[x, z] + 1 + EYE_HEIGHT, z + 0.5))
        worth, sees_water, sees_trees, sees_structure = survey(voxels, built, eye, yaw, pitch, structure)
        if biome >= 0:
            worth += 30.0 * (biomes[x, z] == biome)
        if terrain >= 0:
            worth += 30.0 * (terrain_at(heights, x, z) == terrain)
        if water >= 0:
            worth += 20.0 * (sees_water > 0.06 if water else sees_water == 0)
        if trees >= 0:
            worth += 20.0 * (sees_trees > 0.06 if trees else sees_trees == 0)
        if structure >= 0:
            worth += 20.0 * (sees_structure > 0.06) + 10.0 * (sees_structure > 0.02)
        found += 1
        if worth > best:
            best = worth
            chosen = (x + 0.5, heights[x, z] + 1.0, z + 0.5, yaw, pitch)
        if found >= _GOOD and not wanted:
            break
    return chosen


def place_player(
    land: Land, rng: np.random.Generator, *, biome: int = -1, terrain: int = -1, water: int = -1, trees: int = -1,
    structure: int = -1, anchor: tuple[int, int] = (0, 0),
) -> np.ndarray:  # fmt: skip
    """The body (BODY,) at the start of an episode; arguments as for `choose_place`."""
    x, y, z, yaw, pitch = choose_place(
        land.voxels, land.heights, land.biomes, land.built, rng.random((600, 4)),
        biome, terrain, water, trees, structure, *anchor,
    )  # fmt: skip
    if pitch > 90:  # no open place was drawn: stand on the highest ground there is, under a clear sky
        i, k = np.unravel_index(int(np.argmax(land.heights)), land.heights.shape)
        land.voxels[i, land.heights[i, k] + 1 :, k] = AIR
        x, y, z, pitch = float(i) + 0.5, float(land.heights[i, k]) + 1.0, float(k) + 0.5, 0.0
    body = np.zeros(BODY)
    body[[X, Y, Z, YAW, PITCH]] = x, y, z, yaw, pitch
    body[EYE], body[GROUND], body[CLIMB] = EYE_HEIGHT, 1.0, -1.0
    return body


def place_herd(
    land: Land, body: np.ndarray, rng: np.random.Generator, wanted: dict[str, int] | None = None
) -> np.ndarray:
    """Four to ten animals, float64 (n, ANIMAL).

    wanted (kind -> number) stand in view, ten at most, and the others far behind; None lets half of them stand around.
    """
    shown = [ANIMALS.index(kind) for kind, number in (wanted or {}).items() for _ in range(number)][:10]
    count = max(int(rng.integers(4, 11)), len(shown))
    kinds = np.array([*shown, *rng.integers(len(ANIMALS), size=count - len(shown))], np.int64)
    herd = animals.make_herd(kinds, rng)
    placed = 0
    for index in range(count):
        for _ in range(60):
            u, v = rng.random(2)
            if index < len(shown):
                angle, radius = body[YAW] + (u - 0.5) * 60.0, 3.5 + 6.5 * v
            elif wanted is None and index < count // 2:
                angle, radius = body[YAW] + (u - 0.5) * 200.0, 5.0 + 14.0 * v
            else:
                angle, radius = body[YAW] + 80.0 + u * 200.0, 20.0 + 35.0 * v
            x, z = body[X] - radius * math.sin(math.radians(angle)), body[Z] + radius * math.cos(math.radians(angle))
            if not animals.stand(land.voxels, land.heights, land.built, herd, placed, x, z):
                continue
            if index < len(shown) and not _in_sight(land.voxels, body, herd[placed]):
                continue
            herd[placed, animals.KIND] = kinds[index]
            placed += 1
            break
    return herd[:placed].copy()


def _in_sight(voxels: np.ndarray, body: np.ndarray, animal: np.ndarray) -> bool:
    eye = eye_of(body)
    ray = animal[:3] + np.array((0.0, 0.5, 0.0)) - eye
    ray[[0, 2]] = (ray[[0, 2]] + 64.0) % 128.0 - 64.0
    distance = float(np.linalg.norm(ray))
    return not raycast(voxels, eye, ray / distance, distance - 0.4)[0]

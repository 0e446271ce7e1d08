"""What the camera sees, measured: blocks, animals and structures in a rendering, the block in reach, a view's worth."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from worldsim.envs.blocks.blocks import (
    ANIMALS,
    BLOCK_NAMES,
    BRICK,
    COBBLESTONE,
    GLASS,
    LEAVES,
    PLANKS,
    STRUCTURES,
    WATER,
    WOOD,
    WORLD_SHAPE,
)
from worldsim.envs.blocks.physics import EYE, PITCH, REACH, YAW, X, Y, Z, ahead_of, offset
from worldsim.envs.blocks.render import raycast

_BLOCKS, _KINDS, _BUILT = len(BLOCK_NAMES), len(ANIMALS), len(STRUCTURES)
_MASK, _TOP = WORLD_SHAPE[0] - 1, WORLD_SHAPE[1]
_SLOPE = math.tan(math.radians(35.0))  # half the vertical field of view
# What structures are made of (with `built`, the map of where they stand) and what trees are made of.
_MASONRY = np.isin(np.arange(_BLOCKS), (PLANKS, COBBLESTONE, BRICK, GLASS, WOOD))
_TREE = np.isin(np.arange(_BLOCKS), (LEAVES, WOOD))
BEARINGS = 8


@njit(cache=True)
def eye_of(body: np.ndarray) -> np.ndarray:
    """Position of the camera, float64 (3,)."""
    return np.array((body[X], body[Y] + body[EYE], body[Z]))


@njit(cache=True)
def target_of(voxels: np.ndarray, body: np.ndarray) -> tuple[bool, int, int, int, float]:
    """The block in reach that the crosshair is on: found, x, y, z, distance in blocks."""
    hit, x, y, z, _nx, _ny, _nz, distance = raycast(voxels, eye_of(body), ahead_of(body[YAW], body[PITCH]), REACH)
    if hit and voxels[x, y, z] == WATER:
        hit = False
    return hit, x, y, z, distance


@njit(cache=True)
def pixel_direction(row: float, column: float, height: int, width: int, yaw: float, pitch: float) -> np.ndarray:
    """Direction of a pixel of the pinhole camera, of length 1 along the view axis; float64 (3,)."""
    right = (2.0 * (column + 0.5) / width - 1.0) * _SLOPE * width / height
    up = (1.0 - 2.0 * (row + 0.5) / height) * _SLOPE
    sine, cosine = math.sin(math.radians(yaw)), math.cos(math.radians(yaw))
    down, level = math.sin(math.radians(pitch)), math.cos(math.radians(pitch))
    ahead = level + up * down
    return np.array((-sine * ahead - cosine * right, up * level - down, cosine * ahead - sine * right))


@njit(cache=True)
def observe(
    body: np.ndarray, herd: np.ndarray, built: np.ndarray, ids: np.ndarray, depth: np.ndarray, animal_index: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Measure a rendering.

    Returns pixel counts int32 (blocks,) by block id, numbers of visible animals int32 (kinds,), pixel counts of
    structures int32 (structures,), and bearings float64 (8, 2) of the nearest animals: yaw relative to the view in
    (-180, 180], distance in blocks; nan where there are fewer.
    """
    height, width = ids.shape
    blocks, kinds, structures = np.zeros(_BLOCKS, np.int32), np.zeros(_KINDS, np.int32), np.zeros(_BUILT, np.int32)
    pixels = np.zeros(herd.shape[0], np.int32)
    pixel = 2.0 * _SLOPE / height
    sine, cosine = math.sin(math.radians(body[YAW])), math.cos(math.radians(body[YAW]))
    down, level = math.sin(math.radians(body[PITCH])), math.cos(math.radians(body[PITCH]))
    for row in range(height):
        up = (0.5 * height - row - 0.5) * pixel
        for column in range(width):
            block = ids[row, column]
            if block < _BLOCKS:
                blocks[block] += 1
                if _MASONRY[block]:
                    # The column of the block that was hit: a little further along the ray than the face.
                    right = (column + 0.5 - 0.5 * width) * pixel
                    ahead = level + up * down
                    along = depth[row, column] / math.sqrt(1.0 + right * right + up * up) + 1e-3
                    i = math.floor(body[X] - (sine * ahead + cosine * right) * along) & _MASK
                    k = math.floor(body[Z] + (cosine * ahead - sine * right) * along) & _MASK
                    if 0 < built[i, k] <= _BUILT:
                        structures[built[i, k] - 1] += 1
            elif animal_index[row, column] >= 0:
                pixels[animal_index[row, column]] += 1
    enough = max(2, height * width // 1500)
    bearings = np.full((BEARINGS, 2), np.nan)
    distances = np.empty(herd.shape[0])
    for n in range(herd.shape[0]):
        if pixels[n] >= enough:
            kinds[int(herd[n, 4])] += 1
        dx, dz = offset(body[X], herd[n, 0]), offset(body[Z], herd[n, 2])
        distances[n] = math.sqrt(dx * dx + dz * dz + (herd[n, 1] - body[Y]) ** 2)
    order = np.argsort(distances)
    for place in range(min(BEARINGS, herd.shape[0])):
        n = order[place]
        dx, dz = offset(body[X], herd[n, 0]), offset(body[Z], herd[n, 2])
        bearings[place, 0] = 180.0 - (180.0 - (math.degrees(math.atan2(-dx, dz)) - body[YAW])) % 360.0
        bearings[place, 1] = distances[n]
    return blocks, kinds, structures, bearings


@njit(cache=True)
def survey(
    voxels: np.ndarray, built: np.ndarray, eye: np.ndarray, yaw: float, pitch: float, structure: int
) -> tuple[float, float, float, float]:
    """How good a view is, from 13 x 7 rays: worth, then the shares of rays that meet water, trees, the structure."""
    seen = np.zeros(_BLOCKS, np.bool_)
    water, trees, built_hits, near, far = 0, 0, 0, 0, 0.0
    rows, columns = 7, 13
    for row in range(rows):
        for column in range(columns):
            ray = pixel_direction(row, column, rows, columns, yaw, pitch)
            ray /= math.sqrt(ray[0] ** 2 + ray[1] ** 2 + ray[2] ** 2)
            hit, x, y, z, _nx, ny, _nz, distance = raycast(voxels, eye, ray, 40.0)
            if not hit:
                far += 25.0
                continue
            block = voxels[x, y, z]
            under = y + 1 < _TOP and voxels[x, y + 1, z] == WATER  # rays pass through water
            seen[block] = True
            far += min(distance, 25.0)
            near += distance < 2.2 and ny <= 0
            water += under
            trees += _TREE[block]
            built_hits += built[x, z] == structure + 1 and block != 0 and ny <= 0
    rays = rows * columns
    worth = seen.sum() + 0.15 * far / rays - 12.0 * near / rays
    return worth, water / rays, trees / rays, built_hits / rays

"""What stands on the land: trees, cacti and flowers, and the three things that somebody built: hut, tower, wall."""

from __future__ import annotations

import numpy as np
from numba import njit

from worldsim.envs.blocks.blocks import (
    AIR,
    BLOCK_NAMES,
    BRICK,
    CACTUS,
    COBBLESTONE,
    DIRT,
    FLOWER,
    GLASS,
    GRASS,
    LEAVES,
    PLANKS,
    SAND,
    SEA_LEVEL,
    SNOW,
    STONE,
    WATER,
    WOOD,
    WORLD_SHAPE,
)

YARD = 9  # in the map of built columns: cleared ground around a structure
HALF = (3, 2, 6)  # half the width of a hut, a tower and a wall, in blocks

_MASK = WORLD_SHAPE[0] - 1
_TREES = np.array([0.05, 0.42, 0.0, 0.09, 0.16])  # chance that a candidate grows a tree, by biome
_FLOWERS = np.array([0.22, 0.12, 0.0, 0.0, 0.12])
_ROOTS = np.isin(np.arange(len(BLOCK_NAMES)), (GRASS, SNOW))  # what trees grow on
_CACTI = np.array([0.0, 0.0, 0.05, 0.0, 0.0])


@njit(cache=True)
def find_site(heights: np.ndarray, built: np.ndarray, draws: np.ndarray, half: int) -> tuple[int, int, float]:
    """A flat, dry and free square of half width `half` among the drawn places (n, 2): x, z, difference in height."""
    best_x, best_z, best = 0, 0, 1e9
    for n in range(draws.shape[0]):
        x, z = int(draws[n, 0] * (_MASK + 1)), int(draws[n, 1] * (_MASK + 1))
        low, high, free = 1000, 0, True
        for dx in range(-half - 2, half + 3):
            for dz in range(-half - 2, half + 3):
                i, j = (x + dx) & _MASK, (z + dz) & _MASK
                low, high = min(low, heights[i, j]), max(high, heights[i, j])
                free = free and built[i, j] == 0
        rough = float(high - low) + (200.0 if low < SEA_LEVEL else 0.0)
        # The first places that are good enough win, so that not every hut stands on the one flattest spot.
        if free and (rough < best and best > 2.0):
            best_x, best_z, best = x, z, rough
    return best_x, best_z, best


@njit(cache=True)
def build(
    voxels: np.ndarray, heights: np.ndarray, built: np.ndarray, kind: int, x: int, z: int, style: np.ndarray
) -> int:
    """Build a hut (0), tower (1) or wall (2) around the column (x, z) and return the y of its floor.

    `style` (4,) in [0, 1) chooses materials, height and the side of the door; `heights` and `built` are updated.
    """
    half = 3 if kind == 0 else (2 if kind == 1 else 6)
    wide_x = half if kind < 2 or style[0] < 0.5 else 0
    wide_z = half if kind < 2 or style[0] >= 0.5 else 0
    low, high = 1000, 0
    for dx in range(-wide_x, wide_x + 1):
        for dz in range(-wide_z, wide_z + 1):
            height = heights[(x + dx) & _MASK, (z + dz) & _MASK]
            low, high = min(low, height), max(high, height)
    floor = max((low + high + 1) // 2, SEA_LEVEL)
    for dx in range(-wide_x - 1, wide_x + 2):
        for dz in range(-wide_z - 1, wide_z + 2):
            i, j = (x + dx) & _MASK, (z + dz) & _MASK
            inside = abs(dx) <= wide_x and abs(dz) <= wide_z
            built[i, j] = kind + 1 if inside else YARD
            if kind == 2 and not inside:
                continue
            surface = voxels[i, heights[i, j], j]
            for y in range(heights[i, j], floor):
                voxels[i, y, j] = DIRT if surface != SAND else STONE
            for y in range(floor + 1, WORLD_SHAPE[1]):
                voxels[i, y, j] = AIR
            y = floor - 1
            while y > 0 and voxels[i, y, j] == AIR:  # no hollow below a foundation
                voxels[i, y, j] = STONE
                y -= 1
            voxels[i, floor, j] = surface
            heights[i, j] = floor
    if kind == 0:
        _hut(voxels, x, floor, z, style)
    elif kind == 1:
        _tower(voxels, x, floor, z, style)
    else:
        _wall(voxels, x, floor, z, wide_x, wide_z, style)
    return floor


@njit(cache=True)
def _hut(voxels: np.ndarray, x: int, floor: int, z: int, style: np.ndarray) -> None:
    walls = PLANKS if style[1] < 0.6 else COBBLESTONE
    roof = BRICK if style[2] < 0.5 else (WOOD if style[1] < 0.6 else PLANKS)
    door = int(style[3] * 4)
    for dx in range(-3, 4):
        for dz in range(-3, 4):
            i, j = (x + dx) & _MASK, (z + dz) & _MASK
            edge_x, edge_z = abs(dx) == 3, abs(dz) == 3
            voxels[i, floor, j] = PLANKS if not (edge_x or edge_z) else COBBLESTONE
            if edge_x or edge_z:
                side = (0 if dx < 0 else 1) if edge_x else (2 if dz < 0 else 3)
                along = dz if edge_x else dx
                for y in range(1, 4):
                    block = WOOD if edge_x and edge_z else walls
                    if side == door and along == 0 and y < 3:
                        block = AIR
                    elif side != door and abs(along) <= 1 and y == 2 and not (edge_x and edge_z):
                        block = GLASS
                    voxels[i, floor + y, j] = block
            for level in range(3):
                if max(abs(dx), abs(dz)) <= 3 - level:
                    voxels[i, floor + 4 + level, j] = roof


@njit(cache=True)
def _tower(voxels: np.ndarray, x: int, floor: int, z: int, style: np.ndarray) -> None:
    walls = COBBLESTONE if style[1] < 0.65 else BRICK
    height = 7 + int(style[2] * 4)
    door = int(style[3] * 4)
    for dx in range(-2, 3):
        for dz in range(-2, 3):
            i, j = (x + dx) & _MASK, (z + dz) & _MASK
            edge_x, edge_z = abs(dx) == 2, abs(dz) == 2
            voxels[i, floor, j] = walls
            voxels[i, floor + height, j] = walls
            if edge_x or edge_z:
                side = (0 if dx < 0 else 1) if edge_x else (2 if dz < 0 else 3)
                along = dz if edge_x else dx
                for y in range(1, height):
                    block = walls
                    if side == door and along == 0 and y < 3:
                        block = AIR
                    elif along == 0 and (y == 5 or y == height - 2):
                        block = GLASS
                    voxels[i, floor + y, j] = block
                if (dx + dz) % 2 == 0:
                    voxels[i, floor + height + 1, j] = walls


@njit(cache=True)
def _wall(voxels: np.ndarray, x: int, floor: int, z: int, wide_x: int, wide_z: int, style: np.ndarray) -> None:
    walls = COBBLESTONE if style[1] < 0.5 else BRICK
    for dx in range(-wide_x, wide_x + 1):
        for dz in range(-wide_z, wide_z + 1):
            along = dx + dz
            i, j = (x + dx) & _MASK, (z + dz) & _MASK
            for y in range(1, 4):
                if along != 0 or y == 3:  # a gate in the middle
                    voxels[i, floor + y, j] = walls
            if along % 2 == 0:
                voxels[i, floor + 4, j] = walls


@njit(cache=True)
def _tree(voxels: np.ndarray, x: int, ground: int, z: int, shape: float) -> None:
    trunk = 4 + int(shape * 3)
    for dx in range(-2, 3):
        for dz in range(-2, 3):
            for dy in range(-2, 2):
                reach = 2 if dy < 0 else 1
                corner = abs(dx) == reach and abs(dz) == reach
                if max(abs(dx), abs(dz)) > reach or (corner and dy != -1):
                    continue
                i, j, y = (x + dx) & _MASK, (z + dz) & _MASK, ground + trunk + dy
                if 0 <= y < WORLD_SHAPE[1] and voxels[i, y, j] == AIR:
                    voxels[i, y, j] = LEAVES
    for y in range(ground + 1, ground + trunk + 1):
        voxels[x, y, z] = WOOD
    voxels[x, ground, z] = DIRT


@njit(cache=True)
def plant(voxels: np.ndarray, heights: np.ndarray, biomes: np.ndarray, built: np.ndarray, draws: np.ndarray) -> None:
    """Grow trees, cacti and flowers on the drawn places; draws (n, 5) in [0, 1): x, z, chance, chance, shape."""
    for n in range(draws.shape[0]):
        x, z = int(draws[n, 0] * (_MASK + 1)), int(draws[n, 1] * (_MASK + 1))
        ground, biome = heights[x, z], biomes[x, z]
        top = voxels[x, ground, z]
        if built[x, z] != 0 or voxels[x, ground + 1, z] != AIR or ground > 36:
            continue
        if _ROOTS[top] and draws[n, 2] < _TREES[biome]:
            free = True
            for dx in range(-3, 4):
                for dz in range(-3, 4):
                    i, j = (x + dx) & _MASK, (z + dz) & _MASK
                    free = free and built[i, j] == 0 and voxels[i, heights[i, j] + 1, j] != WOOD
            if free:
                _tree(voxels, x, ground, z, draws[n, 4])
        elif top == SAND and draws[n, 2] < _CACTI[biome]:
            for y in range(1, 2 + int(draws[n, 4] * 3)):
                voxels[x, ground + y, z] = CACTUS
        elif top == GRASS and draws[n, 3] < _FLOWERS[biome]:
            voxels[x, ground + 1, z] = FLOWER


@njit(cache=True)
def water_near(voxels: np.ndarray, x: int, z: int, radius: int) -> bool:
    """Whether there is water at the surface within `radius` blocks of the column."""
    for dx in range(-radius, radius + 1):
        for dz in range(-radius, radius + 1):
            if voxels[(x + dx) & _MASK, SEA_LEVEL, (z + dz) & _MASK] == WATER:
                return True
    return False

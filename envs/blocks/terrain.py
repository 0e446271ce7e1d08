"""The land of a block world, from a random generator: heights, biomes, water, cliffs, caves, then what stands on it.

Everything wraps around in x and z. Noise is smooth value noise on a lattice whose indices wrap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from worldsim.envs.blocks import structures
from worldsim.envs.blocks.blocks import (
    AIR,
    BIOMES,
    DIRT,
    GRASS,
    ICE,
    SAND,
    SEA_LEVEL,
    SNOW,
    STONE,
    STRUCTURES,
    WATER,
    WORLD_SHAPE,
)

TERRAINS: tuple[str, ...] = ("flat", "hills", "cliffs")

_X, _Y, _Z = WORLD_SHAPE
_MEADOW, _FOREST, _DESERT, _SNOW_BIOME, _ISLANDS = range(len(BIOMES))
_CLIFFS = TERRAINS.index("cliffs")
_BASE = np.array([19.0, 19.5, 21.5, 20.0, 15.0])  # mean height of a biome, in blocks
_AMPLITUDE = np.array([1.2, 3.6, 4.2])  # standard deviation of the height in a kind of terrain, in blocks
_TERRACE = 5.0  # height of a cliff, in blocks


@dataclass(frozen=True)
class Land:
    """A generated world and the maps that describe it.

    voxels: uint8 (128, 48, 128) block ids. heights: int16 (128, 128), y of the highest block of the ground.
    biomes: uint8 (128, 128), index into BIOMES. built: uint8 (128, 128), 1 + index into STRUCTURES on the columns of a
    structure, `structures.YARD` on the columns cleared around it, else 0. sites: (kind, x, y, z) of each structure.
    """

    voxels: np.ndarray
    heights: np.ndarray
    biomes: np.ndarray
    built: np.ndarray
    sites: tuple[tuple[str, int, int, int], ...]


@njit(cache=True)
def _smooth(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@njit(cache=True)
def _value_noise(lattice: np.ndarray, size: int) -> np.ndarray:
    """Periodic noise (size, size) with mean 0 and standard deviation 1 from a square lattice of random values."""
    n = lattice.shape[0]
    cell = size // n
    out = np.empty((size, size))
    for x in range(size):
        i, u = x // cell, _smooth((x % cell) / cell)
        for z in range(size):
            j, v = z // cell, _smooth((z % cell) / cell)
            near = lattice[i, j] * (1 - v) + lattice[i, (j + 1) % n] * v
            far = lattice[(i + 1) % n, j] * (1 - v) + lattice[(i + 1) % n, (j + 1) % n] * v
            out[x, z] = near * (1 - u) + far * u
    out -= out.mean()
    out /= out.std() + 1e-9
    return out


@njit(cache=True)
def _heights(
    broad: np.ndarray, fine: np.ndarray, patch: np.ndarray, ramps: np.ndarray, biome: int, other: int, terrain: int,
    heights: np.ndarray, biomes: np.ndarray,
) -> None:  # fmt: skip
    for x in range(_X):
        for z in range(_Z):
            share = _smooth((patch[x, z] - 0.8) / 0.7)  # of the second biome
            base = _BASE[biome] * (1 - share) + _BASE[other] * share - (1.4 if terrain == 0 else 0.0)
            amplitude = _AMPLITUDE[terrain]
            if biome == _ISLANDS:
                amplitude = max(amplitude, 2.6)
            height = base + amplitude * broad[x, z] + 0.25 * fine[x, z]
            if terrain == _CLIFFS and ramps[x, z] > -0.7:  # elsewhere the slope stays walkable
                level = np.floor((height - 18.0) / _TERRACE)
                rest = (height - 18.0) / _TERRACE - level
                strength = _smooth((ramps[x, z] + 0.7) / 0.4)
                stepped = 18.0 + _TERRACE * (level + _smooth((rest - 0.6) / 0.14) * 0.85 + 0.15 * rest)
                height += (stepped - height) * strength
            heights[x, z] = int(np.floor(min(max(height, 7.0), 37.0) + 0.5))
            biomes[x, z] = other if share > 0.5 else biome


@njit(cache=True)
def _fill(voxels: np.ndarray, heights: np.ndarray, biomes: np.ndarray, fine: np.ndarray) -> None:
    for x in range(_X):
        for z in range(_Z):
            height, biome = heights[x, z], biomes[x, z]
            beach = SEA_LEVEL + (1 if fine[x, z] > 0.2 else 0) + (1 if biome == _ISLANDS else 0)
            top, under = GRASS, DIRT
            if biome == _DESERT:
                top, under = SAND, SAND
            elif biome == _SNOW_BIOME:
                top = SNOW if height > SEA_LEVEL - 1 else DIRT
            elif height <= beach:
                top, under = SAND, SAND
            if height >= 32:
                top = SNOW if height >= 34 or biome == _SNOW_BIOME else STONE
                under = STONE
            for y in range(height + 1):
                voxels[x, y, z] = top if y == height else (under if y >= height - 2 else STONE)
            for y in range(height + 1, SEA_LEVEL + 1):
                voxels[x, y, z] = WATER
            if biome == _SNOW_BIOME and height < SEA_LEVEL and fine[x, z] > -0.6:  # some water stays open
                voxels[x, SEA_LEVEL, z] = ICE


@njit(cache=True)
def _carve(voxels: np.ndarray, heights: np.ndarray, lattice: np.ndarray) -> None:
    """Hollow out hills above the water line, under a roof of two blocks: caves that open on the slopes, overhangs."""
    n, m = lattice.shape[0], lattice.shape[1]
    cell, layer = _X // n, _Y // m
    scale = lattice.std() + 1e-9
    for x in range(_X):
        i, u = x // cell, _smooth((x % cell) / cell)
        for z in range(_Z):
            j, w = z // cell, _smooth((z % cell) / cell)
            for y in range(SEA_LEVEL + 2, heights[x, z] - 1):
                k, v = y // layer, _smooth((y % layer) / layer)
                value = 0.0
                for a in range(2):
                    for b in range(2):
                        for c in range(2):
                            weight = (u if a else 1 - u) * (v if b else 1 - v) * (w if c else 1 - w)
                            value += weight * lattice[(i + a) % n, (k + b) % m, (j + c) % n]
                if value > 0.62 * scale:
                    voxels[x, y, z] = AIR
            for y in range(1, heights[x, z] + 1):  # sand would fall into the hollow
                if voxels[x, y, z] == SAND and voxels[x, y - 1, z] == AIR:
                    voxels[x, y, z] = STONE


@njit(cache=True)
def terrain_at(heights: np.ndarray, x: int, z: int) -> int:
    """Index into TERRAINS of the land within 14 blocks of the column (x, z)."""
    total, squares, count, steep = 0.0, 0.0, 0, 0
    for dx in range(-14, 15, 2):
        for dz in range(-14, 15, 2):
            height = heights[(x + dx) & (_X - 1), (z + dz) & (_Z - 1)]
            right = heights[(x + dx + 1) & (_X - 1), (z + dz) & (_Z - 1)]
            ahead = heights[(x + dx) & (_X - 1), (z + dz + 1) & (_Z - 1)]
            visible = max(height, SEA_LEVEL)
            total += visible
            squares += visible * visible
            count += 1
            if abs(max(right, SEA_LEVEL) - visible) >= 3 or abs(max(ahead, SEA_LEVEL) - visible) >= 3:
                steep += 1
    deviation = np.sqrt(max(squares / count - (total / count) ** 2, 0.0))
    if steep >= 9:
        return 2
    return 1 if deviation > 1.5 else 0


def generate(
    rng: np.random.Generator, *, biome: int | None = None, terrain: int | None = None, structure: str | None = None
) -> Land:
    """Make a world; the same state of `rng` gives the same world.

    biome (index into BIOMES), terrain (index into TERRAINS) and structure (one of STRUCTURES, built more often) are
    drawn where they are None. The number of draws does not depend on what is forced.
    """
    drawn_biome, drawn_terrain = int(rng.integers(len(BIOMES))), int(rng.choice(3, p=(0.35, 0.4, 0.25)))
    biome = drawn_biome if biome is None else biome
    terrain = drawn_terrain if terrain is None else terrain
    # Snow does not border on desert: a small world shows both at once.
    neighbours = {_MEADOW: (_FOREST, _SNOW_BIOME), _FOREST: (_MEADOW, _SNOW_BIOME), _DESERT: (_MEADOW, _MEADOW),
                  _SNOW_BIOME: (_FOREST, _SNOW_BIOME), _ISLANDS: (_FOREST, _MEADOW)}  # fmt: skip
    other = neighbours[biome][int(rng.integers(2))]
    voxels = np.zeros(WORLD_SHAPE, np.uint8)
    heights, biomes, built = np.zeros((_X, _Z), np.int16), np.zeros((_X, _Z), np.uint8), np.zeros((_X, _Z), np.uint8)
    broad = _value_noise(rng.uniform(-1, 1, (4, 4)), _X) + 0.5 * _value_noise(rng.uniform(-1, 1, (8, 8)), _X)
    broad /= broad.std()
    fine, patch, ramps = (_value_noise(rng.uniform(-1, 1, (n, n)), _X) for n in (16, 4, 8))
    _heights(broad, fine, patch, ramps, biome, other, terrain, heights, biomes)
    _fill(voxels, heights, biomes, fine)
    _carve(voxels, heights, rng.uniform(-1, 1, (16, 12, 16)))
    kinds = list(rng.permutation(["hut", "hut", "hut", "tower", "tower", "wall", "wall"]))
    if structure is not None:
        kinds = [structure, structure, *kinds]
    sites = []
    for kind in kinds[: 5 + int(rng.integers(2))]:
        index = STRUCTURES.index(str(kind))
        draws, style = rng.random((160, 2)), rng.random(4)
        x, z, rough = structures.find_site(heights, built, draws, structures.HALF[index])
        if rough < 5 or (kind == structure and rough < 100):
            y = structures.build(voxels, heights, built, index, x, z, style)
            sites.append((str(kind), int(x), int(y), int(z)))
    structures.plant(voxels, heights, biomes, built, rng.random((1400, 5)))
    return Land(voxels, heights, biomes, built, tuple(sites))

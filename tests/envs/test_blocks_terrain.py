"""Generated land: the same from the same seed, whole, walkable, wrapping, with nothing afloat."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.envs.blocks.blocks import (
    AIR,
    BIOMES,
    CACTUS,
    FLOWER,
    ICE,
    LEAVES,
    SAND,
    SEA_LEVEL,
    SNOW,
    SOLID,
    STRUCTURES,
    WATER,
    WOOD,
    WORLD_SHAPE,
)
from worldsim.envs.blocks.terrain import TERRAINS, Land, generate, terrain_at


def land(seed: int, **forced: object) -> Land:
    return generate(np.random.default_rng(seed), **forced)  # type: ignore[arg-type]


def below(voxels: np.ndarray) -> np.ndarray:
    """For each voxel the block under it; the bottom layer stands on itself."""
    return np.concatenate([voxels[:, :1], voxels[:, :-1]], axis=1)


def test_a_seed_gives_one_world() -> None:
    first, again, other = land(3), land(3), land(4)
    assert first.sites == again.sites
    for name in ("voxels", "heights", "biomes", "built"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert (first.heights != other.heights).mean() > 0.3


@pytest.mark.parametrize("biome", range(len(BIOMES)), ids=BIOMES)
def test_a_forced_biome_dominates(biome: int) -> None:
    for seed in range(3):
        made = land(seed, biome=biome)
        assert made.voxels.shape == WORLD_SHAPE
        assert made.voxels.dtype == np.uint8
        assert (made.biomes == biome).mean() > 0.6
        sea = (made.heights < SEA_LEVEL).mean()
        assert 0.3 < sea < 0.8 if BIOMES[biome] == "islands" else sea < 0.45


def test_biomes_show_what_they_are_made_of() -> None:
    worlds = {name: np.concatenate([land(seed, biome=n).voxels for seed in range(3)]) for n, name in enumerate(BIOMES)}
    counts = {name: np.bincount(voxels.ravel(), minlength=len(SOLID)) for name, voxels in worlds.items()}
    assert counts["desert"][SAND] > 2 * counts["meadow"][SAND]
    assert counts["desert"][CACTUS] > 0 == counts["meadow"][CACTUS]
    assert counts["forest"][WOOD] > 2 * counts["meadow"][WOOD] > 0
    assert counts["snow"][SNOW] > 1000
    assert counts["snow"][ICE] > 0 == counts["islands"][ICE]
    assert counts["meadow"][FLOWER] > 50
    assert counts["islands"][WATER] > counts["forest"][WATER]


@pytest.mark.parametrize("seed", range(6))
def test_nothing_floats_and_no_water_stands_above_the_sea(seed: int) -> None:
    voxels = land(seed).voxels
    under = below(voxels)
    assert SOLID[voxels[:, 0]].all()
    for kind in (SAND, CACTUS, FLOWER):
        assert SOLID[under[voxels == kind]].all()
    assert not (voxels[:, SEA_LEVEL + 1 :] == WATER).any()
    assert not (under[voxels == WATER] == AIR).any()


def test_the_world_wraps_without_a_seam() -> None:
    for seed in range(4):
        heights = land(seed, terrain=TERRAINS.index("hills")).heights.astype(int)
        for axis in (0, 1):
            steps = np.abs(heights - np.roll(heights, 1, axis))
            seam = np.take(steps, 0, axis)
            assert seam.mean() < 3 * steps.mean() + 0.3
            assert (steps <= 1).mean() > 0.9  # ledges of one block: walkable


def test_kinds_of_terrain_are_told_apart() -> None:
    for wanted in range(len(TERRAINS)):
        shares = []
        for seed in range(4):
            heights = land(seed, biome=BIOMES.index("meadow"), terrain=wanted).heights
            labels = [terrain_at(heights, x, z) for x in range(0, 128, 16) for z in range(0, 128, 16)]
            shares.append(np.bincount(labels, minlength=len(TERRAINS)) / len(labels))
        share = np.mean(shares, axis=0)
        if TERRAINS[wanted] == "cliffs":  # they come with the slopes between them
            assert share[wanted] > 0.15
            assert share[0] < 0.5
        else:
            assert share[wanted] == share.max(), (TERRAINS[wanted], share)
            assert share[2] < 0.05


def test_hills_have_caves_or_overhangs() -> None:
    hollow = 0
    for seed in range(4):
        made = land(seed, biome=BIOMES.index("meadow"), terrain=TERRAINS.index("hills"))
        layers = np.arange(WORLD_SHAPE[1])[None, :, None]
        hollow += int(((made.voxels == AIR) & (layers < made.heights[:, None, :])).sum())
    assert hollow > 100


@pytest.mark.parametrize("structure", STRUCTURES)
def test_structures_are_built_and_mapped(structure: str) -> None:
    for seed in range(4):
        made = land(seed, structure=structure)
        assert len(made.sites) >= 3
        kind, x, floor, z = next(site for site in made.sites if site[0] == structure)
        assert made.built[x, z] == STRUCTURES.index(kind) + 1
        assert floor >= SEA_LEVEL
        around = made.voxels[np.arange(x - 6, x + 7)[:, None] & 127, floor + 2, np.arange(z - 6, z + 7)[None] & 127]
        standing = made.built[np.arange(x - 6, x + 7)[:, None] & 127, np.arange(z - 6, z + 7)[None] & 127]
        assert SOLID[around[standing == STRUCTURES.index(kind) + 1]].sum() >= 8


def test_trees_have_trunks_under_their_leaves() -> None:
    voxels = land(1, biome=BIOMES.index("forest")).voxels
    x, _y, z = (int(axis[0]) for axis in np.nonzero(voxels == WOOD))
    trunk = int((voxels[x, :, z] == WOOD).sum())
    assert 4 <= trunk <= 6
    assert (voxels == LEAVES).sum() > 20 * 50

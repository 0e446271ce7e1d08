"""The kinds of blocks: ids as they stand in the voxel array, names, and what each kind does.

A world is a uint8 voxel array (X, Y, Z), y up, that wraps around in x and z (so walking never meets an edge).
"""

from __future__ import annotations

import numpy as np

BLOCK_NAMES: tuple[str, ...] = (
    "air", "grass", "dirt", "stone", "sand", "water", "wood", "leaves", "planks", "cobblestone",
    "snow", "ice", "glass", "brick", "cactus", "flower", "wool",
)  # fmt: skip
BLOCK_ID: dict[str, int] = {name: index for index, name in enumerate(BLOCK_NAMES)}

AIR, GRASS, DIRT, STONE, SAND, WATER, WOOD, LEAVES, PLANKS, COBBLESTONE = range(10)
SNOW, ICE, GLASS, BRICK, CACTUS, FLOWER, WOOL = range(10, len(BLOCK_NAMES))

# The binary keys of the action space, in its order.
KEYS: tuple[str, ...] = ("forward", "back", "left", "right", "jump", "sneak", "break", "place")
CAMERA_LIMIT = 10.0  # degrees a tick

# The nine slots of the hotbar, in order.
HOTBAR: tuple[int, ...] = (DIRT, STONE, SAND, WOOD, PLANKS, COBBLESTONE, GLASS, BRICK, WOOL)

# What a body cannot walk through; water and flowers let it pass.
SOLID = np.ones(len(BLOCK_NAMES), dtype=np.bool_)
SOLID[[AIR, WATER, FLOWER]] = False

WORLD_SHAPE = (128, 48, 128)  # blocks in x, y (height), z; x and z are powers of two because coordinates wrap
SEA_LEVEL = 16  # the highest layer of water

ANIMALS: tuple[str, ...] = ("sheep", "pig", "cow", "chicken")
BIOMES: tuple[str, ...] = ("meadow", "forest", "desert", "snow", "islands")
TIMES: tuple[str, ...] = ("dawn", "day", "dusk", "night")
WEATHERS: tuple[str, ...] = ("clear", "rain", "snowfall", "fog")
STRUCTURES: tuple[str, ...] = ("hut", "tower", "wall")

"""Block textures: 16 x 16 drawings in low-contrast patterns, each stored at every level of detail it is seen at.

Levels are kept apart for the two directions of a face (a rip-map): a meadow seen at a grazing angle keeps the lines
that run away from the viewer sharp while the lines across fade to the mean, so that nothing shimmers far away.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from worldsim.envs.blocks.blocks import BLOCK_ID, BLOCK_NAMES, GLASS

SIDE = 16
LEVELS = 5  # 16, 8, 4, 2, 1 texels a side
OFFSETS = np.array([0, 16, 24, 28, 30], dtype=np.int64)  # where a level begins along an axis of the rip-map
EXTENT = 31
TOP, SIDES, BOTTOM = 0, 1, 2


def lattice(height: int, width: int, seed: int) -> np.ndarray:
    """Deterministic values in [-1, 1), float64 (height, width), the same on every machine and numpy version."""
    index = np.arange(height * width, dtype=np.uint64) + np.uint64(seed * 1_000_003 + 1)
    mixed = index * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    values = (mixed >> np.uint64(40)).astype(np.float64) / float(1 << 23) - 1.0
    return values.reshape(height, width)


def smooth_lattice(cells: int, size: int, seed: int) -> np.ndarray:
    """Periodic smooth noise in [-1, 1], float64 (size, size), with `cells` bumps along each axis."""
    grid = lattice(cells, cells, seed)
    place = np.arange(size) * cells / size
    low = place.astype(np.int64)
    part = place - low
    part = part * part * (3.0 - 2.0 * part)
    high = (low + 1) % cells
    rows = grid[low] * (1.0 - part)[:, None] + grid[high] * part[:, None]
    return np.asarray(rows[:, low] * (1.0 - part) + rows[:, high] * part)


def _flat(colour: tuple[int, int, int], contrast: float, seed: int, cells: int = 4, edge: float = 0.86) -> np.ndarray:
    pattern = np.kron(lattice(cells, cells, seed), np.ones((SIDE // cells, SIDE // cells)))
    picture = np.empty((SIDE, SIDE, 4))
    picture[..., :3] = np.array(colour) * (1.0 + contrast * pattern[..., None])
    picture[..., 3] = 255.0
    _shade_edge(picture, edge)
    return picture


def _shade_edge(picture: np.ndarray, factor: float) -> None:
    border = np.ones((SIDE, SIDE), dtype=np.bool_)
    border[1:-1, 1:-1] = False
    picture[border, :3] *= factor


def _draw(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The top, side and bottom of one kind of block; row 0 of a side is its upper edge."""
    plain: dict[str, tuple[tuple[int, int, int], float, int]] = {
        "air": ((0, 0, 0), 0.0, 1),
        "dirt": ((134, 96, 67), 0.07, 4),
        "stone": ((130, 130, 133), 0.05, 4),
        "sand": ((224, 209, 152), 0.035, 4),
        "water": ((48, 96, 196), 0.0, 1),
        "leaves": ((56, 116, 44), 0.16, 4),
        "snow": ((238, 244, 250), 0.02, 4),
        "ice": ((150, 192, 242), 0.05, 2),
        "flower": ((226, 62, 54), 0.0, 1),
        "wool": ((168, 78, 188), 0.05, 8),
    }
    if name in plain:
        colour, contrast, cells = plain[name]
        face = _flat(colour, contrast, BLOCK_ID[name], cells, edge=0.95 if name == "water" else 0.86)
        return face, face, face
    if name == "grass":
        top = _flat((104, 168, 70), 0.07, 31)
        side = _flat((134, 96, 67), 0.07, 2)
        lip = 3 + (np.kron(lattice(1, 8, 5), np.ones((1, 2)))[0] > 0.0).astype(np.int64)
        green = np.arange(SIDE)[:, None] < lip[None, :]
        side[green] = _flat((98, 158, 66), 0.05, 33)[green]
        return top, side, _flat((134, 96, 67), 0.07, 2)
    if name == "wood":
        side = _flat((106, 82, 50), 0.0, 6, edge=0.92)
        side[..., :3] *= (1.0 + 0.16 * np.repeat(lattice(1, 8, 63)[0], 2))[None, :, None]
        ring = np.maximum(np.abs(np.arange(SIDE) - 7.5)[:, None], np.abs(np.arange(SIDE) - 7.5)[None, :])
        top = _flat((178, 144, 90), 0.0, 6, edge=0.7)
        top[..., :3] *= np.where((ring.astype(np.int64) // 2) % 2 == 1, 0.86, 1.0)[..., None]
        return top, side, top
    if name == "planks":
        face = _flat((176, 138, 84), 0.0, 8, edge=1.0)
        boards = np.repeat(lattice(4, 1, 82)[:, 0], 4)
        face[..., :3] *= (1.0 + 0.07 * boards)[:, None, None]
        face[3::4, :, :3] *= 0.72
        for board, column in enumerate((11, 3, 14, 6)):
            face[4 * board : 4 * board + 3, column, :3] *= 0.8
        return face, face, face
    if name == "cobblestone":
        face = _flat((92, 92, 94), 0.0, 9, edge=1.0)
        stones = ((0, 0, 5, 6), (0, 7, 4, 5), (0, 13, 6, 3), (6, 0, 4, 4), (5, 5, 5, 7), (7, 13, 4, 3), (11, 0, 5, 7),
                  (11, 8, 5, 4), (12, 13, 4, 3))  # fmt: skip
        for index, (row, column, height, width) in enumerate(stones):
            shade = 134.0 + 18.0 * lattice(1, 9, 94)[0, index]
            face[row : row + height, column : column + width, :3] = shade
        return face, face, face
    if name == "brick":
        face = _flat((164, 82, 66), 0.0, 13, edge=1.0)
        for course in range(4):
            columns = (np.arange(SIDE) + 4 * (course % 2)) // 8
            shades = 1.0 + 0.07 * lattice(4, 4, 134)[course, columns]
            face[4 * course : 4 * course + 4, :, :3] *= shades[None, :, None]
            face[4 * course : 4 * course + 4, (7 + 4 * (course % 2)) % 8 :: 8, :3] = (198, 180, 168)
            face[4 * course + 3, :, :3] = (198, 180, 168)
        return face, face, face
    if name == "glass":
        face = _flat((206, 230, 238), 0.0, 12, edge=1.0)
        face[1:-1, 1:-1, 3] = 34.0
        for step in range(5):
            face[3 + step, 8 - step, :] = (250, 253, 255, 120)
            face[4 + step, 8 - step, :] = (250, 253, 255, 120)
        return face, face, face
    if name == "cactus":
        side = _flat((64, 134, 58), 0.0, 14, edge=1.0)
        side[:, 1::4, :3] *= 0.74
        side[:, 3::4, :3] *= 1.12
        top = _flat((96, 160, 82), 0.04, 141, edge=0.72)
        return top, side, top
    raise AssertionError(f"block {name!r} has no texture: draw one in envs/blocks/textures.py")


def _detail(picture: np.ndarray) -> np.ndarray:
    """All levels of one face, (31, 31, 4): level (a, b) holds means over 2^a x 2^b texels."""
    levels = np.empty((EXTENT, EXTENT, 4))
    for a in range(LEVELS):
        for b in range(LEVELS):
            rows, columns = SIDE >> a, SIDE >> b
            weight = picture[..., 3:] / 255.0
            parts = (rows, SIDE // rows, columns, SIDE // columns, -1)
            alpha = weight.reshape(parts).mean(axis=(1, 3))
            colour = (picture[..., :3] * weight).reshape(parts).mean(axis=(1, 3)) / np.maximum(alpha, 1e-6)
            place = (slice(OFFSETS[a], OFFSETS[a] + rows), slice(OFFSETS[b], OFFSETS[b] + columns))
            levels[(*place, slice(0, 3))] = colour
            levels[(*place, slice(3, 4))] = alpha * 255.0
    return levels


def make_textures() -> np.ndarray:
    """uint8 (blocks, 3 faces top/side/bottom, 31, 31, 4): RGBA of every kind at every level of detail."""
    faces = [[_detail(face) for face in _draw(name)] for name in BLOCK_NAMES]
    return np.clip(np.round(np.array(faces)), 0, 255).astype(np.uint8)


def make_tints() -> np.ndarray:
    """uint8 (128, 128, 2): brightness of single blocks and of broad patches of land, 128 = unchanged.

    A meadow is not one flat green: what passes by while walking must be visible at every distance.
    """
    patches = 0.6 * smooth_lattice(16, 128, 201) + 0.4 * smooth_lattice(32, 128, 202)
    return np.stack([128 + 127 * lattice(128, 128, 200), 128 + 127 * patches], axis=-1).astype(np.uint8)


def make_clouds() -> np.ndarray:
    """float32 (64, 64), periodic smooth noise in [0, 1]: how much cloud there is over each part of the sky."""
    noise = 0.65 * smooth_lattice(8, 64, 301) + 0.35 * smooth_lattice(16, 64, 302)
    return (0.5 + 0.5 * noise).astype(np.float32)


TEXTURES = make_textures()
TINTS = make_tints()
CLOUDS = make_clouds()


@njit(cache=True, error_model="numpy", inline="always")
def _level(texels: float) -> tuple[int, float]:
    """The finer of the two levels to mix for a pixel that covers so many texels, and the other one's part."""
    level = (1 if texels >= 2.0 else 0) + (1 if texels >= 4.0 else 0) + (1 if texels >= 8.0 else 0)
    scale = (0.5 if texels >= 2.0 else 1.0) * (0.5 if texels >= 4.0 else 1.0) * (0.5 if texels >= 8.0 else 1.0)
    return level, min(max(texels * scale - 1.0, 0.0), 1.0)


@njit(cache=True, error_model="numpy", _nrt=False)
def sample(
    textures: np.ndarray, kind: int, face: int, u: float, v: float, wide: float, high: float
) -> tuple[float, float, float, float]:
    """RGBA in 0..255 at (u, v) in [0, 1) of a face, v down; a pixel covers wide x high blocks there."""
    a, part_v = _level(high * 19.0)  # a little more than the 16 texels, so that detail is gone before it flickers
    b, part_u = _level(wide * 19.0)
    row0, row1 = 32 - (32 >> a) + int(v * (16 >> a)), 32 - (16 >> a) + int(v * (8 >> a))
    col0, col1 = 32 - (32 >> b) + int(u * (16 >> b)), 32 - (16 >> b) + int(u * (8 >> b))
    w00, w01 = (1.0 - part_v) * (1.0 - part_u), (1.0 - part_v) * part_u
    w10, w11 = part_v * (1.0 - part_u), part_v * part_u
    red = w00 * textures[kind, face, row0, col0, 0] + w01 * textures[kind, face, row0, col1, 0]
    red += w10 * textures[kind, face, row1, col0, 0] + w11 * textures[kind, face, row1, col1, 0]
    green = w00 * textures[kind, face, row0, col0, 1] + w01 * textures[kind, face, row0, col1, 1]
    green += w10 * textures[kind, face, row1, col0, 1] + w11 * textures[kind, face, row1, col1, 1]
    blue = w00 * textures[kind, face, row0, col0, 2] + w01 * textures[kind, face, row0, col1, 2]
    blue += w10 * textures[kind, face, row1, col0, 2] + w11 * textures[kind, face, row1, col1, 2]
    if kind != GLASS:  # all else is opaque
        return red, green, blue, 255.0
    alpha = w00 * textures[kind, face, row0, col0, 3] + w01 * textures[kind, face, row0, col1, 3]
    alpha += w10 * textures[kind, face, row1, col0, 3] + w11 * textures[kind, face, row1, col1, 3]
    return red, green, blue, alpha

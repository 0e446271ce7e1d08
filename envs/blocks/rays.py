"""Rays through the voxels of the block world: one walk from face to face that drawing and aiming share."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from worldsim.envs.blocks.blocks import AIR, FLOWER, WATER
from worldsim.envs.blocks.sky import COMPILED, PURE

Hit = tuple[float, int, int, int, int, int]


@njit(**COMPILED, inline="always")
def nonzero(x: float) -> float:
    """A component of a direction, kept from 0 so that one can divide by it."""
    return x if abs(x) > 1e-9 else 1e-9


@njit(**COMPILED, inline="always")
def hit_box(
    ox: float, oy: float, oz: float, dx: float, dy: float, dz: float, hx: float, hy: float, hz: float
) -> tuple[float, int]:
    """Where a ray from (ox, oy, oz) enters a box of half size (hx, hy, hz) around 0: (distance, axis), or (-1, 0).

    No component of the direction may be 0.
    """
    ix, iy, iz = 1.0 / dx, 1.0 / dy, 1.0 / dz
    ax, ay, az = hx * abs(ix), hy * abs(iy), hz * abs(iz)
    nx, ny, nz = -ox * ix, -oy * iy, -oz * iz
    enter = max(nx - ax, ny - ay, nz - az)
    leave = min(nx + ax, ny + ay, nz + az)
    if enter > leave or enter <= 0.0:
        return -1.0, 0
    if enter == nx - ax:
        return enter, 0
    if enter == ny - ay:
        return enter, 1
    return enter, 2


@njit(**COMPILED)
def cell_tops(voxels: np.ndarray) -> np.ndarray:
    """The highest y with a block in every 8 x 8 cell of columns, -1 if there is none; int64 (X / 8, Z / 8)."""
    words = voxels.view(np.uint64)  # eight columns at once
    tops = np.full((voxels.shape[0] // 8, voxels.shape[2] // 8), -1, dtype=np.int64)
    for cell_x in range(tops.shape[0]):
        for cell_z in range(tops.shape[1]):
            for y in range(voxels.shape[1] - 1, -1, -1):
                some = np.uint64(0)
                for x in range(cell_x * 8, cell_x * 8 + 8):
                    some |= words[x, y, cell_z]
                if some != 0:
                    tops[cell_x, cell_z] = y
                    break
    return tops


@njit(**PURE)
def _hit_flower(ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> tuple[float, int]:
    """Where a ray meets a flower (a stem and a head) in a cell, with the origin relative to the cell's corner."""
    head, head_axis = hit_box(ox - 0.5, oy - 0.52, oz - 0.5, dx, dy, dz, 0.17, 0.13, 0.17)
    stem, stem_axis = hit_box(ox - 0.5, oy - 0.2, oz - 0.5, dx, dy, dz, 0.05, 0.2, 0.05)
    if head > 0.0 and (stem <= 0.0 or head < stem):
        return head, head_axis
    return stem, stem_axis


@njit(**PURE, inline="always")
def _fly(
    tops: np.ndarray, ex: float, ey: float, ez: float, dx: float, dy: float, dz: float,
    t: float, x: int, y: int, z: int, top: int, limit: float, highest: int,
) -> tuple[float, int, int, int, int, int]:  # fmt: skip
    """From the voxel (x, y, z), above all blocks of its cell, on to the first cell whose blocks the ray is not above.

    top: the highest block of the voxel's cell. Returns (distance, x, y, z, axis of the face, top) of the first voxel
    there that is no higher than the cell's top; a distance beyond `limit` if there is none.
    """
    mask_x, mask_z = tops.shape[0] - 1, tops.shape[1] - 1
    sx, sz = (8 if dx > 0.0 else -8), (8 if dz > 0.0 else -8)
    ix, iy, iz = 1.0 / dx, 1.0 / dy, 1.0 / dz
    axis = 1
    cell_x, cell_z = x & -8, z & -8
    if y > highest:  # nothing at all before the ray has come down
        t = (highest + 1 - ey) * iy
        if t > limit:
            return t, x, y, z, axis, top
        cell_x, cell_z = math.floor(ex + t * dx) & -8, math.floor(ez + t * dz) & -8
        top = tops[(cell_x >> 3) & mask_x, (cell_z >> 3) & mask_z]
    step_x, step_z = abs(sx * ix), abs(sz * iz)
    next_x = (cell_x + max(sx, 0) - ex) * ix
    next_z = (cell_z + max(sz, 0) - ez) * iz
    low = float(y)  # as low as the ray gets in this cell, if it rises
    while True:
        leave = min(next_x, next_z)
        if dy < 0.0:
            low = ey + dy * leave
        if low < top + 1:
            break
        t = leave
        if t > limit:
            return t, x, y, z, axis, top
        low = ey + dy * t
        if next_x < next_z:
            axis = 0
            cell_x += sx
            next_x += step_x
        else:
            axis = 2
            cell_z += sz
            next_z += step_z
        top = tops[(cell_x >> 3) & mask_x, (cell_z >> 3) & mask_z]
    # Where the ray comes down to the top, or enters below it; inside the cell, whatever the rounding.
    sink = (top + 1 - ey) * iy
    if dy < 0.0 and sink > t:
        t, y, axis = sink, top, 1
    else:
        y = min(math.floor(ey + t * dy), top)
    x = min(max(math.floor(ex + t * dx), cell_x), cell_x + 7)
    z = min(max(math.floor(ez + t * dz), cell_z), cell_z + 7)
    return t, x, y, z, axis, top


@njit(**PURE, inline="always")
def march(
    voxels: np.ndarray, tops: np.ndarray,
    ex: float, ey: float, ez: float, dx: float, dy: float, dz: float,
    t: float, x: int, y: int, z: int, limit: float, medium: int, highest: int,
) -> Hit:  # fmt: skip
    """From the voxel (x, y, z), entered at distance t, along the ray to the first voxel that is not `medium`.

    Returns (distance, x, y, z, axis of the face, block), block -1 if nothing comes before `limit`. x and z are not
    wrapped. No block of the world lies above `highest`. Cells of 8 x 8 columns whose blocks all lie below the ray, as
    `tops` from `cell_tops` tells, are crossed in one step each.
    """
    mask_x, mask_z, height = voxels.shape[0] - 1, voxels.shape[2] - 1, voxels.shape[1]
    cell_mask_x, cell_mask_z = tops.shape[0] - 1, tops.shape[1] - 1
    sx, sy, sz = (1 if dx > 0.0 else -1), (1 if dy > 0.0 else -1), (1 if dz > 0.0 else -1)
    ix, iy, iz = 1.0 / dx, 1.0 / dy, 1.0 / dz
    step_x, step_y, step_z = abs(ix), abs(iy), abs(iz)
    next_x = (x + max(sx, 0) - ex) * ix
    next_y = (y + max(sy, 0) - ey) * iy
    next_z = (z + max(sz, 0) - ez) * iz
    axis = 0
    in_air = medium == AIR
    cell_x, cell_z, top = x, z, height
    if in_air:
        top = tops[(x >> 3) & cell_mask_x, (z >> 3) & cell_mask_z]
    while True:
        if in_air and y > top:
            if y > highest and sy > 0:
                return t, x, y, z, axis, -1
            t, x, y, z, axis, top = _fly(tops, ex, ey, ez, dx, dy, dz, t, x, y, z, top, limit, highest)
            if t > limit:
                return t, x, y, z, axis, -1
            cell_x, cell_z = x, z
            next_x = (x + max(sx, 0) - ex) * ix
            next_y = (y + max(sy, 0) - ey) * iy
            next_z = (z + max(sz, 0) - ez) * iz
        else:
            # Which face comes next is hard to foresee, so this step has no branches.
            t = min(next_x, next_y, next_z)
            axis = 0 if t == next_x else (1 if t == next_y else 2)
            x += sx if axis == 0 else 0
            y += sy if axis == 1 else 0
            z += sz if axis == 2 else 0
            next_x += step_x if axis == 0 else 0.0
            next_y += step_y if axis == 1 else 0.0
            next_z += step_z if axis == 2 else 0.0
            if t > limit:
                return t, x, y, z, axis, -1
        if in_air and ((x ^ cell_x) | (z ^ cell_z)) & -8 != 0:
            cell_x, cell_z = x, z
            top = tops[(x >> 3) & cell_mask_x, (z >> 3) & cell_mask_z]
        if 0 <= y < height:
            # Unsigned, because numba tests every signed index for being negative.
            block = int(voxels[np.uint64(x & mask_x), np.uint64(y), np.uint64(z & mask_z)])
        elif y < 0 or sy > 0:
            return t, x, y, z, axis, -1
        else:
            block = AIR
        if block != medium:
            if block != FLOWER:
                return t, x, y, z, axis, block
            petal, petal_axis = _hit_flower(ex - x, ey - y, ez - z, dx, dy, dz)
            if petal > 0.0:
                return petal, x, y, z, petal_axis, block
            if medium != AIR:
                return t, x, y, z, axis, AIR


@njit(**COMPILED)
def raycast(
    voxels: np.ndarray, eye: np.ndarray, direction: np.ndarray, reach: float
) -> tuple[bool, int, int, int, int, int, int, float]:
    """The first block a ray meets, passing through air and water, as it is drawn (a flower is small).

    voxels: as for render(). eye, direction: float64 (3,), direction of any length but 0. reach: blocks. Returns (hit,
    x, y, z, nx, ny, nz, distance): the block with x and z wrapped, the normal of the face met, and how far away it is;
    (False, 0, 0, 0, 0, 0, 0, inf) if there is none within reach. The voxel the eye stands in is passed over.
    """
    length = math.sqrt(direction[0] ** 2 + direction[1] ** 2 + direction[2] ** 2)
    dx, dy, dz = nonzero(direction[0] / length), nonzero(direction[1] / length), nonzero(direction[2] / length)
    mask_x, mask_z = voxels.shape[0] - 1, voxels.shape[2] - 1
    tops = np.full((voxels.shape[0] // 8, voxels.shape[2] // 8), voxels.shape[1], dtype=np.int64)
    highest = voxels.shape[1]  # one ray is cast sooner than the true heights are found
    t, x, y, z = 0.0, math.floor(eye[0]), math.floor(eye[1]), math.floor(eye[2])
    medium = AIR
    if 0 <= y < voxels.shape[1]:
        medium = int(voxels[x & mask_x, y, z & mask_z])
    while True:
        t, x, y, z, axis, block = march(
            voxels, tops, eye[0], eye[1], eye[2], dx, dy, dz, t, x, y, z, reach, medium, highest
        )
        if block < 0:
            return False, 0, 0, 0, 0, 0, 0, math.inf
        if block != AIR and block != WATER:
            break
        medium = block
    nx = (-1 if dx > 0.0 else 1) if axis == 0 else 0
    ny = (-1 if dy > 0.0 else 1) if axis == 1 else 0
    nz = (-1 if dz > 0.0 else 1) if axis == 2 else 0
    return True, x & mask_x, y, z & mask_z, nx, ny, nz, t

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
def march(
    voxels: np.ndarray, tops: np.ndarray,
    ex: float, ey: float, ez: float, dx: float, dy: float, dz: float,
    t: float, x: int, y: int, z: int, limit: float, medium: int, highest: int,
) -> Hit:  # fmt: skip
    """From the voxel (x, y, z), entered at distance t, along the ray to the first voxel that is not `medium`.

    Returns (distance, x, y, z, axis of the face, block), block -1 if nothing comes before `limit`. x and z are not
    wrapped. No block of the world lies above `highest`. Cells of 8 x 8 columns whose blocks all lie below the ray, as
    `tops` from `cell_tops` tells, are crossed in one leap.
    """
    mask_x, mask_z, height = voxels.shape[0] - 1, voxels.shape[2] - 1, voxels.shape[1]
    cell_mask_x, cell_mask_z = tops.shape[0] - 1, tops.shape[1] - 1
    sx, sy, sz = (1 if dx > 0.0 else -1), (1 if dy > 0.0 else -1), (1 if dz > 0.0 else -1)
    ix, iy, iz = 1.0 / dx, 1.0 / dy, 1.0 / dz
    step_x, step_y, step_z = abs(ix), abs(iy), abs(iz)
    next_x = (x + (1 if sx > 0 else 0) - ex) * ix
    next_y = (y + (1 if sy > 0 else 0) - ey) * iy
    next_z = (z + (1 if sz > 0 else 0) - ez) * iz
    axis = 0
    leap = medium == AIR
    cell_x, cell_z, top = x, z, height
    if leap:
        top = tops[(x >> 3) & cell_mask_x, (z >> 3) & cell_mask_z]
    while True:
        if leap and y > top:
            if y > highest and sy > 0:
                return t, x, y, z, axis, -1
            left_x = 7 - (x & 7) if sx > 0 else x & 7
            left_z = 7 - (z & 7) if sz > 0 else z & 7
            leave_x, leave_z = next_x + left_x * step_x, next_z + left_z * step_z
            sink = next_y + (y - 1 - top) * step_y if sy < 0 else 1e9
            if y > highest:  # nothing at all before the ray has come down
                sink = next_y + (y - 1 - highest) * step_y
                leave_x = leave_z = 1e9
                top = highest
            if leave_x < leave_z and leave_x < sink:
                axis, t = 0, leave_x
                x += sx * (left_x + 1)
                next_x += (left_x + 1) * step_x
            elif leave_z < sink:
                axis, t = 2, leave_z
                z += sz * (left_z + 1)
                next_z += (left_z + 1) * step_z
            else:
                axis, t = 1, sink
                next_y += (y - top) * step_y
                y = top
            if t > limit:
                return t, x, y, z, axis, -1
            if axis != 0 and next_x < t:
                count = int((t - next_x) * abs(dx)) + 1
                x += sx * count
                next_x += count * step_x
            if axis != 1 and next_y < t:
                count = int((t - next_y) * abs(dy)) + 1
                y += sy * count
                next_y += count * step_y
            if axis != 2 and next_z < t:
                count = int((t - next_z) * abs(dz)) + 1
                z += sz * count
                next_z += count * step_z
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
        if leap and ((x ^ cell_x) | (z ^ cell_z)) & -8 != 0:
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

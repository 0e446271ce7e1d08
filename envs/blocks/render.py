"""Draws the block world: one ray a pixel through the voxels, then animals, weather, crosshair and the block in hand.

Everything is a function of the arguments alone, so the same state always gives the same picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from worldsim.envs.blocks.blocks import AIR, FLOWER, GLASS, ICE, WATER
from worldsim.envs.blocks.figures import BODIES, draw_animals, draw_crosshair, draw_hand, hit_box
from worldsim.envs.blocks.sky import AIR_SIZE, FAST, FOG_END, LIGHT, draw_falling, fill_air, fog_amount, haze, sky
from worldsim.envs.blocks.textures import CLOUDS, TEXTURES, TINTS, sample

FOV_DEGREES = 70.0  # vertical
ANIMAL_ID = 255  # in `ids`, where an animal is seen

Hit = tuple[float, int, int, int, int, int]


@dataclass(frozen=True)
class Rendering:
    """One picture and what is seen in each of its pixels.

    frame: uint8 (H, W, 3). depth: float32 (H, W), blocks from the eye along the pixel's ray, inf for sky. ids: uint8
    (H, W), the block seen first (water and glass count), 0 for sky, 255 for an animal. animal_index: int16 (H, W), the
    row in `animals`, -1 for none. The block in hand, the crosshair, rain and snow are painted on the frame only.
    """

    frame: np.ndarray
    depth: np.ndarray
    ids: np.ndarray
    animal_index: np.ndarray


def view_direction(yaw: float, pitch: float) -> np.ndarray:
    """The unit vector float64 (3,) one looks along, from degrees: yaw 0 is +z and grows turning right (90 is -x), y is
    up, pitch grows looking down. The vector to one's right is (-cos(yaw), 0, -sin(yaw))."""
    a, b = math.radians(yaw), math.radians(pitch)
    return np.array([-math.sin(a) * math.cos(b), -math.sin(b), math.cos(a) * math.cos(b)])


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _highest(words: np.ndarray) -> int:
    """The highest y with a block anywhere, -1 if there is none; words: the voxels as uint64 (X, Y, Z / 8)."""
    highest = -1
    for x in range(words.shape[0]):
        for y in range(words.shape[1] - 1, highest, -1):
            some = np.uint64(0)
            for z in range(words.shape[2]):
                some |= words[x, y, z]
            if some != 0:
                highest = y
                break
    return highest


@njit(cache=True, fastmath=FAST, error_model="numpy", _nrt=False)
def _fill_top(words: np.ndarray, tops: np.ndarray, highest: int, cell_x: int, cell_z: int) -> int:
    """Find, and keep in `tops`, the highest y with a block in an 8 x 8 cell of columns, -1 if there is none."""
    cell_x &= tops.shape[0] - 1
    cell_z &= tops.shape[1] - 1
    top = -1
    for y in range(highest, -1, -1):
        some = np.uint64(0)
        for x in range(cell_x * 8, cell_x * 8 + 8):
            some |= words[x, y, cell_z]
        if some != 0:
            top = y
            break
    tops[cell_x, cell_z] = top
    return top


@njit(cache=True, fastmath=FAST, error_model="numpy", _nrt=False)
def _hit_flower(ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> tuple[float, int]:
    """Where a ray meets a flower (a stem and a head) in a cell, with the origin relative to the cell's corner."""
    head, head_axis = hit_box(ox - 0.5, oy - 0.52, oz - 0.5, dx, dy, dz, 0.17, 0.13, 0.17)
    stem, stem_axis = hit_box(ox - 0.5, oy - 0.2, oz - 0.5, dx, dy, dz, 0.05, 0.2, 0.05)
    if head > 0.0 and (stem <= 0.0 or head < stem):
        return head, head_axis
    return stem, stem_axis


@njit(cache=True, fastmath=FAST, error_model="numpy", _nrt=False, inline="always")
def _march(
    voxels: np.ndarray, words: np.ndarray, tops: np.ndarray, ex: float, ey: float, ez: float, dx: float, dy: float, dz: float,
    t: float, x: int, y: int, z: int, limit: float, medium: int, highest: int,
) -> Hit:  # fmt: skip
    """From the voxel (x, y, z), entered at distance t, along the ray to the first voxel that is not `medium`.

    Returns (distance, x, y, z, axis of the face, block), block -1 if nothing comes before `limit`. x and z are not
    wrapped. No block of the world lies above `highest`. Cells of 8 x 8 columns whose blocks all lie below the ray are crossed in one leap.
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
        if top == -2:
            top = _fill_top(words, tops, highest, x >> 3, z >> 3)
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
            if top == -2:
                top = _fill_top(words, tops, highest, x >> 3, z >> 3)
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


@njit(cache=True, fastmath=FAST, error_model="numpy", inline="always")
def _unzero(x: float) -> float:
    return x if abs(x) > 1e-9 else 1e-9


@njit(cache=True, fastmath=FAST, error_model="numpy", _nrt=False)
def _draw_voxels(
    voxels: np.ndarray, words: np.ndarray, highest: int, tops: np.ndarray, eye: np.ndarray, basis: np.ndarray, focal: float, tick: int, target: np.ndarray,
    air: np.ndarray, textures: np.ndarray, tints: np.ndarray, clouds: np.ndarray,
    frame: np.ndarray, depth: np.ndarray, ids: np.ndarray,
) -> None:  # fmt: skip
    height, width = depth.shape
    mask_x, mask_z = voxels.shape[0] - 1, voxels.shape[2] - 1
    ex, ey, ez = eye[0], eye[1], eye[2]
    start_x, start_y, start_z = int(math.floor(ex)), int(math.floor(ey)), int(math.floor(ez))
    inside = AIR
    if 0 <= start_y < voxels.shape[1]:
        inside = int(voxels[start_x & mask_x, start_y, start_z & mask_z])
        if inside == FLOWER:
            inside = AIR
    pixel = 1.0 / focal
    for i in range(height):
        sy = (0.5 * height - i - 0.5) / focal
        for j in range(width):
            sx = (j + 0.5 - 0.5 * width) / focal
            scale = 1.0 / math.sqrt(1.0 + sx * sx + sy * sy)
            dx = _unzero((sx * basis[0, 0] + sy * basis[1, 0] + basis[2, 0]) * scale)
            dy = _unzero((sx * basis[0, 1] + sy * basis[1, 1] + basis[2, 1]) * scale)
            dz = _unzero((sx * basis[0, 2] + sy * basis[1, 2] + basis[2, 2]) * scale)
            red = green = blue = 0.0  # what has been seen so far, and how much still shines through it
            through = 1.0
            first, distance = AIR, math.inf
            medium = inside
            water_from = 0.0
            t, x, y, z = 0.0, start_x, start_y, start_z
            limit = air[FOG_END]
            for _surface in range(16):
                if medium == WATER:
                    limit = min(air[FOG_END], water_from + (20.0 if inside == WATER else 9.0))
                t, x, y, z, axis, block = _march(voxels, words, tops, ex, ey, ez, dx, dy, dz, t, x, y, z, limit, medium, highest)
                wet = 0.0
                if medium == WATER:
                    wet = min(1.0, (t - water_from) / (20.0 if inside == WATER else 9.0))
                    wet = wet * (2.0 - wet)
                    if inside == WATER:
                        wet = 0.25 + 0.75 * wet
                deep_r, deep_g, deep_b = 22.0 * air[LIGHT], 62.0 * air[LIGHT + 1], 142.0 * air[LIGHT + 2]
                if block < 0:
                    if medium == WATER:
                        red, green, blue = red + through * deep_r, green + through * deep_g, blue + through * deep_b
                    else:
                        r, g, b = sky(air, clouds, tick, dx, dy, dz, pixel)
                        red, green, blue = red + through * r, green + through * g, blue + through * b
                    through = 0.0
                    break
                if block == AIR:
                    if medium == WATER:
                        part = through * max(wet, 0.3)
                        red, green, blue = red + part * deep_r, green + part * deep_g, blue + part * deep_b
                        through -= part
                        limit = air[FOG_END]
                    medium = AIR
                    continue
                # The point on the face, and how far a pixel reaches over it.
                hx, hy, hz = ex + t * dx, ey + t * dy, ez + t * dz
                spread = t * pixel
                if axis == 1:
                    u, v, face = hx - x, hz - z, (0 if dy < 0.0 else 2)
                    slope = basis[1, 1] / dy
                    wide = spread * (abs(basis[0, 0]) + abs(basis[1, 0] - dx * slope))
                    high = spread * (abs(basis[0, 2]) + abs(basis[1, 2] - dz * slope))
                    shade = 1.0 if dy < 0.0 else 0.55
                elif axis == 0:
                    u, v, face = hz - z, 1.0 - (hy - y), 1
                    slope_r, slope_u = basis[0, 0] / dx, basis[1, 0] / dx
                    wide = spread * (abs(basis[0, 2] - dz * slope_r) + abs(basis[1, 2] - dz * slope_u))
                    high = spread * (abs(dy * slope_r) + abs(basis[1, 1] - dy * slope_u))
                    shade = 0.86
                else:
                    u, v, face = hx - x, 1.0 - (hy - y), 1
                    slope_r, slope_u = basis[0, 2] / dz, basis[1, 2] / dz
                    wide = spread * (abs(basis[0, 0] - dx * slope_r) + abs(basis[1, 0] - dx * slope_u))
                    high = spread * (abs(dy * slope_r) + abs(basis[1, 1] - dy * slope_u))
                    shade = 0.71
                u, v = min(max(u, 0.0), 0.9999), min(max(v, 0.0), 0.9999)
                wrapped_x, wrapped_z = x & mask_x, z & mask_z
                r, g, b, alpha = sample(textures, block, face, u, v, wide, high)
                if block == FLOWER:
                    if hy - y < 0.4:
                        r, g, b = 70.0, 138.0, 52.0
                    elif (wrapped_x * 7 + wrapped_z * 13) % 3 == 0:
                        r, g, b = 240.0, 206.0, 60.0
                tint = tints[(wrapped_x + 37 * y) & 127, (wrapped_z + 53 * y) & 127, 0] - 128.0
                fade = max(0.0, 1.0 - wide) * max(0.0, 1.0 - high)
                broad = tints[wrapped_x & 127, wrapped_z & 127, 1] - 128.0
                shade *= 1.0 + (0.045 * fade * tint + 0.07 * broad) / 128.0
                opaque = alpha / 255.0
                if block == WATER:
                    # A slow swell; its waves fit a world of 128 blocks.
                    wave = math.sin(hx * (2.0 * math.pi * 11 / 128) + hz * (2.0 * math.pi * 17 / 128) + 0.08 * tick)
                    wave += math.sin(hx * (2.0 * math.pi * 29 / 128) - hz * (2.0 * math.pi * 13 / 128) + 0.11 * tick)
                    shade *= 1.0 + 0.05 * wave
                    grazing = 1.0 - abs(dy) if axis == 1 else 0.3
                    grazing *= grazing
                    opaque = 0.42 + 0.5 * grazing
                    mirror_r, mirror_g, mirror_b = haze(air, dx, -dy, dz)
                    mirror = 0.5 * grazing * grazing
                r, g, b = r * shade * air[LIGHT], g * shade * air[LIGHT + 1], b * shade * air[LIGHT + 2]
                if block == WATER:
                    r, g, b = r + (mirror_r - r) * mirror, g + (mirror_g - g) * mirror, b + (mirror_b - b) * mirror
                if wrapped_x == target[0] and y == target[1] and wrapped_z == target[2] and block != WATER:
                    edge_u = (min(u, 1.0 - u) - 0.015) / max(wide, 0.02)
                    edge_v = (min(v, 1.0 - v) - 0.015) / max(high, 0.02)
                    line = 1.0 - min(max(min(edge_u, edge_v), 0.0), 1.0)
                    if block == FLOWER:
                        line = 0.4
                    line *= 0.78
                    r, g, b = r * (1.0 - line), g * (1.0 - line), b * (1.0 - line)
                    opaque = max(opaque, line)
                if wet > 0.0:
                    r, g, b = r + (deep_r - r) * wet, g + (deep_g - g) * wet, b + (deep_b - b) * wet
                fog = fog_amount(air, t)
                if fog > 0.004:
                    fr, fg, fb = haze(air, dx, dy, dz)
                    r, g, b = r + (fr - r) * fog, g + (fg - g) * fog, b + (fb - b) * fog
                    if block == WATER or block == GLASS:
                        opaque += (1.0 - opaque) * fog
                if first == AIR:
                    first, distance = block, t
                part = through * opaque
                red, green, blue = red + part * r, green + part * g, blue + part * b
                through -= part
                if through < 0.02 or (block != WATER and block != GLASS):
                    break
                medium = block
                water_from = t
            if through > 0.0:
                # The few rays that end behind many panes keep what they have gathered, made whole.
                gain = 1.0 / max(1.0 - through, 0.05)
                red, green, blue = red * gain, green * gain, blue * gain
            frame[i, j, 0] = np.uint8(min(red + 0.5, 255.0))
            frame[i, j, 1] = np.uint8(min(green + 0.5, 255.0))
            frame[i, j, 2] = np.uint8(min(blue + 0.5, 255.0))
            depth[i, j] = distance
            ids[i, j] = first


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _render(
    voxels: np.ndarray, eye: np.ndarray, yaw: float, pitch: float, focal: float, time: float, weather: int, tick: int,
    animals: np.ndarray, target: np.ndarray, held: int, swing: float,
    textures: np.ndarray, tints: np.ndarray, clouds: np.ndarray, bodies: np.ndarray,
    frame: np.ndarray, depth: np.ndarray, ids: np.ndarray, index: np.ndarray,
) -> None:  # fmt: skip
    air = np.empty(AIR_SIZE)
    fill_air(air, time, weather)
    a, b = math.radians(yaw), math.radians(pitch)
    basis = np.empty((3, 3))  # right, up, ahead
    basis[0, 0], basis[0, 1], basis[0, 2] = -math.cos(a), 0.0, -math.sin(a)
    basis[1, 0], basis[1, 1], basis[1, 2] = -math.sin(a) * math.sin(b), math.cos(b), math.cos(a) * math.sin(b)
    basis[2, 0], basis[2, 1], basis[2, 2] = -math.sin(a) * math.cos(b), -math.sin(b), math.cos(a) * math.cos(b)
    tops = np.full((voxels.shape[0] // 8, voxels.shape[2] // 8), -2, dtype=np.int64)
    words = voxels.view(np.uint64)
    # Within the world, so that the same place always gives the same rounding.
    place = np.empty(3)
    place[0] = eye[0] - voxels.shape[0] * math.floor(eye[0] / voxels.shape[0])
    place[1] = eye[1]
    place[2] = eye[2] - voxels.shape[2] * math.floor(eye[2] / voxels.shape[2])
    _draw_voxels(
        voxels, words, _highest(words), tops, place, basis, focal, tick, target, air, textures, tints, clouds, frame, depth, ids
    )  # fmt: skip
    index[:] = -1
    draw_animals(
        frame, depth, ids, index, animals, bodies, air, place, basis, focal, voxels.shape[0], voxels.shape[2]
    )  # fmt: skip
    if weather == 1 or weather == 2:
        draw_falling(frame, air, weather, tick, yaw, pitch, focal)
    if held != AIR:
        draw_hand(frame, textures, held, swing, air, focal)
    draw_crosshair(frame)


def render(
    voxels: np.ndarray,
    eye: np.ndarray,
    yaw_degrees: float,
    pitch_degrees: float,
    *,
    size: tuple[int, int],
    time: float,
    weather: int,
    tick: int,
    animals: np.ndarray,
    target: tuple[int, int, int] | None,
    held: int,
    swing: float,
) -> Rendering:
    """Draw what an eye sees; the same arguments always give the same pixels.

    voxels: uint8 (X, Y, Z), C-contiguous, X and Z powers of two of at least 8; wraps around in x and z. eye: float64
    (3,). yaw_degrees, pitch_degrees: see view_direction. size: (H, W). time: of day in [0, 1), 0 midnight, 0.5 noon.
    weather: index into WEATHERS. tick: moves clouds, water, rain and snow. animals: float64 (n, 5), rows x, y (feet),
    z, yaw in degrees, index into ANIMALS. target: the block to outline, x and z wrapped. held: block in hand, 0 for
    none. swing: 0..1, how far the hand's stroke has gone.
    """
    height, width = size
    frame = np.empty((height, width, 3), dtype=np.uint8)
    depth = np.empty((height, width), dtype=np.float32)
    ids = np.empty((height, width), dtype=np.uint8)
    index = np.empty((height, width), dtype=np.int16)
    focal = 0.5 * height / math.tan(math.radians(0.5 * FOV_DEGREES))
    _render(
        voxels, eye, float(yaw_degrees), float(pitch_degrees), focal, float(time), int(weather), int(tick), animals,
        np.array((-1, -1, -1) if target is None else target, dtype=np.int64), int(held), float(swing),
        TEXTURES, TINTS, CLOUDS, BODIES, frame, depth, ids, index,
    )  # fmt: skip
    return Rendering(frame, depth, ids, index)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def raycast(
    voxels: np.ndarray, eye: np.ndarray, direction: np.ndarray, reach: float
) -> tuple[bool, int, int, int, int, int, int, float]:
    """The first block a ray meets, passing through air and water, as it is drawn (a flower is small).

    voxels: as for render(). eye, direction: float64 (3,), direction of any length but 0. reach: blocks. Returns (hit,
    x, y, z, nx, ny, nz, distance): the block with x and z wrapped, the normal of the face met, and how far away it is;
    (False, 0, 0, 0, 0, 0, 0, inf) if there is none within reach. The voxel the eye stands in is passed over.
    """
    length = math.sqrt(direction[0] ** 2 + direction[1] ** 2 + direction[2] ** 2)
    dx, dy, dz = _unzero(direction[0] / length), _unzero(direction[1] / length), _unzero(direction[2] / length)
    mask_x, mask_z = voxels.shape[0] - 1, voxels.shape[2] - 1
    tops = np.full((voxels.shape[0] // 8, voxels.shape[2] // 8), voxels.shape[1], dtype=np.int64)
    highest, words = voxels.shape[1], voxels.view(np.uint64)
    t, x, y, z = 0.0, int(math.floor(eye[0])), int(math.floor(eye[1])), int(math.floor(eye[2]))
    medium = AIR
    if 0 <= y < voxels.shape[1]:
        medium = int(voxels[x & mask_x, y, z & mask_z])
    while True:
        t, x, y, z, axis, block = _march(voxels, words, tops, eye[0], eye[1], eye[2], dx, dy, dz, t, x, y, z, reach, medium, highest)
        if block < 0:
            return False, 0, 0, 0, 0, 0, 0, math.inf
        if block != AIR and block != WATER:
            break
        medium = block
    nx = (-1 if dx > 0.0 else 1) if axis == 0 else 0
    ny = (-1 if dy > 0.0 else 1) if axis == 1 else 0
    nz = (-1 if dz > 0.0 else 1) if axis == 2 else 0
    return True, x & mask_x, y, z & mask_z, nx, ny, nz, t

"""Draws the block world: one ray a pixel through the voxels, then animals, weather, crosshair and the block in hand.

Everything is a function of the arguments alone, so the same state always gives the same picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from worldsim.envs.blocks.blocks import AIR, FLOWER, GLASS, WATER
from worldsim.envs.blocks.figures import BODIES, draw_animals, draw_crosshair, draw_hand
from worldsim.envs.blocks.rays import cell_tops, march, nonzero, raycast
from worldsim.envs.blocks.sky import (
    AIR_SIZE,
    COMPILED,
    FOG_END,
    LIGHT,
    PURE,
    draw_falling,
    fill_air,
    fog_amount,
    haze,
    sky,
)
from worldsim.envs.blocks.textures import CLOUDS, TEXTURES, TINTS, sample

__all__ = ["ANIMAL_ID", "FOV_DEGREES", "Rendering", "cell_tops", "raycast", "render", "view_direction"]

FOV_DEGREES = 70.0  # vertical
ANIMAL_ID = 255  # in `ids`, where an animal is seen


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


@njit(**PURE)
def _draw_voxels(
    voxels: np.ndarray, tops: np.ndarray, highest: int,
    eye: np.ndarray, basis: np.ndarray, focal: float, tick: int, target: np.ndarray,
    air: np.ndarray, textures: np.ndarray, tints: np.ndarray, clouds: np.ndarray,
    frame: np.ndarray, depth: np.ndarray, ids: np.ndarray,
) -> None:  # fmt: skip
    height, width = depth.shape
    mask_x, mask_z = voxels.shape[0] - 1, voxels.shape[2] - 1
    ex, ey, ez = eye[0], eye[1], eye[2]
    start_x, start_y, start_z = math.floor(ex), math.floor(ey), math.floor(ez)
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
            dx = nonzero((sx * basis[0, 0] + sy * basis[1, 0] + basis[2, 0]) * scale)
            dy = nonzero((sx * basis[0, 1] + sy * basis[1, 1] + basis[2, 1]) * scale)
            dz = nonzero((sx * basis[0, 2] + sy * basis[1, 2] + basis[2, 2]) * scale)
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
                t, x, y, z, axis, block = march(
                    voxels, tops, ex, ey, ez, dx, dy, dz, t, x, y, z, limit, medium, highest
                )
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
                    if block in (WATER, GLASS):
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


@njit(**COMPILED)
def _render(
    voxels: np.ndarray, tops: np.ndarray, eye: np.ndarray, yaw: float, pitch: float, focal: float,
    time: float, weather: int, tick: int,
    animals: np.ndarray, target: np.ndarray, held: int, swing: float, overlay: bool,
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
    # Within the world, so that the same place always gives the same rounding.
    place = np.empty(3)
    place[0] = eye[0] - voxels.shape[0] * math.floor(eye[0] / voxels.shape[0])
    place[1] = eye[1]
    place[2] = eye[2] - voxels.shape[2] * math.floor(eye[2] / voxels.shape[2])
    _draw_voxels(
        voxels, tops, tops.max(), place, basis, focal, tick, target,
        air, textures, tints, clouds, frame, depth, ids,
    )  # fmt: skip
    index[:] = -1
    draw_animals(
        frame, depth, ids, index, animals, bodies, air, place, basis, focal, voxels.shape[0], voxels.shape[2]
    )  # fmt: skip
    if weather == 1 or weather == 2:
        draw_falling(frame, air, weather, tick, yaw, pitch, focal)
    if not overlay:
        return
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
    overlay: bool = True,
    tops: np.ndarray | None = None,
) -> Rendering:
    """Draw what an eye sees; the same arguments always give the same pixels.

    voxels: uint8 (X, Y, Z), C-contiguous, X and Z powers of two of at least 8; wraps around in x and z. eye: float64
    (3,). yaw_degrees, pitch_degrees: see view_direction. size: (H, W). time: of day in [0, 1), 0 midnight, 0.5 noon.
    weather: index into WEATHERS. tick: moves clouds, water, rain and snow. animals: float64 (n, 5), rows x, y (feet),
    z, yaw in degrees, index into ANIMALS. target: the block to outline, x and z wrapped. held: block in hand, 0 for
    none. swing: 0..1, how far the hand's stroke has gone. overlay: whether hand and crosshair are drawn. tops:
    `cell_tops(voxels)`, if the caller has kept it; those of other voxels give a wrong picture.
    """
    height, width = size
    frame = np.empty((height, width, 3), dtype=np.uint8)
    depth = np.empty((height, width), dtype=np.float32)
    ids = np.empty((height, width), dtype=np.uint8)
    index = np.empty((height, width), dtype=np.int16)
    focal = 0.5 * height / math.tan(math.radians(0.5 * FOV_DEGREES))
    _render(
        voxels, cell_tops(voxels) if tops is None else tops, eye, float(yaw_degrees), float(pitch_degrees), focal,
        float(time), int(weather), int(tick), animals,
        np.array((-1, -1, -1) if target is None else target, dtype=np.int64), int(held), float(swing),
        bool(overlay),
        TEXTURES, TINTS, CLOUDS, BODIES, frame, depth, ids, index,
    )  # fmt: skip
    return Rendering(frame, depth, ids, index)

"""What stands in the picture besides the voxels: animals made of boxes, the block in hand, the crosshair."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from worldsim.envs.blocks.rays import hit_box, nonzero
from worldsim.envs.blocks.sky import FOG_END, LIGHT, PURE, fog_amount, haze
from worldsim.envs.blocks.textures import sample

# Per kind up to 10 boxes in the body's frame (x right, y up, z forward; feet at 0): centre, half size, colour, and how
# a box swings while walking (+1/-1 for legs, 0 for the rest). The order is that of ANIMALS.
_EYE = (24, 22, 26)


def _legs(x: float, z: float, half: float, height: float, colour: tuple[int, int, int]) -> list[tuple[float, ...]]:
    size = (half, height / 2, half)
    return [(sx * x, height / 2, sz * z, *size, *colour, float(sx * sz)) for sx in (-1, 1) for sz in (-1, 1)]


def _eyes(x: float, y: float, z: float) -> list[tuple[float, ...]]:
    return [(side * x, y, z, 0.05, 0.055, 0.05, *_EYE, 0.0) for side in (-1, 1)]


_BOXES: list[list[tuple[float, ...]]] = [
    [  # sheep
        (0.0, 0.86, -0.05, 0.38, 0.36, 0.56, 240, 238, 232, 0.0),
        (0.0, 1.12, 0.62, 0.20, 0.20, 0.24, 222, 186, 162, 0.0),
        (0.0, 1.27, 0.56, 0.22, 0.10, 0.22, 240, 238, 232, 0.0),
        *_eyes(0.17, 1.12, 0.82),
        *_legs(0.22, 0.36, 0.11, 0.55, (206, 176, 156)),
    ],
    [  # pig
        (0.0, 0.62, -0.08, 0.34, 0.30, 0.54, 240, 156, 160, 0.0),
        (0.0, 0.78, 0.58, 0.27, 0.26, 0.22, 244, 168, 172, 0.0),
        (0.0, 0.70, 0.82, 0.13, 0.09, 0.05, 216, 112, 120, 0.0),
        *_eyes(0.20, 0.86, 0.77),
        *_legs(0.20, 0.36, 0.11, 0.36, (224, 136, 142)),
    ],
    [  # cow
        (0.0, 0.96, -0.08, 0.40, 0.38, 0.64, 92, 62, 44, 0.0),
        (0.0, 1.08, -0.22, 0.405, 0.265, 0.22, 232, 228, 222, 0.0),
        (0.0, 1.28, 0.74, 0.26, 0.25, 0.20, 98, 66, 46, 0.0),
        (0.0, 1.17, 0.92, 0.20, 0.11, 0.05, 226, 206, 196, 0.0),
        *_eyes(0.18, 1.38, 0.92),
        *_legs(0.26, 0.46, 0.12, 0.60, (84, 56, 40)),
    ],
    [  # chicken
        (0.0, 0.42, -0.04, 0.21, 0.21, 0.26, 244, 244, 242, 0.0),
        (0.0, 0.76, 0.20, 0.12, 0.19, 0.11, 248, 248, 246, 0.0),
        (0.0, 0.78, 0.37, 0.11, 0.05, 0.07, 240, 178, 48, 0.0),
        (0.0, 0.66, 0.33, 0.06, 0.07, 0.04, 214, 48, 42, 0.0),
        *_eyes(0.10, 0.86, 0.28),
        (-0.10, 0.11, 0.0, 0.04, 0.11, 0.04, 236, 172, 56, 1.0),
        (0.10, 0.11, 0.0, 0.04, 0.11, 0.04, 236, 172, 56, -1.0),
    ],
]  # fmt: skip
BODIES = np.zeros((len(_BOXES), 10, 10), dtype=np.float64)
for _kind, _boxes in enumerate(_BOXES):
    BODIES[_kind, : len(_boxes)] = _boxes


@njit(**PURE)
def draw_animals(
    frame: np.ndarray, depth: np.ndarray, ids: np.ndarray, index: np.ndarray, animals: np.ndarray, bodies: np.ndarray,
    air: np.ndarray, eye: np.ndarray, basis: np.ndarray, focal: float, span_x: int, span_z: int,
) -> None:  # fmt: skip
    """Draw every animal over the voxels where it is nearer; see render() for the arrays."""
    height, width = depth.shape
    for n in range(animals.shape[0]):
        # The nearest copy of the animal in the wrapping world.
        rx = animals[n, 0] - eye[0]
        rz = animals[n, 2] - eye[2]
        rx -= span_x * math.floor(rx / span_x + 0.5)
        rz -= span_z * math.floor(rz / span_z + 0.5)
        ry = animals[n, 1] - eye[1]
        if rx * rx + ry * ry + rz * rz > air[FOG_END] * air[FOG_END]:
            continue
        reach = 1.3
        right = rx * basis[0, 0] + (ry + 0.7) * basis[0, 1] + rz * basis[0, 2]
        up = rx * basis[1, 0] + (ry + 0.7) * basis[1, 1] + rz * basis[1, 2]
        ahead = rx * basis[2, 0] + (ry + 0.7) * basis[2, 1] + rz * basis[2, 2]
        if ahead < -reach:
            continue
        top, bottom, left, end = 0, height, 0, width
        if ahead > reach + 0.2:
            # A box of the picture that surely holds the sphere around the animal.
            near, far = ahead - reach, ahead + reach
            left = int(0.5 * width + focal * min((right - reach) / near, (right - reach) / far) - 1.0)
            end = int(0.5 * width + focal * max((right + reach) / near, (right + reach) / far) + 2.0)
            top = int(0.5 * height - focal * max((up + reach) / near, (up + reach) / far) - 1.0)
            bottom = int(0.5 * height - focal * min((up - reach) / near, (up - reach) / far) + 2.0)
            left, end, top, bottom = max(left, 0), min(end, width), max(top, 0), min(bottom, height)
        kind = int(animals[n, 4])
        angle = math.radians(animals[n, 3])
        sine, cosine = math.sin(angle), math.cos(angle)
        # The eye in the body's frame: right = (-cos, 0, -sin), forward = (-sin, 0, cos).
        ox, oy, oz = rx * cosine + rz * sine, -ry, rx * sine - rz * cosine
        # Legs swing with the way gone; 80 swings fit a world of 128 blocks, so that wrapping changes nothing.
        stride = 0.13 * math.sin((animals[n, 0] + animals[n, 2]) * (2.0 * math.pi * 80.0 / 128.0))
        boxes = bodies[kind]
        nearest = math.sqrt(ox * ox + (oy - 0.7) * (oy - 0.7) + oz * oz) - reach
        for i in range(top, bottom):
            sy = (0.5 * height - i - 0.5) / focal
            for j in range(left, end):
                if depth[i, j] <= nearest:  # hidden; most animals are, behind hills and trees
                    continue
                sx = (j + 0.5 - 0.5 * width) / focal
                scale = 1.0 / math.sqrt(1.0 + sx * sx + sy * sy)
                wx = (sx * basis[0, 0] + sy * basis[1, 0] + basis[2, 0]) * scale
                wy = (sx * basis[0, 1] + sy * basis[1, 1] + basis[2, 1]) * scale
                wz = (sx * basis[0, 2] + sy * basis[1, 2] + basis[2, 2]) * scale
                dx, dy, dz = nonzero(-wx * cosine - wz * sine), nonzero(wy), nonzero(-wx * sine + wz * cosine)
                along = -(ox * dx + (oy - 0.7) * dy + oz * dz)
                away = ox * ox + (oy - 0.7) * (oy - 0.7) + oz * oz - along * along
                if away > reach * reach:
                    continue
                best, best_box, best_axis = float(depth[i, j]), -1, 0
                for b in range(boxes.shape[0]):
                    if boxes[b, 3] == 0.0:
                        break
                    shift = boxes[b, 2] + boxes[b, 9] * stride
                    t, axis = hit_box(
                        ox - boxes[b, 0], oy - boxes[b, 1], oz - shift, dx, dy, dz,
                        boxes[b, 3], boxes[b, 4], boxes[b, 5],
                    )  # fmt: skip
                    if 0.05 < t < best:
                        best, best_box, best_axis = t, b, axis
                if best_box < 0:
                    continue
                shade = 0.82 if best_axis == 0 else (0.72 if best_axis == 2 else (1.0 if dy < 0.0 else 0.55))
                fog = fog_amount(air, best)
                hazes = haze(air, wx, wy, wz)
                for channel in range(3):
                    colour = boxes[best_box, 6 + channel] * shade * air[LIGHT + channel]
                    frame[i, j, channel] = np.uint8(min(255.0, colour + (hazes[channel] - colour) * fog + 0.5))
                depth[i, j] = best
                ids[i, j] = 255
                index[i, j] = n


@njit(**PURE)
def draw_hand(frame: np.ndarray, textures: np.ndarray, held: int, swing: float, air: np.ndarray, focal: float) -> None:
    """Draw the block in hand, a small cube at the lower right that moves inwards and tips over as `swing` runs 0..1."""
    height, width = frame.shape[0], frame.shape[1]
    arc = math.sin(math.pi * swing)
    half = 0.125
    # In the camera's frame: x right, y up, z ahead.
    px = 0.5 * width / focal - 0.235 - 0.28 * arc
    py = -0.5 * height / focal + 0.165 + 0.14 * arc
    pz = 1.0 + 0.10 * arc
    turn, tip = math.radians(-4.0 + 24.0 * arc), math.radians(4.0 + 30.0 * arc)
    ct, st, cp, sp = math.cos(turn), math.sin(turn), math.cos(tip), math.sin(tip)
    reach = half * 1.75
    left = max(0, int(0.5 * width + focal * (px - reach) / pz - 2.0))
    end = min(width, int(0.5 * width + focal * (px + reach) / (pz - reach)) + 2)
    top = max(0, int(0.5 * height - focal * (py + reach) / (pz - reach)) - 2)
    bottom = min(height, int(0.5 * height - focal * (py - reach) / pz) + 2)
    for i in range(top, bottom):
        for j in range(left, end):
            red = green = blue = cover = 0.0
            for part in range(4):  # four rays a pixel: it always stands still, so its edges may as well be smooth
                sx = (j + 0.25 + 0.5 * (part & 1) - 0.5 * width) / focal
                sy = (0.5 * height - i - 0.25 - 0.5 * (part >> 1)) / focal
                # Into the cube's frame: tip around x, then turn around y.
                oy, oz = -py * cp + pz * sp, -py * sp - pz * cp
                dy, dz = sy * cp - sp, sy * sp + cp
                ox, oz2 = -px * ct + oz * st, px * st + oz * ct
                dx, dz2 = sx * ct + dz * st, -sx * st + dz * ct
                dx, dy, dz2 = nonzero(dx), nonzero(dy), nonzero(dz2)
                t, axis = hit_box(ox, oy, oz2, dx, dy, dz2, half, half, half)
                if t <= 0.0:
                    continue
                x = 0.5 + 0.5 * (ox + t * dx) / half
                y = 0.5 + 0.5 * (oy + t * dy) / half
                z = 0.5 + 0.5 * (oz2 + t * dz2) / half
                if axis == 1:
                    u, v, face, shade = x, z, 0, 1.0
                elif axis == 0:
                    u, v, face, shade = z, 1.0 - y, 1, 0.82
                else:
                    u, v, face, shade = x, 1.0 - y, 1, 0.66
                u, v = min(max(u, 0.0), 0.9999), min(max(v, 0.0), 0.9999)
                size = 1.0 / (focal * 2.0 * half)
                r, g, b, a = sample(textures, held, face, u, v, size, size)
                a = max(a, 90.0) / 255.0
                red, green, blue, cover = red + r * shade * a, green + g * shade * a, blue + b * shade * a, cover + a
            if cover > 0.0:
                keep = 1.0 - 0.25 * cover
                frame[i, j, 0] = np.uint8(min(255.0, frame[i, j, 0] * keep + 0.25 * red * air[LIGHT] + 0.5))
                frame[i, j, 1] = np.uint8(min(255.0, frame[i, j, 1] * keep + 0.25 * green * air[LIGHT + 1] + 0.5))
                frame[i, j, 2] = np.uint8(min(255.0, frame[i, j, 2] * keep + 0.25 * blue * air[LIGHT + 2] + 0.5))


@njit(**PURE)
def draw_crosshair(frame: np.ndarray) -> None:
    """Lighten (or, over bright ground, darken) the pixels in the middle."""
    height, width = frame.shape[0], frame.shape[1]
    size = max(1, height // 64)
    i0, j0 = height // 2 - size, width // 2 - size
    bright = 0
    for i in range(i0, i0 + 2 * size):
        for j in range(j0, j0 + 2 * size):
            bright += int(frame[i, j, 0]) + int(frame[i, j, 1]) + int(frame[i, j, 2])
    goal = 30.0 if bright > 4 * size * size * 3 * 165 else 255.0
    for i in range(i0, i0 + 2 * size):
        for j in range(j0, j0 + 2 * size):
            for channel in range(3):
                frame[i, j, channel] = np.uint8(frame[i, j, channel] * 0.35 + goal * 0.65)

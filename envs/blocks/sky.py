"""The air of the block world: daylight, sky, sun, moon, stars, clouds, fog, and falling rain and snow."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

# How the renderer is compiled. No "ninf" or "nnan": infinite depth stands for the sky. PURE is for functions that only
# read and write the arrays they are given: counting references to those would cost a fifth of the time.
# numba's cache looks at the file of the function called alone: after a change in one of the renderer's files, delete
# __pycache__/*.nb? next to it.
COMPILED = {"cache": True, "fastmath": {"reassoc", "nsz", "arcp", "contract", "afn"}, "error_model": "numpy"}
PURE = COMPILED | {"_nrt": False}
RAIN, SNOWFALL, FOG = 1, 2, 3  # indices into WEATHERS
VIEW_DISTANCE = 56.0

# Places in the `air` array, which describes light and sky for one frame (colours in 0..255 sRGB, light as a factor).
ZENITH, HORIZON, GLOW, LIGHT, SUN = 0, 3, 6, 9, 12
GLOWING, NIGHT, CLOUDY, SUNNY, FOG_END, FOG_NEAR, AIR_SIZE = 15, 16, 17, 18, 19, 20, 21


@njit(**COMPILED, inline="always")
def _smooth(low: float, high: float, x: float) -> float:
    part = min(max((x - low) / (high - low), 0.0), 1.0)
    return part * part * (3.0 - 2.0 * part)


@njit(**PURE)
def _mix_into(air: np.ndarray, place: int, red: float, green: float, blue: float, part: float) -> None:
    air[place] += (red - air[place]) * part
    air[place + 1] += (green - air[place + 1]) * part
    air[place + 2] += (blue - air[place + 2]) * part


@njit(**PURE)
def fill_air(air: np.ndarray, time: float, weather: int) -> None:
    """Write light, sky colours and fog for a time of day in [0, 1) and a weather into `air` (float64, AIR_SIZE)."""
    angle = 2.0 * math.pi * (time - 0.25)
    height = math.sin(angle)  # of the sun, which rises over +x and sets over -x
    day = _smooth(-0.12, 0.30, height)
    twilight = max(0.0, 1.0 - abs(height - 0.06) / 0.38)
    twilight = twilight * twilight * (3.0 - 2.0 * twilight)
    dusk = math.cos(angle) < 0.0
    air[:] = 0.0
    _mix_into(air, ZENITH, 9.0, 12.0, 34.0, 1.0)
    _mix_into(air, ZENITH, 88.0, 146.0, 236.0, day)
    _mix_into(air, ZENITH, 92.0, 98.0, 160.0, 0.55 * twilight)
    _mix_into(air, HORIZON, 28.0, 36.0, 72.0, 1.0)
    _mix_into(air, HORIZON, 188.0, 216.0, 246.0, day)
    if dusk:
        _mix_into(air, HORIZON, 206.0, 132.0, 118.0, 0.75 * twilight)
        _mix_into(air, GLOW, 255.0, 128.0, 52.0, 1.0)
    else:
        _mix_into(air, HORIZON, 226.0, 176.0, 172.0, 0.75 * twilight)
        _mix_into(air, GLOW, 255.0, 196.0, 112.0, 1.0)
    _mix_into(air, LIGHT, 0.30, 0.38, 0.62, 1.0)
    _mix_into(air, LIGHT, 1.0, 1.0, 1.0, day)
    if dusk:
        _mix_into(air, LIGHT, 0.90, 0.62, 0.48, 0.62 * twilight)
    else:
        _mix_into(air, LIGHT, 0.92, 0.76, 0.66, 0.62 * twilight)
    air[SUN], air[SUN + 1], air[SUN + 2] = math.cos(angle) * 0.96, height * 0.96, 0.28
    air[GLOWING], air[NIGHT], air[CLOUDY], air[SUNNY] = twilight, 1.0 - day, 1.0, 1.0
    air[FOG_END], air[FOG_NEAR] = VIEW_DISTANCE, 0.0
    if weather != 0:
        bright = 0.27 + 0.73 * day
        grey, cover, dim = 134.0, 0.88, 0.74
        air[FOG_END], air[FOG_NEAR] = 46.0, 0.35
        if weather == SNOWFALL:
            grey, cover, dim = 196.0, 0.88, 0.90
            air[FOG_END], air[FOG_NEAR] = 40.0, 0.4
        elif weather == FOG:
            grey, cover, dim = 188.0, 0.94, 0.88
            air[FOG_END], air[FOG_NEAR] = 20.0, 0.75
        air[GLOWING] *= 1.0 - cover
        air[CLOUDY] = air[SUNNY] = 0.0
        grey *= bright
        blue = 1.0 + 0.35 * (1.0 - day)
        _mix_into(air, ZENITH, 0.90 * grey, 0.94 * grey, grey * blue, cover)
        _mix_into(air, HORIZON, 0.97 * grey, grey, 1.04 * grey * blue, cover)
        mean = (air[LIGHT] + air[LIGHT + 1] + air[LIGHT + 2]) / 3.0
        _mix_into(air, LIGHT, mean, mean, 1.05 * mean, 0.5 * day)
        for channel in range(3):
            air[LIGHT + channel] *= dim + (1.0 - dim) * 0.7 * (1.0 - day)


@njit(**PURE)
def haze(air: np.ndarray, x: float, y: float, z: float) -> tuple[float, float, float]:
    """The colour of the plain sky in a unit direction, which is also the colour of fog seen that way."""
    low = 1.0 - max(y, 0.0)
    low = low * low * low
    red = air[ZENITH] + (air[HORIZON] - air[ZENITH]) * low
    green = air[ZENITH + 1] + (air[HORIZON + 1] - air[ZENITH + 1]) * low
    blue = air[ZENITH + 2] + (air[HORIZON + 2] - air[ZENITH + 2]) * low
    if air[GLOWING] > 0.0:
        near = 0.5 + 0.5 * (x * air[SUN] + z * air[SUN + 2])
        near = near * near
        part = air[GLOWING] * near * near * low * 0.9
        red += (air[GLOW] - red) * part
        green += (air[GLOW + 1] - green) * part
        blue += (air[GLOW + 2] - blue) * part
    return red, green, blue


@njit(**PURE, inline="always")
def fog_amount(air: np.ndarray, distance: float) -> float:
    """How much of what stands at a distance is lost in fog, in [0, 1]."""
    part = min(distance / air[FOG_END], 1.0)
    cubic = part * part * part
    return air[FOG_NEAR] * part * (2.0 - part) + (1.0 - air[FOG_NEAR]) * cubic


@njit(**PURE)
def _hash(a: int, b: int, c: int) -> int:
    mixed = np.uint32(a * 374761393 + b * 668265263 + c * 974634777 & 0xFFFFFFFF)
    mixed = np.uint32((int(mixed) ^ (int(mixed) >> 13)) * 1274126177 & 0xFFFFFFFF)
    # numba would make it unsigned, and a variable that is also set to 0 a float.
    return np.int64(int(mixed) ^ (int(mixed) >> 16))  # type: ignore[return-value]


@njit(**PURE)
def sky(
    air: np.ndarray, clouds: np.ndarray, tick: int, x: float, y: float, z: float, pixel: float
) -> tuple[float, float, float]:
    """The sky's colour in a unit direction; `pixel` is the angle of a pixel in radians (points of light stay soft)."""
    red, green, blue = haze(air, x, y, z)
    if air[NIGHT] > 0.7 and air[SUNNY] > 0.0 and y > 0.02:
        # Stars sit in cells on the faces of a cube around the viewer.
        ax, ay, az = abs(x), abs(y), abs(z)
        if ay >= ax and ay >= az:
            face, u, v = 0, x / ay, z / ay
        elif ax >= az:
            face, u, v = (1 if x > 0.0 else 2), y / ax, z / ax
        else:
            face, u, v = (3 if z > 0.0 else 4), y / az, x / az
        cu, cv = math.floor(u * 9.0), math.floor(v * 9.0)
        code = _hash(int(cu), int(cv), face)
        if code & 7 < 2 and code & 8 == 0:
            su = (cu + 0.3 + 0.4 * ((code >> 4) & 255) / 255.0) / 9.0
            sv = (cv + 0.3 + 0.4 * ((code >> 12) & 255) / 255.0) / 9.0
            away = ((u - su) ** 2 + (v - sv) ** 2) / (pixel * pixel)
            shine = max(0.0, 1.0 - away) * (air[NIGHT] - 0.7) / 0.3 * min(1.0, y * 6.0)
            shine *= 110.0 + 70.0 * ((code >> 20) & 3) / 3.0
            red, green, blue = red + shine, green + shine, blue + shine
    if air[CLOUDY] > 0.0 and y > 0.03:
        scale = 9.0 / (y + 0.12)
        u, v = x * scale + 0.01 * tick, z * scale
        fu, fv = math.floor(u), math.floor(v)
        pu, pv = u - fu, v - fv
        u0, v0 = int(fu) & 63, int(fv) & 63
        u1, v1 = (u0 + 1) & 63, (v0 + 1) & 63
        cover = (clouds[u0, v0] * (1.0 - pu) + clouds[u1, v0] * pu) * (1.0 - pv)
        cover += (clouds[u0, v1] * (1.0 - pu) + clouds[u1, v1] * pu) * pv
        part = _smooth(0.50, 0.72, cover) * min(1.0, (y - 0.03) * 5.0) * (0.72 - 0.5 * air[NIGHT])
        if part > 0.0:
            bright = 250.0 - 205.0 * air[NIGHT]
            red += (bright + (red - bright) * 0.5 * air[GLOWING] - red) * part
            green += (bright + (green - bright) * 0.8 * air[GLOWING] - green) * part
            blue += (bright + 22.0 * air[NIGHT] + (blue - bright) * 0.8 * air[GLOWING] - blue) * part
    if air[SUNNY] > 0.0:
        toward = x * air[SUN] + y * air[SUN + 1] + z * air[SUN + 2]
        if toward > 0.9:
            disc = _smooth(0.9968, 0.9982, toward)
            halo = 0.35 * (toward - 0.9) / 0.1
            halo = max(disc, halo * halo * 2.0)
            red, green, blue = red + (255.0 - red) * halo, green + (246.0 - green) * halo, blue + (200.0 - blue) * halo
        elif toward < -0.9968:
            disc = _smooth(0.9968, 0.9982, -toward) * min(1.0, 0.35 + air[NIGHT])
            red, green, blue = red + (228.0 - red) * disc, green + (233.0 - green) * disc, blue + (242.0 - blue) * disc
    return min(red, 255.0), min(green, 255.0), min(blue, 255.0)


@njit(**PURE)
def draw_falling(
    frame: np.ndarray, air: np.ndarray, weather: int, tick: int, yaw: float, pitch: float, focal: float
) -> None:
    """Draw rain or snow over a frame: sparse, soft, falling with the tick and turning with the view."""
    height, width = frame.shape[0], frame.shape[1]
    rain = weather == RAIN
    across = height / (10.0 if rain else 8.0)  # the cells of a falling lattice, in pixels
    down = height / (2.5 if rain else 8.0)
    cells = max(1, round(2.0 * math.pi * focal / across))
    across = 2.0 * math.pi * focal / cells
    turn = math.radians(yaw) * focal
    fall = tick * height * (0.11 if rain else 0.018) + math.radians(pitch) * focal * (-1.0)
    shade = 200.0 if rain else 250.0
    light = 0.35 + 0.65 * min(1.0, air[LIGHT + 1])
    for layer in range(2):
        near = 1.0 + 0.35 * layer
        for i in range(height):
            v0 = (i + 0.5) - fall * near
            seen, row, code, v = -(1 << 40), 0, 0, 0.0  # of the column; neighbours mostly share it
            for j in range(width):
                u = j + 0.5 - 0.5 * width + turn + layer * 0.5 * across
                if rain:
                    u += 0.22 * (i - 0.5 * height)
                column = math.floor(u / across)
                if column != seen:
                    seen = column
                    wrapped = int(column) % cells
                    shift = _hash(wrapped, layer, 77) & 255
                    v = v0 + shift / 256.0 * down
                    row = math.floor(v / down)
                    code = _hash(wrapped, int(row), layer + 5)
                if code & 3 < (1 if rain else 2):
                    continue
                pu = u - (column + 0.3 + 0.4 * ((code >> 4) & 255) / 255.0) * across
                pv = v - (row + 0.5) * down
                if rain:
                    thick = max(0.6, height / 150.0)
                    part = max(0.0, 1.0 - abs(pu) / thick) * max(0.0, 1.0 - abs(pv) / (0.42 * down)) * 0.30
                else:
                    pv -= (0.2 * ((code >> 12) & 255) / 255.0 - 0.1) * down
                    size = max(0.9, height / 80.0) * near
                    part = max(0.0, 1.2 - (pu * pu + pv * pv) / (size * size))
                    part = min(part, 1.0) * 0.48
                if part > 0.0:
                    for channel in range(3):
                        old = float(frame[i, j, channel])
                        frame[i, j, channel] = np.uint8(old + (shade * light - old) * part + 0.5)

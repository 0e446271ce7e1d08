"""One tick of the player and of falling sand, compiled: look, hotbar, move, break and place, let sand fall.

The player is one float64 vector (`BODY` entries, named below), so a snapshot of it is a copy. Lengths are in blocks,
times in ticks (1/20 s), angles in degrees. x and z wrap around.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from worldsim.envs.blocks.blocks import AIR, CACTUS, FLOWER, HOTBAR, ICE, SAND, SEA_LEVEL, SOLID, WATER, WORLD_SHAPE
from worldsim.envs.blocks.render import raycast

# Entries of the body vector. EYE: height of the eye above the feet. CLIMB: height that an automatic step leads to, -1
# for none. BREAK_WAIT, PLACE_WAIT: ticks until a held button acts again. SWING: 1 when the hand acts, fading to 0.
# DUG, BUILT: ticks for which the body counts as digging or building. MOVING: a direction key is held.
(X, Y, Z, YAW, PITCH, VX, VY, VZ, GROUND, WET, BLOCKED, EYE, SLOT, SWING, CLIMB, BREAK_WAIT, PLACE_WAIT, DUG, BUILT,
 MOVING, SNEAKING) = range(21)  # fmt: skip
BODY = 21

# Entries of the control vector, in the order of the action space.
FORWARD, BACK, LEFT, RIGHT, JUMP, SNEAK, BREAK, PLACE, HOTBAR_SLOT, TURN, TILT = range(11)
CONTROLS = 11

HALF_WIDTH, HEIGHT, EYE_HEIGHT, SNEAK_EYE = 0.3, 1.8, 1.62, 1.42
REACH = 4.5
WALK, SNEAK_SPEED = 4.317 / 20, 1.3 / 20
COOLDOWN = 5
ANIMAL_HALF, ANIMAL_HEIGHT = 0.4, 1.0
# Columns in which sand may be falling: `falling` is int16 (FALLING, 2), free rows hold -1.
FALLING = 64

_MASK, _TOP = WORLD_SHAPE[0] - 1, WORLD_SHAPE[1]
_SPAN = float(WORLD_SHAPE[0])
_SLOTS = np.array(HOTBAR)
_EPS = 1e-6


@njit(cache=True)
def free(voxels: np.ndarray, x: float, y: float, z: float, half: float, height: float) -> bool:
    """Whether a box with its feet at (x, y, z) touches no solid block; all is free above the top, nothing below."""
    low, high = math.floor(y + _EPS), math.floor(y + height - _EPS)
    if low < 0:
        return False
    for j in range(low, min(high, _TOP - 1) + 1):
        for i in range(math.floor(x - half + _EPS), math.floor(x + half - _EPS) + 1):
            for k in range(math.floor(z - half + _EPS), math.floor(z + half - _EPS) + 1):
                if SOLID[voxels[i & _MASK, j, k & _MASK]]:
                    return False
    return True


@njit(cache=True)
def wrap(value: float) -> float:
    """A coordinate in [0, 128)."""
    value %= _SPAN
    return 0.0 if value >= _SPAN else value


@njit(cache=True)
def offset(a: float, b: float) -> float:
    """The shortest way from a to b around the world, in [-64, 64)."""
    return (b - a + 0.5 * _SPAN) % _SPAN - 0.5 * _SPAN


@njit(cache=True)
def slide(position: float, step: float, half: float) -> float:
    """Where a box that cannot take the whole step ends up: against the face of the next block in that direction."""
    if step > 0:
        return math.floor(position + step + half - _EPS) - half
    return math.floor(position + step - half + _EPS) + 1 + half


@njit(cache=True)
def fall(voxels: np.ndarray, x: float, y: float, z: float, dy: float, half: float, height: float) -> float:
    """The height reached by moving vertically by dy (at most 0.5 block at a time, so nothing is jumped over)."""
    steps = math.ceil(abs(dy) / 0.5)
    for _ in range(steps):
        part = dy / steps
        if free(voxels, x, y + part, z, half, height):
            y += part
        elif part < 0:
            return math.floor(y + part + _EPS) + 1.0
        else:
            return max(math.floor(y + part + height - _EPS) - height, y)
    return y


@njit(cache=True)
def touches(x: int, y: int, z: int, bx: float, by: float, bz: float, half: float, height: float) -> bool:
    """Whether the block (x, y, z) overlaps a box with its feet at (bx, by, bz)."""
    return (
        abs(offset(bx, x + 0.5)) < 0.5 + half - _EPS
        and abs(offset(bz, z + 0.5)) < 0.5 + half - _EPS
        and by < y + 1 - _EPS
        and by + height > y + _EPS
    )


@njit(cache=True)
def occupied(body: np.ndarray, animals: np.ndarray, x: int, y: int, z: int) -> bool:
    """Whether the player or an animal stands in the block (x, y, z)."""
    if touches(x, y, z, body[X], body[Y], body[Z], HALF_WIDTH, HEIGHT):
        return True
    for n in range(animals.shape[0]):
        if touches(x, y, z, animals[n, 0], animals[n, 1], animals[n, 2], ANIMAL_HALF, ANIMAL_HEIGHT):
            return True
    return False


@njit(cache=True)
def wet(voxels: np.ndarray, x: float, y: float, z: float) -> bool:
    """Whether the cell at a point is water."""
    j = math.floor(y)
    return 0 <= j < _TOP and voxels[math.floor(x) & _MASK, j, math.floor(z) & _MASK] == WATER


@njit(cache=True)
def ahead_of(yaw: float, pitch: float) -> np.ndarray:
    """The unit vector (3,) that the camera looks along, as `render.view_direction`, compiled."""
    a, b = math.radians(yaw), math.radians(pitch)
    return np.array((-math.sin(a) * math.cos(b), -math.sin(b), math.cos(a) * math.cos(b)))


@njit(cache=True)
def _look(body: np.ndarray, controls: np.ndarray) -> None:
    body[YAW] = (body[YAW] + controls[TURN]) % 360.0
    if body[YAW] >= 360.0:
        body[YAW] = 0.0
    body[PITCH] = min(max(body[PITCH] + controls[TILT], -90.0), 90.0)
    body[SLOT] = controls[HOTBAR_SLOT]


@njit(cache=True)
def _plan_climb(voxels: np.ndarray, body: np.ndarray, dx: float, dz: float, auto_jump: bool) -> None:
    """Begin to step up if a ledge of one block lies ahead (in water also one that is a little higher)."""
    x, y, z = body[X], body[Y], body[Z]
    swimming = body[WET] > 0
    if body[CLIMB] >= 0 or not (swimming or (auto_jump and body[GROUND] > 0)):
        return
    length = math.sqrt(dx * dx + dz * dz)
    if length < _EPS:
        return
    ahead = 0.3 if swimming else 0.55
    ahead_x, ahead_z = x + dx / length * ahead, z + dz / length * ahead
    if free(voxels, ahead_x, y, ahead_z, HALF_WIDTH, HEIGHT):
        return
    for rise in range(1, 3 if swimming else 2):
        target = math.floor(y + _EPS) + rise
        if free(voxels, ahead_x, target, ahead_z, HALF_WIDTH, HEIGHT) and free(
            voxels, x, target, z, HALF_WIDTH, HEIGHT
        ):
            body[CLIMB] = target
            return


@njit(cache=True)
def _move(voxels: np.ndarray, body: np.ndarray, controls: np.ndarray, auto_jump: bool) -> None:
    ahead, side = controls[FORWARD] - controls[BACK], controls[RIGHT] - controls[LEFT]
    sneaking, jumping = controls[SNEAK] > 0, controls[JUMP] > 0
    body[SNEAKING], body[MOVING] = sneaking, ahead != 0 or side != 0
    target_eye = SNEAK_EYE if sneaking else EYE_HEIGHT
    body[EYE] += min(max(target_eye - body[EYE], -0.08), 0.08)
    body[WET] = wet(voxels, body[X], body[Y] + 0.4, body[Z])
    in_water, on_ground = body[WET] > 0, body[GROUND] > 0

    # Horizontal speed follows the keys within about two ticks on the ground, more slowly in air and water.
    speed = SNEAK_SPEED if sneaking else WALK
    if in_water:
        speed *= 0.5
    if ahead != 0 and side != 0:
        speed *= math.sqrt(0.5)
    sine, cosine = math.sin(math.radians(body[YAW])), math.cos(math.radians(body[YAW]))
    want_x, want_z = (-ahead * sine - side * cosine) * speed, (ahead * cosine - side * sine) * speed
    grip = 0.35 if in_water else (0.7 if on_ground or body[CLIMB] >= 0 else 0.3)
    body[VX] += (want_x - body[VX]) * grip
    body[VZ] += (want_z - body[VZ]) * grip
    if abs(body[VX]) < 1e-3 and want_x == 0:
        body[VX] = 0.0
    if abs(body[VZ]) < 1e-3 and want_z == 0:
        body[VZ] = 0.0

    if not sneaking:
        _plan_climb(voxels, body, want_x, want_z, auto_jump)
    if body[CLIMB] >= 0 and (body[MOVING] == 0 or body[Y] >= body[CLIMB]):
        body[CLIMB] = -1.0

    if in_water:
        body[VY] = body[VY] * 0.8 + (0.025 if jumping else -0.015)
    elif jumping and on_ground and body[CLIMB] < 0:
        body[VY] = 0.42
        on_ground = False
    else:
        body[VY] = (body[VY] - 0.08) * 0.98
    if body[CLIMB] >= 0:
        body[VY] = min(0.28, body[CLIMB] - body[Y])
    rise = body[VY]
    y = fall(voxels, body[X], body[Y], body[Z], rise, HALF_WIDTH, HEIGHT)
    landed = rise < 0 and y > body[Y] + rise + _EPS
    if rise != 0 and abs(y - body[Y] - rise) > _EPS:
        body[VY] = 0.0
        body[CLIMB] = -1.0
    elif body[CLIMB] >= 0 and y >= body[CLIMB] - _EPS:
        body[VY] = 0.0  # a step up ends without a hop
    body[Y] = y
    body[GROUND] = landed or (body[CLIMB] < 0 and rise <= 0 and not free(
        voxels, body[X], y - 0.02, body[Z], HALF_WIDTH, HEIGHT))  # fmt: skip

    hit = False
    guarded = sneaking and body[GROUND] > 0  # a sneaking body does not walk off edges
    for axis in range(2):
        index = VX if axis == 0 else VZ
        place = X if axis == 0 else Z
        step = body[index]
        if step == 0:
            continue
        x = body[X] + (step if axis == 0 else 0.0)
        z = body[Z] + (step if axis == 1 else 0.0)
        if guarded and free(voxels, x, body[Y] - 0.5, z, HALF_WIDTH, HEIGHT):
            body[index] = 0.0
        elif free(voxels, x, body[Y], z, HALF_WIDTH, HEIGHT):
            body[place] = wrap(body[place] + step)
        else:
            body[place] = wrap(slide(body[place], step, HALF_WIDTH))
            hit = True
            # While stepping up, the speed is kept, so that the walk goes on at the top.
            if body[CLIMB] < 0:
                body[index] = 0.0
    body[BLOCKED] = hit and body[CLIMB] < 0
    body[WET] = wet(voxels, body[X], body[Y] + 0.4, body[Z])


@njit(cache=True)
def loosen(falling: np.ndarray, x: int, z: int) -> None:
    """Note that sand in the column (x, z) may have lost its support."""
    spare = -1
    for n in range(falling.shape[0]):
        if falling[n, 0] == x and falling[n, 1] == z:
            return
        if falling[n, 0] < 0 and spare < 0:
            spare = n
    if spare >= 0:
        falling[spare, 0], falling[spare, 1] = x, z


@njit(cache=True)
def _act(voxels: np.ndarray, body: np.ndarray, controls: np.ndarray, animals: np.ndarray, falling: np.ndarray) -> bool:
    """Break and place; returns whether a block changed."""
    changed = False
    body[SWING] = max(body[SWING] - 0.2, 0.0)
    for index in (BREAK_WAIT, PLACE_WAIT, DUG, BUILT):
        body[index] = max(body[index] - 1.0, 0.0)
    # A button that is let go acts at once when it is pressed again.
    if controls[BREAK] == 0:
        body[BREAK_WAIT] = 0.0
    if controls[PLACE] == 0:
        body[PLACE_WAIT] = 0.0
    breaks = controls[BREAK] > 0 and body[BREAK_WAIT] == 0
    places = controls[PLACE] > 0 and body[PLACE_WAIT] == 0
    if not (breaks or places):
        return changed
    body[SWING] = 1.0
    eye = np.array((body[X], body[Y] + body[EYE], body[Z]))
    direction = ahead_of(body[YAW], body[PITCH])
    if breaks:
        body[BREAK_WAIT] = COOLDOWN
        hit, x, y, z, nx, ny, nz, _distance = raycast(voxels, eye, direction, REACH)
        if hit and y > 0 and voxels[x, y, z] != WATER and voxels[x, y, z] != AIR:
            voxels[x, y, z] = WATER if voxels[x, y, z] == ICE else AIR
            body[DUG] = 12.0
            changed = True
            above = y + 1
            while above < _TOP and (voxels[x, above, z] == FLOWER or voxels[x, above, z] == CACTUS):
                voxels[x, above, z] = AIR  # plants do not float
                above += 1
            loosen(falling, x, z)
    if places:
        body[PLACE_WAIT] = COOLDOWN
        hit, x, y, z, nx, ny, nz, _distance = raycast(voxels, eye, direction, REACH)
        if hit and voxels[x, y, z] != WATER:
            if voxels[x, y, z] != FLOWER:  # a flower makes room for the block
                x, y, z = (x + nx) & _MASK, y + ny, (z + nz) & _MASK
            if 0 < y < _TOP and not SOLID[voxels[x, y, z]] and not occupied(body, animals, x, y, z):
                voxels[x, y, z] = _SLOTS[int(body[SLOT])]
                body[BUILT] = 12.0
                changed = True
                loosen(falling, x, z)
    return changed


@njit(cache=True)
def fall_sand(voxels: np.ndarray, body: np.ndarray, animals: np.ndarray, falling: np.ndarray) -> bool:
    """Let loose sand fall by one block. It waits above the player and above animals; water flows in behind it.

    Returns whether a block changed.
    """
    changed = False
    for n in range(falling.shape[0]):
        x, z = falling[n, 0], falling[n, 1]
        if x < 0:
            continue
        loose = False
        for y in range(1, _TOP):
            if voxels[x, y, z] != SAND or SOLID[voxels[x, y - 1, z]]:
                continue
            loose = True
            if occupied(body, animals, x, y - 1, z):
                continue
            changed = True
            voxels[x, y - 1, z] = SAND
            flooded = y <= SEA_LEVEL and (
                (y + 1 < _TOP and voxels[x, y + 1, z] == WATER)
                or voxels[(x + 1) & _MASK, y, z] == WATER
                or voxels[(x - 1) & _MASK, y, z] == WATER
                or voxels[x, y, (z + 1) & _MASK] == WATER
                or voxels[x, y, (z - 1) & _MASK] == WATER
            )
            voxels[x, y, z] = WATER if flooded else AIR
        if not loose:
            falling[n, 0] = -1
    return changed


@njit(cache=True)
def tick(
    voxels: np.ndarray,
    body: np.ndarray,
    controls: np.ndarray,
    animals: np.ndarray,
    falling: np.ndarray,
    auto_jump: bool,
) -> bool:
    """Advance the player by 1/20 s in place; returns whether a block changed.

    voxels: uint8 (128, 48, 128). body: float64 (BODY,). controls: float64 (CONTROLS,), in the order of the action
    space. animals: float64 (n, >= 3), feet x, y, z first. falling: int16 (FALLING, 2).
    """
    _look(body, controls)
    _move(voxels, body, controls, auto_jump)
    acted = _act(voxels, body, controls, animals, falling)
    fell = fall_sand(voxels, body, animals, falling)
    return acted or fell

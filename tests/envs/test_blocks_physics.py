"""The player and falling sand on ground laid by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.envs.blocks import physics
from worldsim.envs.blocks.blocks import (
    AIR,
    CACTUS,
    DIRT,
    FLOWER,
    HOTBAR,
    ICE,
    SAND,
    SEA_LEVEL,
    STONE,
    WATER,
    WORLD_SHAPE,
)
from worldsim.envs.blocks.physics import BLOCKED, GROUND, PITCH, SLOT, VY, VZ, WET, YAW, X, Y, Z
from worldsim.envs.blocks.render import view_direction

FLOOR = 20  # the feet of a body that stands on the ground


class Player:
    """A body on a stone floor, looking towards +z from the middle of the block (20, 20, 20)."""

    def __init__(self, auto_jump: bool = True) -> None:
        self.voxels = np.zeros(WORLD_SHAPE, np.uint8)
        self.voxels[:, :FLOOR] = STONE
        self.animals = np.zeros((0, 3))
        self.falling = np.full((physics.FALLING, 2), -1, np.int16)
        self.auto_jump = auto_jump
        self.body = np.zeros(physics.BODY)
        self.body[[X, Y, Z]] = 20.5, FLOOR, 20.5
        self.body[physics.EYE], self.body[GROUND], self.body[physics.CLIMB] = physics.EYE_HEIGHT, 1.0, -1.0

    def tick(self, *keys: int, turn: float = 0.0, tilt: float = 0.0, slot: int = 0) -> np.ndarray:
        controls = np.zeros(physics.CONTROLS)
        controls[list(keys)] = 1.0
        controls[[physics.HOTBAR_SLOT, physics.TURN, physics.TILT]] = slot, turn, tilt
        physics.tick(self.voxels, self.body, controls, self.animals, self.falling, self.auto_jump)
        return self.body

    def run(self, ticks: int, *keys: int) -> np.ndarray:
        """Positions (ticks, 3) after each tick with the same keys held."""
        return np.array([self.tick(*keys)[:3].copy() for _ in range(ticks)])

    def flood(self, top: int) -> None:
        """Water from y = 10 up to and with the layer `top`, everywhere."""
        self.voxels[:, 10:FLOOR] = AIR
        self.voxels[:, 10 : top + 1] = WATER


def test_walking_starts_at_once_and_reaches_its_speed() -> None:
    player = Player()
    path = player.run(40, physics.FORWARD)
    assert path[1, 2] - path[0, 2] > 0.85 * physics.WALK
    assert path[-1, 2] - path[-2, 2] == pytest.approx(physics.WALK, rel=1e-3)
    np.testing.assert_allclose(path[:, 1], FLOOR)
    player.run(6)
    assert player.body[VZ] == 0.0


@pytest.mark.parametrize(
    ("key", "yaw"), [(physics.FORWARD, 0), (physics.BACK, 180), (physics.LEFT, -90), (physics.RIGHT, 90)]
)
def test_keys_move_relative_to_the_view(key: int, yaw: float) -> None:
    player = Player()
    player.body[YAW] = 30.0
    way = player.run(20, key)[-1] - (20.5, FLOOR, 20.5)
    np.testing.assert_allclose(way / np.linalg.norm(way), view_direction(30.0 + yaw, 0.0), atol=1e-6)


def test_diagonal_and_sneaking_speeds() -> None:
    player = Player()
    path = player.run(30, physics.FORWARD, physics.RIGHT)
    assert np.linalg.norm(path[-1] - path[-2]) == pytest.approx(physics.WALK, rel=1e-3)
    path = player.run(30, physics.FORWARD, physics.SNEAK)
    assert np.linalg.norm(path[-1] - path[-2]) * 20 == pytest.approx(1.3, rel=1e-3)
    assert player.body[physics.EYE] == pytest.approx(physics.SNEAK_EYE)


def test_compiled_direction_is_the_renderers() -> None:
    for yaw, pitch in ((0, 0), (90, 0), (200, 35), (333, -80)):
        np.testing.assert_allclose(physics.ahead_of(yaw, pitch), view_direction(yaw, pitch), atol=1e-12)


def test_camera_comes_before_motion_and_pitch_is_limited() -> None:
    player = Player()
    player.tick(physics.FORWARD, turn=10.0)
    assert player.body[YAW] == 10.0
    assert math.degrees(math.atan2(-(player.body[X] - 20.5), player.body[Z] - 20.5)) == pytest.approx(10.0)
    for _ in range(30):
        player.tick(turn=-10.0, tilt=10.0)
    assert player.body[PITCH] == 90.0
    assert player.body[YAW] == pytest.approx(70.0)  # 10 - 300, in [0, 360)
    for _ in range(30):
        player.tick(tilt=-10.0)
    assert player.body[PITCH] == -90.0


def test_a_jump_rises_a_block_and_a_quarter_and_lands() -> None:
    heights = Player().run(13, physics.JUMP)[:, 1] - FLOOR
    assert heights.max() == pytest.approx(1.25, abs=0.01)
    assert heights[11] == 0.0


def test_a_ledge_is_climbed_smoothly_by_walking_on() -> None:
    player = Player()
    player.voxels[:, FLOOR, 23:] = STONE
    path, blocked = [player.body[:3].copy()], False
    for _ in range(30):
        player.tick(physics.FORWARD)
        path.append(player.body[:3].copy())
        blocked |= bool(player.body[BLOCKED])
    steps = np.diff(np.array(path), axis=0)
    assert path[-1][1] == FLOOR + 1
    assert steps[:, 1].min() >= 0.0
    assert steps[:, 1].max() <= 0.3
    assert 3 <= (steps[:, 1] > 0).sum() <= 5
    assert not blocked
    assert path[-1][2] > 24.5


def test_without_auto_jump_a_ledge_blocks_until_one_jumps() -> None:
    player = Player(auto_jump=False)
    player.voxels[:, FLOOR, 23:] = STONE
    player.run(30, physics.FORWARD)
    assert player.body[BLOCKED]
    assert player.body[Z] == pytest.approx(22.7)
    player.run(20, physics.FORWARD, physics.JUMP)
    assert player.body[Z] > 23.5


@pytest.mark.parametrize("roof", [False, True])
def test_high_walls_and_low_roofs_block(roof: bool) -> None:
    player = Player()
    player.voxels[:, FLOOR, 23:] = STONE
    if roof:
        player.voxels[:, FLOOR + 2] = STONE
    else:
        player.voxels[:, FLOOR + 1, 23:] = STONE
    player.run(30, physics.FORWARD)
    assert player.body[BLOCKED]
    assert player.body[Y] == FLOOR
    assert player.body[Z] == pytest.approx(22.7)


def test_one_slides_along_a_wall() -> None:
    player = Player()
    player.voxels[:, FLOOR : FLOOR + 3, 22] = STONE
    player.body[YAW] = 45.0
    player.run(30, physics.FORWARD)
    assert player.body[Z] == pytest.approx(21.7)
    assert player.body[X] < 18.5


def test_sneaking_stays_on_the_edge_and_walking_falls() -> None:
    for keys, falls in (((physics.FORWARD, physics.SNEAK), False), ((physics.FORWARD,), True)):
        player = Player()
        player.voxels[:, 10:FLOOR, 23:] = AIR
        player.run(80, *keys)
        assert (player.body[Y] < FLOOR) == falls


def test_the_world_wraps() -> None:
    player = Player()
    player.body[Z] = 127.5
    player.run(10, physics.FORWARD)
    assert 0 < player.body[Z] < 3


def test_in_water_one_sinks_slowly_swims_at_half_speed_and_rises() -> None:
    player = Player()
    player.flood(SEA_LEVEL)
    player.body[Y] = 14.0
    sinking = player.run(20)
    assert player.body[WET]
    assert 0.5 < sinking[0, 1] - sinking[-1, 1] < 2.0
    path = player.run(20, physics.FORWARD)
    assert path[-1, 2] - path[-2, 2] == pytest.approx(physics.WALK / 2, rel=0.01)
    player.run(60, physics.JUMP)
    assert 16.0 < player.body[Y] < 17.2  # the head is above the surface at 17


def test_one_can_leave_the_water_at_a_bank() -> None:
    for auto_jump in (True, False):
        player = Player(auto_jump)
        player.flood(SEA_LEVEL)
        player.voxels[:, 10 : SEA_LEVEL + 1, 25:] = STONE
        player.body[Y] = 16.0
        player.run(100, physics.FORWARD, physics.JUMP)
        assert player.body[Z] > 26
        assert not player.body[WET]


def look_down(player: Player, pitch: float) -> None:
    player.body[PITCH] = pitch


def test_breaking_is_immediate_and_then_waits() -> None:
    player = Player()
    look_down(player, 45.0)
    player.voxels[20, FLOOR, 22] = DIRT
    player.tick(physics.BREAK)
    assert player.voxels[20, FLOOR, 22] == AIR
    stones = int((player.voxels == STONE).sum())
    for _ in range(physics.COOLDOWN - 1):
        player.tick(physics.BREAK)
    assert (player.voxels == STONE).sum() == stones
    player.tick(physics.BREAK)
    assert (player.voxels == STONE).sum() == stones - 1
    player.tick()
    player.tick(physics.BREAK)  # pressed anew: no wait
    assert (player.voxels == STONE).sum() == stones - 2


def test_reach_bottom_layer_water_and_ice() -> None:
    player = Player()
    player.voxels[20, FLOOR + 1, 26] = DIRT  # 5.5 blocks away
    player.tick(physics.BREAK)
    assert player.voxels[20, FLOOR + 1, 26] == DIRT
    player.voxels[20, FLOOR + 1, 24] = WATER
    player.voxels[20, FLOOR + 1, 23] = ICE
    player.tick()
    player.tick(physics.BREAK)
    player.tick()
    player.tick(physics.BREAK)
    assert player.voxels[20, FLOOR + 1, 24] == WATER
    assert player.voxels[20, FLOOR + 1, 23] == WATER  # ice melts
    player = Player()
    player.voxels[:, 1:] = AIR
    player.body[Y] = 1.0
    look_down(player, 90.0)
    player.tick(physics.BREAK)
    assert (player.voxels[:, 0] == STONE).all()


def test_plants_fall_with_the_ground_under_them() -> None:
    player = Player()
    look_down(player, 55.0)
    hit = physics.raycast(
        player.voxels, np.array((20.5, FLOOR + physics.EYE_HEIGHT, 20.5)), view_direction(0, 55), physics.REACH
    )
    x, y, z = hit[1:4]
    player.voxels[x, y, z] = DIRT
    player.voxels[x, y + 1, z] = CACTUS
    player.voxels[x, y + 2, z] = CACTUS
    player.body[YAW] = 0.0
    # The cactus is in the way: breaking its foot takes all of it.
    player.tick(physics.BREAK)
    assert not (player.voxels == CACTUS).any()


def test_placing_puts_the_held_block_on_the_face() -> None:
    for slot, block in enumerate(HOTBAR):
        if block == SAND:
            continue
        player = Player()
        player.voxels[20, FLOOR : FLOOR + 3, 24] = STONE
        player.tick(physics.PLACE, slot=slot)
        assert player.body[SLOT] == slot
        assert player.voxels[20, FLOOR + 1, 23] == block
        assert (player.voxels == block).sum() >= 1


def test_nothing_is_placed_into_a_body() -> None:
    player = Player()
    look_down(player, 90.0)
    player.tick(physics.PLACE)
    assert not (player.voxels == DIRT).any()
    look_down(player, 0.0)
    player.voxels[20, FLOOR : FLOOR + 3, 24] = STONE
    player.animals = np.array([[20.5, FLOOR + 0.5, 23.5]])
    player.tick()
    player.tick(physics.PLACE)
    assert not (player.voxels == DIRT).any()
    player.animals = np.zeros((0, 3))
    player.tick()
    player.tick(physics.PLACE)
    assert (player.voxels == DIRT).sum() == 1


def test_a_flower_gives_way_to_a_block() -> None:
    player = Player()
    player.voxels[20, FLOOR, 22] = FLOWER
    look_down(player, math.degrees(math.atan2(physics.EYE_HEIGHT - 0.52, 2.0)))
    player.tick(physics.PLACE)
    assert player.voxels[20, FLOOR, 22] == DIRT


def test_sand_falls_a_block_a_tick_and_carries_the_sand_above() -> None:
    player = Player()
    player.voxels[40, FLOOR + 5, 40] = SAND
    player.voxels[40, FLOOR + 6, 40] = SAND
    physics.loosen(player.falling, 40, 40)
    for fallen in range(1, 6):
        player.tick()
        np.testing.assert_array_equal(np.nonzero(player.voxels[40, :, 40] == SAND)[0] - FLOOR, [5 - fallen, 6 - fallen])
    player.tick()
    assert (player.falling[:, 0] == -1).all()
    assert (player.voxels == SAND).sum() == 2


def test_sand_waits_above_the_player() -> None:
    player = Player()
    player.voxels[20, FLOOR + 4, 20] = SAND
    physics.loosen(player.falling, 20, 20)
    player.run(10)
    assert player.voxels[20, FLOOR + 2, 20] == SAND
    player.run(20, physics.FORWARD)
    assert player.voxels[20, FLOOR, 20] == SAND


def test_water_closes_behind_sand() -> None:
    player = Player()
    player.voxels[:, 10 : SEA_LEVEL + 1, 40:] = WATER
    player.voxels[:, SEA_LEVEL + 1 : FLOOR, 40:] = AIR
    player.voxels[50, SEA_LEVEL + 1, 50] = SAND
    water = int((player.voxels == WATER).sum())
    physics.loosen(player.falling, 50, 50)
    player.run(12)
    assert player.voxels[50, 10, 50] == SAND
    assert (player.voxels == WATER).sum() == water - 1


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    density=st.floats(0.05, 0.35),
    keys=st.lists(st.integers(0, 255), min_size=1, max_size=30),
)
def test_the_player_is_never_inside_a_block(seed: int, density: float, keys: list[int]) -> None:
    rng = np.random.default_rng(seed)
    player = Player()
    player.voxels[10:31, FLOOR : FLOOR + 8, 10:31] = np.where(
        rng.random((21, 8, 21)) < density, rng.choice((STONE, SAND, WATER), (21, 8, 21)), AIR
    )
    player.voxels[20, FLOOR : FLOOR + 2, 20] = AIR
    for held in keys:
        pressed = [key for key in range(8) if held >> key & 1]
        for _ in range(8):
            body = player.tick(*pressed, turn=float(rng.uniform(-10, 10)), tilt=float(rng.uniform(-10, 10)), slot=2)
            assert physics.free(player.voxels, body[X], body[Y], body[Z], physics.HALF_WIDTH, physics.HEIGHT)
            assert abs(body[VY]) < 4

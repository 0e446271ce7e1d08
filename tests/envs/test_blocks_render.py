"""What the block world's pictures must be true to: geometry, voxels, wrapping, light and their arguments alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.envs.blocks.blocks import (
    AIR,
    BLOCK_NAMES,
    BRICK,
    DIRT,
    FLOWER,
    GLASS,
    GRASS,
    PLANKS,
    SAND,
    STONE,
    WATER,
    WOOL,
    WORLD_SHAPE,
)
from worldsim.envs.blocks.render import ANIMAL_ID, FOV_DEGREES, Rendering, raycast, render, view_direction
from worldsim.envs.blocks.textures import OFFSETS, TEXTURES

SIZE = (64, 80)
NOON, MIDNIGHT = 0.5, 0.0
CLEAR, RAIN, SNOWFALL, FOG = range(4)
GROUND = 16  # y of the first free layer over the plain
NO_ANIMALS = np.zeros((0, 5))


def draw(
    voxels: np.ndarray, eye: tuple[float, float, float], yaw: float = 0.0, pitch: float = 0.0, **other
) -> Rendering:
    arguments = {
        "size": SIZE, "time": NOON, "weather": CLEAR, "tick": 0, "animals": NO_ANIMALS, "target": None, "held": AIR,
        "swing": 0.0,
    }  # fmt: skip
    return render(voxels, np.array(eye, dtype=np.float64), yaw, pitch, **(arguments | other))


def plain() -> np.ndarray:
    voxels = np.zeros(WORLD_SHAPE, dtype=np.uint8)
    voxels[:, :GROUND] = GRASS
    return voxels


def rubble(seed: int) -> np.ndarray:
    """Rough land with floating blocks of opaque kinds: every case a ray can meet, leaps over low ground among them."""
    rng = np.random.default_rng(seed)
    voxels = plain()
    kinds = np.array([STONE, DIRT, PLANKS, BRICK, WOOL], dtype=np.uint8)
    x, z = rng.integers(0, 128, (2, 600))
    voxels[x, rng.integers(GROUND, 40, 600), z] = rng.choice(kinds, 600)
    for x, z in rng.integers(0, 128, (60, 2)):
        voxels[x : x + 4, GROUND : GROUND + int(rng.integers(1, 9)), z : z + 4] = rng.choice(kinds)
    return voxels


def pixel_directions(yaw: float, pitch: float) -> np.ndarray:
    """Unit vectors (H, W, 3) of all pixels, from the definition of a pinhole camera with square pixels."""
    height, width = SIZE
    ahead = view_direction(yaw, pitch)
    right = np.array([-math.cos(math.radians(yaw)), 0.0, -math.sin(math.radians(yaw))])
    up = np.cross(right, ahead)
    focal = 0.5 * height / math.tan(math.radians(FOV_DEGREES / 2))
    x = (np.arange(width) + 0.5 - width / 2) / focal
    y = (height / 2 - np.arange(height) - 0.5) / focal
    rays = ahead + x[None, :, None] * right + y[:, None, None] * up
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def same(a: Rendering, b: Rendering) -> bool:
    parts = ("frame", "depth", "ids", "animal_index")
    return all(np.array_equal(getattr(a, part), getattr(b, part)) for part in parts)


def columns(mask: np.ndarray) -> float:
    return float(np.nonzero(mask)[1].mean())


def rows(mask: np.ndarray) -> float:
    return float(np.nonzero(mask)[0].mean())


def test_shapes_and_types() -> None:
    picture = draw(plain(), (64.5, 18.0, 64.5), size=(48, 96))
    assert picture.frame.shape == (48, 96, 3)
    assert picture.frame.dtype == np.uint8
    assert picture.depth.shape == (48, 96)
    assert picture.depth.dtype == np.float32
    assert picture.ids.shape == (48, 96)
    assert picture.ids.dtype == np.uint8
    assert picture.animal_index.shape == (48, 96)
    assert picture.animal_index.dtype == np.int16


def test_view_direction() -> None:
    np.testing.assert_allclose(view_direction(0.0, 0.0), (0.0, 0.0, 1.0), atol=1e-12)
    np.testing.assert_allclose(view_direction(90.0, 0.0), (-1.0, 0.0, 0.0), atol=1e-12)
    np.testing.assert_allclose(view_direction(123.0, 90.0), (0.0, -1.0, 0.0), atol=1e-12)


@settings(max_examples=12, deadline=None)
@given(yaw=st.floats(0.0, 360.0), turn=st.floats(2.0, 18.0))
def test_turning_right_moves_the_picture_left(yaw: float, turn: float) -> None:
    voxels = np.zeros(WORLD_SHAPE, dtype=np.uint8)
    place = np.array([64.5, 24.5, 64.5]) + 14.0 * view_direction(yaw, 0.0)
    voxels[int(place[0]), int(place[1]), int(place[2])] = WOOL
    before = draw(voxels, (64.5, 24.5, 64.5), yaw).ids == WOOL
    after = draw(voxels, (64.5, 24.5, 64.5), yaw + turn).ids == WOOL
    focal = 0.5 * SIZE[0] / math.tan(math.radians(FOV_DEGREES / 2))
    assert columns(before) - columns(after) == pytest.approx(focal * math.tan(math.radians(turn)), abs=2.0)


@pytest.mark.parametrize("yaw", [0.0, 77.0, 200.0])
def test_looking_down_moves_the_picture_up(yaw: float) -> None:
    voxels = np.zeros(WORLD_SHAPE, dtype=np.uint8)
    place = np.array([64.5, 24.5, 64.5]) + 14.0 * view_direction(yaw, 0.0)
    voxels[int(place[0]), int(place[1]), int(place[2])] = WOOL
    level = draw(voxels, (64.5, 24.5, 64.5), yaw, 0.0).ids == WOOL
    down = draw(voxels, (64.5, 24.5, 64.5), yaw, 12.0).ids == WOOL
    assert rows(down) < rows(level) - 5.0


def test_what_lies_to_the_right_is_drawn_on_the_right() -> None:
    voxels = np.zeros(WORLD_SHAPE, dtype=np.uint8)
    voxels[60, 24, 74] = BRICK  # looking along +z, the right hand is at -x
    voxels[68, 24, 74] = PLANKS
    ids = draw(voxels, (64.5, 24.5, 64.5)).ids
    assert columns(ids == BRICK) > SIZE[1] / 2 > columns(ids == PLANKS)


@settings(max_examples=15, deadline=None)
@given(distance=st.floats(0.3, 30.0), height=st.floats(18.0, 40.0))
def test_depth_of_a_wall_is_its_distance(distance: float, height: float) -> None:
    voxels = np.zeros(WORLD_SHAPE, dtype=np.uint8)
    voxels[:, :, 80:84] = STONE
    picture = draw(voxels, (40.3, height, 80.0 - distance))
    wall = picture.ids == STONE
    expected = distance / pixel_directions(0.0, 0.0)[..., 2]
    assert wall.any()
    np.testing.assert_allclose(picture.depth[wall], expected[wall], rtol=1e-5)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), yaw=st.floats(0.0, 360.0), pitch=st.floats(-60.0, 80.0), height=st.floats(17.0, 52.0))
def test_every_pixel_shows_the_first_block_on_its_ray(seed: int, yaw: float, pitch: float, height: float) -> None:
    voxels = rubble(seed)
    rng = np.random.default_rng(seed)
    eye = np.array([rng.uniform(0, 128), height, rng.uniform(0, 128)])
    start = np.floor(eye).astype(int)
    if start[1] < 48:
        voxels[start[0], start[1], start[2]] = AIR
    picture = draw(voxels, tuple(eye), yaw, pitch)
    rays = pixel_directions(yaw, pitch)

    def block_at(distance: np.ndarray | float) -> np.ndarray:
        points = np.floor(eye + rays * np.asarray(distance)[..., None]).astype(int)
        inside = (points[..., 1] >= 0) & (points[..., 1] < 48)
        found = voxels[points[..., 0] % 128, np.clip(points[..., 1], 0, 47), points[..., 2] % 128]
        return np.where(inside, found, AIR)

    seen = np.isfinite(picture.depth)
    assert np.array_equal(picture.ids != AIR, seen)
    behind = block_at(np.where(seen, picture.depth, 0.0) + 2e-4)
    # A ray along an edge may be rounded to either side of it.
    assert (seen & (behind != picture.ids)).mean() < 0.005
    reach = np.where(seen, picture.depth, 55.9) - 2e-3
    missed = np.zeros(SIZE, dtype=bool)
    for part in np.linspace(0.0, 1.0, 300):
        missed |= block_at(reach * part) != AIR
    assert missed.mean() < 0.005


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 100), turns_x=st.integers(-3, 3), turns_z=st.integers(-3, 3), yaw=st.integers(0, 359))
def test_the_world_wraps_around(seed: int, turns_x: int, turns_z: int, yaw: int) -> None:
    voxels = rubble(seed)
    animals = np.array([[3.0, 16.0, 5.0, 40.0, 0.0], [120.0, 16.0, 126.0, 90.0, 2.0]])
    # Whole and quarter blocks, which moving by 128 does not round.
    here = draw(voxels, (1.25, 17.5, 126.75), yaw, 5.0, animals=animals)
    shift = np.array([128.0 * turns_x, 0.0, 128.0 * turns_z])
    there = draw(voxels, (1.25 + shift[0], 17.5, 126.75 + shift[2]), yaw, 5.0, animals=animals)
    assert same(here, there)
    animals[:, [0, 2]] += shift[[0, 2]]
    assert same(here, draw(voxels, (1.25, 17.5, 126.75), yaw, 5.0, animals=animals))


def test_moving_the_land_and_the_eye_together_changes_nothing_seen() -> None:
    voxels = rubble(4)
    moved = np.ascontiguousarray(np.roll(voxels, (64, 37), axis=(0, 2)))
    here = draw(voxels, (100.25, 17.5, 3.5), 30.0)
    there = draw(moved, (100.25 + 64.0, 17.5, 3.5 + 37.0), 30.0)
    assert np.array_equal(here.ids, there.ids)
    np.testing.assert_allclose(here.depth, there.depth, rtol=1e-6)


@pytest.mark.parametrize("weather", [CLEAR, RAIN, SNOWFALL, FOG])
def test_same_arguments_give_the_same_picture(weather: int) -> None:
    voxels = rubble(1)
    voxels[:, GROUND, 60:70] = WATER
    animals = np.array([[64.0, 16.0, 58.0, 30.0, 1.0]])
    arguments = {
        "weather": weather,
        "tick": 77,
        "animals": animals,
        "target": (64, 16, 58),
        "held": BRICK,
        "swing": 0.4,
    }
    before = voxels.copy()
    first = draw(voxels, (64.2, 18.0, 52.1), 11.0, 4.0, **arguments)
    draw(voxels, (10.0, 20.0, 10.0), 200.0)
    assert same(first, draw(voxels, (64.2, 18.0, 52.1), 11.0, 4.0, **arguments))
    assert np.array_equal(voxels, before)


def test_the_outline_marks_the_target_alone() -> None:
    voxels = plain()
    voxels[64, GROUND, 67] = STONE
    eye = (64.5, 17.6, 64.5)
    bare = draw(voxels, eye, 0.0, 25.0)
    marked = draw(voxels, eye, 0.0, 25.0, target=(64, GROUND, 67))
    changed = np.any(bare.frame != marked.frame, axis=-1)
    height, width = SIZE
    changed[height // 2 - 2 : height // 2 + 2, width // 2 - 2 : width // 2 + 2] = False  # the crosshair's own contrast
    assert changed.any()
    assert np.all(bare.ids[changed] == STONE)
    assert np.all(marked.frame[changed].astype(int).sum(-1) < bare.frame[changed].astype(int).sum(-1))
    assert np.array_equal(bare.depth, marked.depth)
    assert changed.sum() < 0.6 * (bare.ids == STONE).sum()


def test_animals_are_seen_where_they_stand() -> None:
    animals = np.array([[66.5, 16.0, 72.5, 0.0, 0.0], [61.5, 16.0, 71.5, 200.0, 1.0]])
    picture = draw(plain(), (64.5, 17.6, 64.5), animals=animals)
    sheep, pig = picture.animal_index == 0, picture.animal_index == 1
    assert np.array_equal(picture.ids == ANIMAL_ID, picture.animal_index >= 0)
    assert columns(sheep) < SIZE[1] / 2 < columns(pig)
    assert picture.depth[sheep].mean() == pytest.approx(math.hypot(2.0, 8.0), abs=1.0)
    assert picture.depth[pig].mean() == pytest.approx(math.hypot(3.0, 7.0), abs=1.0)


def test_animals_hide_behind_walls_and_are_seen_across_the_seam() -> None:
    voxels = plain()
    animals = np.array([[64.5, 16.0, 2.5, 0.0, 2.0]])
    assert (draw(voxels, (64.5, 17.6, 123.5), animals=animals).animal_index == 0).sum() > 20
    voxels[60:70, GROUND : GROUND + 6, 126] = STONE
    assert not (draw(voxels, (64.5, 17.6, 123.5), animals=animals).animal_index == 0).any()


def test_an_animal_faces_the_way_its_yaw_says() -> None:
    def pig(yaw: float) -> tuple[np.ndarray, np.ndarray]:
        """Where the animal is seen, and where its dark eyes are."""
        picture = draw(plain(), (64.5, 17.0, 64.5), 0.0, 5.0, animals=np.array([[64.5, 16.0, 67.5, yaw, 1.0]]))
        body = picture.animal_index == 0
        return body, body & (picture.frame.max(-1) < 45)

    assert pig(180.0)[1].any()  # towards the viewer, who looks along +z
    assert not pig(0.0)[1].any()
    for yaw, side in ((90.0, 1.0), (270.0, -1.0)):  # 90 is -x, which is to the right
        body, eyes = pig(yaw)
        assert side * (columns(eyes) - columns(body)) > 3.0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 50), yaw=st.floats(0.0, 360.0), pitch=st.floats(-40.0, 80.0))
def test_aiming_meets_the_block_that_is_drawn(seed: int, yaw: float, pitch: float) -> None:
    voxels = rubble(seed)
    eye = np.array([30.4, 18.3, 90.7])
    voxels[30, 18, 90] = AIR
    direction = view_direction(yaw, pitch)
    hit, x, y, z, nx, ny, nz, distance = raycast(voxels, eye, direction, 50.0)
    # With an odd size the middle pixel looks exactly straight ahead.
    picture = draw(voxels, tuple(eye), yaw, pitch, size=(33, 33))
    assert hit == bool(picture.depth[16, 16] <= 50.0)
    if hit:
        assert voxels[x, y, z] == picture.ids[16, 16]
        assert distance == pytest.approx(picture.depth[16, 16], rel=1e-5)
        assert abs(nx) + abs(ny) + abs(nz) == 1
        assert np.dot((nx, ny, nz), direction) < 0.0
        before = eye + direction * distance + 0.5 * np.array([nx, ny, nz])
        assert tuple(np.floor(before - np.array([nx, ny, nz])).astype(int) % (128, 999, 128)) == (x, y, z)


@pytest.mark.parametrize("x", [8.0, 8.5])
def test_an_eye_just_as_high_as_the_land_is_no_trap(x: float) -> None:
    picture = draw(plain(), (x, float(GROUND), 64.0), yaw=10.0)
    np.testing.assert_array_equal(picture.ids == GRASS, pixel_directions(10.0, 0.0)[..., 1] < 0.0)


def test_raycast_passes_water_and_ends_at_its_reach() -> None:
    voxels = np.zeros(WORLD_SHAPE, dtype=np.uint8)
    voxels[:, 10:15] = WATER
    voxels[:, :10] = SAND
    eye = np.array([127.5, 16.0, 0.5])
    down = np.array([0.0, -3.0, 0.0])  # of any length
    assert raycast(voxels, eye, down, 8.0) == (True, 127, 9, 0, 0, 1, 0, pytest.approx(6.0))
    assert raycast(voxels, eye, down, 5.9) == (False, 0, 0, 0, 0, 0, 0, math.inf)
    assert not raycast(voxels, eye, np.array([0.3, 1.0, 0.2]), 100.0)[0]
    assert raycast(voxels, np.array([127.5, 12.0, 0.5]), down, 8.0)[7] == pytest.approx(2.0)  # from within the water


def test_a_flower_is_small() -> None:
    voxels = plain()
    voxels[64, GROUND, 67] = FLOWER
    picture = draw(voxels, (64.5, 17.6, 64.5), 0.0, 20.0)
    full = voxels.copy()
    full[64, GROUND, 67] = STONE
    flower, block = picture.ids == FLOWER, draw(full, (64.5, 17.6, 64.5), 0.0, 20.0).ids == STONE
    assert 0 < flower.sum() < 0.35 * block.sum()
    assert np.all(block[flower])


@pytest.mark.parametrize("clear", [WATER, GLASS])
def test_one_sees_through_water_and_glass(clear: int) -> None:
    frames = []
    for floor in (SAND, BRICK):
        voxels = plain()
        voxels[:, GROUND - 2] = floor
        voxels[:, GROUND - 1] = clear
        picture = draw(voxels, (64.5, 17.6, 64.5), 0.0, 60.0)
        near = picture.depth < 3.0
        assert np.all(picture.ids[near] == clear)
        frames.append(picture.frame.astype(int))
    assert np.abs(frames[0] - frames[1])[near].mean() > 8.0


def test_under_water_everything_turns_blue() -> None:
    voxels = plain()
    voxels[:, GROUND : GROUND + 4] = WATER
    frame = draw(voxels, (64.5, GROUND + 2.5, 64.5)).frame.astype(int)
    assert frame[..., 2].mean() > 1.5 * frame[..., 0].mean()


def test_only_sky_water_and_weather_move_by_themselves() -> None:
    voxels = rubble(2)
    early, late = (draw(voxels, (64.5, 20.0, 64.5), 40.0, 10.0, tick=tick) for tick in (0, 500))
    land = np.isfinite(early.depth)
    assert np.array_equal(early.frame[land], late.frame[land])
    assert not np.array_equal(early.frame[~land], late.frame[~land])
    rain, later = (draw(voxels, (64.5, 20.0, 64.5), 40.0, 10.0, tick=tick, weather=RAIN) for tick in (0, 1))
    assert not np.array_equal(rain.frame[land], later.frame[land])


@pytest.mark.parametrize("weather", [RAIN, SNOWFALL, FOG])
def test_weather_changes_the_frame_and_not_the_land(weather: int) -> None:
    voxels = rubble(3)
    clear, other = (draw(voxels, (64.5, 20.0, 64.5), 40.0, 10.0, weather=kind) for kind in (CLEAR, weather))
    near = clear.depth < 18.0
    assert np.array_equal(clear.depth[near], other.depth[near])
    assert np.array_equal(clear.ids[near], other.ids[near])
    assert not np.array_equal(clear.frame, other.frame)


def test_fog_hides_what_is_far() -> None:
    voxels = plain()
    voxels[:, GROUND : GROUND + 8, 90] = BRICK
    seen = {weather: draw(voxels, (64.5, 18.0, 66.5), weather=weather).ids == BRICK for weather in (CLEAR, FOG)}
    assert seen[CLEAR].sum() > 100
    assert not seen[FOG].any()


def test_night_is_dark_but_legible() -> None:
    voxels = rubble(5)
    noon, night = (draw(voxels, (64.5, 20.0, 64.5), 0.0, 15.0, time=time) for time in (NOON, MIDNIGHT))
    land = np.isfinite(noon.depth)
    assert noon.frame[land].mean() > 2.0 * night.frame[land].mean()
    assert night.frame[land].mean() > 20.0
    assert night.frame[land].std() > 8.0


def test_dawn_glows_in_the_east_and_dusk_in_the_west() -> None:
    voxels = plain()

    def warmth(time: float, yaw: float) -> float:
        picture = draw(voxels, (64.5, 18.0, 64.5), yaw, -5.0, time=time)
        sky = picture.frame[~np.isfinite(picture.depth)].astype(float)
        return float((sky[:, 0] - sky[:, 2]).mean())

    east, west = 270.0, 90.0
    assert warmth(0.25, east) > warmth(0.25, west) + 10.0
    assert warmth(0.75, west) > warmth(0.75, east) + 10.0


def test_the_hand_is_at_the_lower_right_and_moves_when_it_strikes() -> None:
    voxels = plain()
    bare, still, stroke = (
        draw(voxels, (64.5, 18.0, 64.5), held=held, swing=swing)
        for held, swing in ((AIR, 0.0), (BRICK, 0.0), (BRICK, 0.5))
    )
    changed = np.any(bare.frame != still.frame, axis=-1)
    assert changed.any()
    assert not changed[: SIZE[0] // 2].any()
    assert not changed[:, : SIZE[1] // 2].any()
    assert columns(np.any(bare.frame != stroke.frame, axis=-1)) < columns(changed)
    assert np.array_equal(bare.ids, still.ids)


def test_kinds_of_blocks_can_be_told_apart_by_colour() -> None:
    means = TEXTURES[1:, 1, OFFSETS[-1], OFFSETS[-1], :3].astype(float)
    for a in range(len(means)):
        for b in range(a):
            distance = np.linalg.norm(means[a] - means[b])
            assert distance > 10.0, f"{BLOCK_NAMES[a + 1]} and {BLOCK_NAMES[b + 1]} look alike"


def test_far_away_a_texture_is_its_mean() -> None:
    """No flicker: the farther a wall, the flatter its pattern, and never another mean colour."""
    coarse = TEXTURES[:, :, OFFSETS[-1], OFFSETS[-1], :3].astype(float)
    weight = TEXTURES[:, :, :16, :16, 3:].astype(float)
    fine = (TEXTURES[:, :, :16, :16, :3] * weight).sum((2, 3)) / weight.sum((2, 3))
    np.testing.assert_allclose(coarse, fine, atol=1.5)
    voxels = np.zeros(WORLD_SHAPE, dtype=np.uint8)
    voxels[:, :, 100:104] = PLANKS
    contrast = []
    for distance in (2.0, 10.0, 25.0):
        frame = draw(voxels, (64.5, 24.0, 100.0 - distance)).frame.astype(float)[20:30, 30:50, 0]
        contrast.append(frame.std() / frame.mean())
    assert contrast[0] > 2.0 * contrast[1] > 2.0 * contrast[2]
    assert contrast[2] < 0.02


def test_walking_over_a_meadow_is_visible() -> None:
    here, there = (draw(plain(), (64.5, 17.62, 64.5 + step), 0.0, 15.0).frame.astype(int) for step in (0.0, 0.21))
    ground = np.abs(here - there)[SIZE[0] // 2 + 4 :]
    assert (ground.max(-1) >= 4).mean() > 0.15

"""Keys become elements of any playable action space; the mouse becomes bounded degrees without losing movement."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
from gymnasium import spaces

from worldsim.envs.crafter import CrafterSimEnv
from worldsim.play.keymap import CARRY_TICKS, CHOICES, PLACE_STEP, Keymap, MouseLook

KEYS = ("forward", "back", "left", "right", "jump", "sneak", "break", "place")
BLOCKS = spaces.Dict(
    OrderedDict(
        [
            *((key, spaces.Discrete(2)) for key in KEYS),
            ("hotbar", spaces.Discrete(9)),
            ("camera", spaces.Box(-10, 10, (2,), np.float32)),
        ]
    )
)


def test_every_key_of_the_block_world_does_its_own_thing_only() -> None:
    keymap = Keymap(BLOCKS)
    still = keymap.action(())
    assert BLOCKS.contains(still)
    assert all(still[key] == 0 for key in KEYS)
    np.testing.assert_array_equal(still["camera"], [0, 0])
    pressed = ("w", "s", "a", "d", "space", "left shift", "mouse left", "mouse right")
    for key, name in zip(pressed, KEYS, strict=True):
        action = keymap.action({key})
        assert BLOCKS.contains(action)
        assert [part for part in KEYS if action[part]] == [name]


def test_the_hotbar_slot_stays_until_another_is_chosen_and_the_wheel_goes_round() -> None:
    keymap = Keymap(BLOCKS)
    assert keymap.action({"4"})["hotbar"] == 3
    assert keymap.action(())["hotbar"] == 3
    keymap.turn_wheel(-4)
    assert keymap.action(())["hotbar"] == 8
    keymap.turn_wheel(1)
    assert keymap.action(())["hotbar"] == 0


def test_mouse_movement_is_degrees_to_the_right_and_down() -> None:
    keymap = Keymap(BLOCKS)
    assert keymap.look is not None
    keymap.look.move(20, -10)
    np.testing.assert_allclose(keymap.action(())["camera"], [3.0, -1.5], rtol=1e-6)
    np.testing.assert_array_equal(keymap.action(())["camera"], [0, 0])


def test_a_flick_is_clipped_each_tick_and_carried_on_up_to_a_bound() -> None:
    look = MouseLook(limit=10, degrees_per_pixel=0.1)
    look.move(250, 0)
    turns = [float(look.take()[0]) for _ in range(4)]
    assert turns == [10, 10, 5, 0]
    look.move(100_000, 0)
    assert sum(float(look.take()[0]) for _ in range(20)) == pytest.approx(10 * CARRY_TICKS)


def test_directions_push_the_first_two_numbers_of_a_box() -> None:
    space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    keymap = Keymap(space)
    for keys, expected in (
        ((), (0, 0)),
        ({"right"}, (1, 0)),
        ({"a", "up"}, (-1, 1)),
        ({"s"}, (0, -1)),
        ({"left", "right"}, (0, 0)),
    ):
        action = keymap.action(keys)
        assert space.contains(action)
        np.testing.assert_array_equal(action, expected)


def test_unbounded_and_lopsided_boxes_get_values_inside() -> None:
    for space in (spaces.Box(-np.inf, np.inf, (3,), np.float32), spaces.Box(5, 9, (3,), np.float32)):
        keymap = Keymap(space)
        for keys in ((), {"right"}, {"left", "up"}):
            assert space.contains(keymap.action(keys))
    np.testing.assert_array_equal(keymap.action({"right"}), [9, 7, 7])


def test_digits_choose_from_a_discrete_space_and_no_key_is_its_first_action() -> None:
    space = spaces.Discrete(4, start=-1)
    keymap = Keymap(space)
    assert [int(keymap.action(keys)) for keys in ((), {"1"}, {"2"}, {"3"}, {"4"})] == [-1, 0, 1, 2, -1]


def test_crafter_has_keys_for_all_that_one_does_there() -> None:
    space = spaces.Discrete(17)
    keymap = Keymap(space, "worldsim/CrafterSim-v0")
    held = [
        (),
        {"a"},
        {"right"},
        {"w"},
        {"s"},
        {"space"},
        {"z"},
        {"q"},
        {"e"},
        {"f"},
        {"x"},
        *({str(n)} for n in range(1, 7)),
    ]
    assert [int(keymap.action(keys)) for keys in held] == list(range(17))
    assert int(keymap.action({"a", "space"})) == 5  # collecting goes before walking
    assert ("E", "place a table") in keymap.help
    assert Keymap(spaces.Discrete(3), "worldsim/CrafterSim-v0").action({"2"}) == 2  # another space: as any other


def test_the_mouse_or_arrows_say_where_to_go_where_actions_are_places() -> None:
    space = spaces.Box(0.0, 512.0, (2,), np.float32)
    keymap = Keymap(space, "worldsim/PushTSim-v0")
    np.testing.assert_allclose(keymap.action(()), [256, 256])
    keymap.point(0.25, 1.5)  # below the picture
    np.testing.assert_allclose(keymap.action(()), [128, 512])
    keymap.action({"up", "d"})
    np.testing.assert_allclose(keymap.action(()), [128 + 512 * PLACE_STEP, 512 * (1 - PLACE_STEP)], rtol=1e-6)
    assert all(space.contains(keymap.action({"right", "s"})) for _ in range(40))
    np.testing.assert_allclose(keymap.action({"left", "right"}), [512, 512])  # and there it stays


def test_the_keys_of_crafter_are_those_of_its_actions() -> None:
    words = [
        "left",
        "right",
        "up",
        "down",
        "sleep",
        "table",
        "furnace",
        "plant",
        "stone",
        "iron",
        "wood",
        "pickaxe",
        "sword",
    ]
    for name, (_, told) in zip(CrafterSimEnv().action_names, CHOICES["worldsim/CrafterSim-v0"], strict=True):
        for word in words:
            assert (word in name) == (word in told), (name, told)


def test_switches_of_many_valued_spaces() -> None:
    many = spaces.MultiDiscrete([3, 2, 1])
    np.testing.assert_array_equal(Keymap(many).action({"1", "3"}), [1, 0, 0])
    assert many.contains(Keymap(many).action({"1", "2", "3"}))
    binary = spaces.MultiBinary(4)
    np.testing.assert_array_equal(Keymap(binary).action({"2", "4"}), [0, 1, 0, 1])


def test_unnamed_parts_of_a_dict_share_digits_and_arrows_without_clashing() -> None:
    space = spaces.Dict(
        OrderedDict(
            honk=spaces.Discrete(2),
            gear=spaces.Discrete(3),
            steer=spaces.Box(-1, 1, (2,)),
            lights=spaces.MultiBinary(2),
        )
    )
    keymap = Keymap(space)
    action = keymap.action({"1", "3", "4", "right"})
    assert space.contains(action)
    assert (action["honk"], action["gear"]) == (1, 2)
    np.testing.assert_array_equal(action["steer"], [1, 0])
    np.testing.assert_array_equal(action["lights"], [1, 0])


def test_a_space_without_keys_says_so() -> None:
    with pytest.raises(ValueError, match=r"no keys for an action space of type Text.*--headless"):
        Keymap(spaces.Text(5))

"""Every pixel is looked up where it was drawn, however often it has moved since."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from worldsim.model.motion import carried, places_before
from worldsim.model.shown import FRAMES, Shown
from worldsim.model.surroundings import Surroundings

HEIGHT, WIDTH = 32, 48


def noise(lanes: int = 1) -> Tensor:
    """Frames of pixels that have nothing to do with each other, which show any blur."""
    return torch.from_numpy(np.random.default_rng(lanes).integers(0, 256, (lanes, HEIGHT, WIDTH, 3), np.uint8))


def shift(right: float, below: float = 0.0) -> Tensor:
    """Places in the frame before if all has moved to the left and up by so many pixels, (1, H, W, 2)."""
    return places_before(torch.tensor([right, below], dtype=torch.float32).expand(1, HEIGHT // 4, WIDTH // 4, 2))


def as_frames(moved: Tensor) -> Tensor:
    return (255 * moved[..., :3]).round().to(torch.uint8)


def lead(shown: Shown, ways: list[Tensor]) -> Tensor:
    """Frames of which all that is carried is kept, and what comes into view is grey; the last of them."""
    for way in ways:
        moved = shown.carried(way)
        frame = torch.where(moved[..., 3:] > 0, as_frames(moved), 128)
        shown.remember(frame, moved)
    return frame


def test_what_moves_by_parts_of_a_pixel_is_not_blurred_each_time() -> None:
    frame = noise()
    shown = Shown.empty(frame)
    there = lead(shown, [shift(0.3)] * 40)  # 12 pixels in all
    assert (there[:, :, : WIDTH - 13].int() - frame[:, :, 12:-1].int()).abs().max() <= 1
    looked_up_each_time = frame
    for _ in range(40):
        looked_up_each_time = as_frames(carried(looked_up_each_time, shift(0.3)))
    assert (looked_up_each_time[:, :, : WIDTH - 13].int() - frame[:, :, 12:-1].int()).abs().float().mean() > 30


@pytest.mark.parametrize("speed", [0.2, 0.5, 0.8, -0.3])
def test_what_was_drawn_in_a_later_frame_moves_on_as_a_whole(speed: float) -> None:
    frame = torch.full((1, HEIGHT, WIDTH, 3), 100, dtype=torch.uint8)
    shown = Shown.empty(frame)
    moved = shown.carried(shift(0.0))
    drawn = frame.clone()
    drawn[:, 10:20, 20:28] = 7  # over what the first frame showed
    shown.remember(drawn, moved)
    there = lead(shown, [shift(speed)] * round(10 / abs(speed)))
    middle = 20 - round(10 * speed / abs(speed))
    assert (there[:, 11:19, middle + 1 : middle + 7] == 7).all()
    assert 70 <= (there[..., 0] == 7).sum() <= 90, "it neither grows nor shrinks: 80 pixels"


def test_what_was_drawn_long_ago_is_still_there() -> None:
    frame = noise()
    shown = Shown.empty(frame)
    there = lead(shown, [shift(0.0)] * (2 * FRAMES + 5))
    assert torch.equal(there, frame)
    moved = shown.carried(shift(1.0))
    assert (as_frames(moved)[:, :, :-1].int() - frame[:, :, 1:].int()).abs().max() <= 1


def test_what_is_beyond_the_edge_is_marked() -> None:
    moved = Shown.empty(noise()).carried(shift(5.0, -3.0))
    assert moved.shape == (1, HEIGHT, WIDTH, 4)
    assert moved[:, 3:, : WIDTH - 5, 3].min() == 1
    assert moved[:, :3, :, 3].max() == moved[:, :, WIDTH - 5 :, 3].max() == 0


@pytest.mark.parametrize("view", [None, 70.0])
def test_lanes_do_not_see_each_other(view: float | None) -> None:
    frames, rng = noise(5), np.random.default_rng(0)
    ways = [torch.cat([shift(*rng.uniform(-3, 3, 2)) for _ in range(5)]) for _ in range(6)]

    def run(lanes: list[int]) -> Tensor:
        shown = Shown.empty(frames[lanes], view)
        for way in ways:
            moved = shown.carried(way[lanes])
            shown.remember(as_frames(moved), moved)
        return moved

    together = run([0, 1, 2, 3, 4])
    for lane in range(5):
        assert torch.equal(run([lane])[0], together[lane])


def test_a_lane_begins_anew_alone() -> None:
    shown = Shown.empty(noise(2))
    lead(shown, [torch.cat([shift(0.7), shift(-0.4)])] * 3)
    fresh = noise(3)[2:]
    shown.put([1], Shown.empty(fresh))
    way = shift(0.25)
    both = shown.carried(way.expand(2, -1, -1, -1))
    assert torch.equal(both[1], Shown.empty(fresh).carried(way)[0])
    assert not torch.equal(both[0], both[1])


def test_an_overlay_stays_and_what_it_hides_moves_on_behind_it() -> None:
    overlay = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    overlay[10:20, 20:24] = True
    frame = noise()
    frame[:, overlay] = 200
    shown = Shown.empty(frame, overlay=overlay)
    moved = shown.carried(shift(2.0))
    known = moved[..., 3] > 0
    assert (moved[:, overlay, :3] * 255 == 200).all()
    assert (moved[:, overlay, 3] == 1).all()
    assert not known[:, 10:20, 18:20].any(), "what had been behind it is not known, and it is not drawn along"
    assert torch.equal(as_frames(moved)[:, 10:20, 24:30], frame[:, 10:20, 26:32])
    # What passes behind it comes out on the other side.
    there = as_frames(moved)
    there[~known] = 128
    shown.remember(there, moved)
    there = lead(shown, [shift(2.0)] * 4)
    assert (there[:, overlay] == 200).all()
    assert torch.equal(there[:, 10:20, 14:18], frame[:, 10:20, 24:28])
    assert (there[:, 10:20, 10:14] == 128).all()


def test_pictures_of_other_directions_do_not_show_what_lies_over_them() -> None:
    overlay = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    overlay[:, WIDTH // 2 :] = True
    surroundings = Surroundings.empty(noise(), 70.0)
    unknown = torch.zeros(1, HEIGHT, WIDTH, 4)
    filled = surroundings.filled(unknown, shift(0.0), overlay)
    assert (filled[:, 1:-1, 1 : WIDTH // 2 - 1, 3] == 1).all()
    assert (filled[:, :, WIDTH // 2 :, 3] == 0).all()


@pytest.mark.parametrize("speed", [0.3, -0.7])
def test_nothing_takes_colours_from_the_overlay(speed: float) -> None:
    overlay = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    overlay[10:20, 20:30] = True
    frame = torch.zeros(1, HEIGHT, WIDTH, 3, dtype=torch.uint8)
    frame[:, overlay] = 255
    shown = Shown.empty(frame, overlay=overlay)
    for _ in range(20):
        moved = shown.carried(shift(speed))
        there = torch.where(moved[..., 3:] > 0, as_frames(moved), 0)
        assert (there[:, ~overlay] <= 3).all()
        assert (there[:, overlay] == 255).all()
        shown.remember(there, moved)


def test_frames_that_replace_what_was_made_are_what_comes_back_into_view() -> None:
    made, true = noise(), noise(2)[1:]
    shown = Shown.empty(noise(3)[2:], 70.0)
    still = shift(0.0)
    shown.remember(made, shown.carried(still))
    shown.replace(true)
    assert torch.equal(as_frames(shown.carried(still)), true)
    assert shown.surroundings is not None
    kept = shown.surroundings.frames[0, shown.surroundings.shown[0] >= 0]
    assert [torch.equal(picture, true[0]) for picture in kept] == [True]

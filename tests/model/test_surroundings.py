"""What was shown in other directions comes back when the camera turns back."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from worldsim.model.motion import carried
from worldsim.model.surroundings import PICTURES, Surroundings

VIEW, HEIGHT, WIDTH = 70.0, 40, 64
SLOPE = math.tan(math.radians(VIEW / 2))


def turned(yaw: float, pitch: float = 0.0) -> Tensor:
    """From the axes (right, down, ahead) of a camera that looks so far to the right and down to those of the world."""
    y, p = math.radians(yaw), math.radians(pitch)
    about_down = torch.tensor([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
    about_right = torch.tensor([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    return about_down @ about_right


def rays() -> Tensor:
    x = (2 * torch.arange(WIDTH) + 1) / WIDTH - 1
    y = (2 * torch.arange(HEIGHT) + 1) / HEIGHT - 1
    x, y = torch.broadcast_tensors(x * SLOPE * WIDTH / HEIGHT, y[:, None] * SLOPE)
    return torch.stack([x, y, torch.ones_like(x)], -1)


def picture(camera: Tensor) -> Tensor:
    """A smooth sphere seen by a camera, uint8 (H, W, 3)."""
    along = torch.nn.functional.normalize(rays(), dim=-1) @ camera.T
    colours = 0.5 + 0.5 * torch.sin(torch.stack([3 * along[..., 0], 4 * along[..., 1], 3 * along[..., 2]], -1))
    return (255 * colours).round().to(torch.uint8)


def places(before: Tensor, now: Tensor) -> Tensor:
    """Where what the camera sees now was in the picture before, float32 (H, W, 2)."""
    along = rays() @ now.T @ before
    return along[..., :2] / along[..., 2:] / torch.tensor([SLOPE * WIDTH / HEIGHT, SLOPE])


def lead(surroundings: Surroundings, frames: Tensor, led: Tensor) -> Tensor:
    """What is carried of frames (lanes, H, W, 3) by places (lanes, H, W, 2), with what is not in view in them."""
    return surroundings.filled(carried(frames, led), led)


def look(cameras: list[Tensor]) -> tuple[Tensor, Tensor]:
    """What is carried into the last view (H, W, 4), and that view."""
    surroundings = Surroundings.empty(picture(cameras[0])[None], VIEW)
    for before, now in pairwise(cameras):
        moved = lead(surroundings, picture(before)[None], places(before, now)[None])
        surroundings.remember(picture(now)[None])
    return moved[0], picture(cameras[-1])


@pytest.mark.parametrize("pitch", [0.0, 15.0])
@pytest.mark.parametrize("rate", [1, 3, 10])
def test_what_comes_into_view_again_is_as_it_was(pitch: float, rate: int) -> None:
    yaws = [*range(0, 60, rate), *range(60, -1, -rate)]
    moved, truth = look([turned(yaw, pitch) for yaw in yaws])
    # A slow turn lets an older picture stand for those beside it.
    assert (moved[..., 3] > 0).float().mean() > 0.95
    there = moved[..., 3] > 0
    assert (moved[..., :3] * 255 - truth)[there].abs().mean() < 2.5


def test_what_was_never_in_view_is_not_known() -> None:
    moved, _ = look([turned(yaw) for yaw in (0, 10)])
    unknown = moved[..., 3] == 0
    assert unknown[:, -4:].all()
    assert not unknown[:, : WIDTH // 2].any()


def test_a_hand_that_stays_and_a_walking_animal_do_not_turn_the_camera() -> None:
    before, now = turned(0), turned(8, 3)
    surroundings = Surroundings.empty(picture(before)[None], VIEW)
    flow = places(before, now)
    still = places(now, now)
    flow[-14:, -20:] = still[-14:, -20:]
    flow[10:20, 5:15] += 0.1
    lead(surroundings, picture(before)[None], flow[None])
    angle = torch.rad2deg((((surroundings.turn[0] * (before.T @ now)).sum() - 1) / 2).clamp(-1, 1).arccos())
    assert angle < 0.2


def test_a_full_memory_forgets_what_is_oldest_and_newer_pictures_replace_older_ones() -> None:
    cameras = [turned(yaw) for yaw in range(0, 9 * (PICTURES + 5), 9)]
    surroundings = Surroundings.empty(picture(cameras[0])[None], VIEW)
    for before, now in pairwise(cameras):
        lead(surroundings, picture(before)[None], places(before, now)[None])
        surroundings.remember(picture(now)[None])
    assert (surroundings.shown >= 0).all()
    assert surroundings.shown.min() > 1
    white = torch.full_like(surroundings.frames[:, 0], 255)
    surroundings.remember(white)
    assert (surroundings.frames == 255).all((2, 3, 4)).sum() == 1
    assert surroundings.shown.max() == surroundings.step


def test_lanes_do_not_see_each_other() -> None:
    def run(yaws: list[list[int]]) -> list[np.ndarray]:
        first = torch.stack([picture(turned(lane[0])) for lane in yaws])
        surroundings = Surroundings.empty(first, VIEW)
        for step in range(1, len(yaws[0])):
            views = [(turned(lane[step - 1]), turned(lane[step])) for lane in yaws]
            shown = torch.stack([picture(before) for before, _ in views])
            moved = lead(surroundings, shown, torch.stack([places(*view) for view in views]))
            surroundings.remember(torch.stack([picture(now) for _, now in views]))
        return [moved.numpy(), surroundings.turn.numpy()]

    some = [0, 7, 14, 30, 22, 9, 3], [0, 0, -9, -20, -20, -12, 4], [5, 1, -6, 0, 6, 12, 20]
    together = run([*some, *[some[1]] * 30])
    for number, lane in enumerate(some):
        alone = run([lane])
        assert all(np.array_equal(one[0], all_[number]) for one, all_ in zip(alone, together, strict=True))


def test_ahead_lies_what_comes_into_view_if_the_camera_turns_on() -> None:
    cameras = [turned(0), turned(0), turned(8), turned(8)]
    surroundings = Surroundings.empty(torch.stack([picture(cameras[0]), picture(cameras[1])]), VIEW)
    led = torch.stack([places(cameras[0], cameras[2]), places(cameras[1], cameras[1])])  # the second does not turn
    moved = lead(surroundings, torch.stack([picture(cameras[0]), picture(cameras[1])]), led)
    view, turn = surroundings.ahead(moved)
    torch.testing.assert_close(turn[0], turned(8 + 6 * 8), atol=2e-3, rtol=0)
    torch.testing.assert_close(turn[1], torch.eye(3), atol=1e-4, rtol=0)
    there = view[0, ..., 3] > 0
    assert 0.2 < there.float().mean() < 0.5
    assert there[:, 0].all()
    assert not there[:, -1].any()
    true = picture(turned(56)).float() / 255
    assert (view[0, ..., :3] - true)[there].abs().mean() < 0.02
    assert (view[1, ..., 3] > 0).float().mean() > 0.9

    surroundings.keep(torch.stack([picture(turned(56)), picture(turned(0))]), turn)  # somebody has painted it
    later = lead(
        surroundings,
        torch.stack([picture(turned(40)), picture(turned(0))]),
        torch.stack([places(turned(8), turned(40)), led[1]]),
    )
    known = later[0, ..., 3] > 0
    assert known.float().mean() > 0.95
    off = (later[0, ..., :3] - picture(turned(40)).float() / 255)[known & (led[0].abs() > 1).any(-1)]
    assert off.abs().mean() < 0.05

"""Clips that go on from what the model made."""

import math
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F

from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.model.motion import pixel_places, places_before
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig
from worldsim.training.own_clips import going_on


def test_what_goes_on_is_led_by_the_motion_of_what_was_made() -> None:
    """A dot that is made to move by 2 pixels a frame, to the right; in the recording it stands still."""
    tokenizer = Tokenizer(TokenizerConfig(channels=64, layers=1, fine_channels=64, fine_layers=1))
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(64, 3, 6, 10), (48, 80), mode="bicubic").clamp(0, 1)
    tokenizer.fit((255 * smooth).byte().permute(0, 2, 3, 1))
    picture = (255 * smooth[:1]).byte().permute(0, 2, 3, 1)
    dynamics = Dynamics(
        DynamicsConfig(action_dim=2, policy_logits=2, channels=32, heads=2, time_every=1, layers=1, sees_motion=True)
    )
    recorded = torch.zeros(3, 4, 12, 16, 2)
    recorded[2] = 9.0  # a clip that does not go on
    made = torch.zeros(2, 4, 3, 4, 64)

    def batches() -> Iterator[dict[str, torch.Tensor]]:
        for left, age in zip((8, 6, 4, 2), ([0, 0], [1, 0], [2, 1], [3, 2]), strict=True):
            now = picture[:, :, left : left + 64].expand(2, -1, -1, -1)
            made[:, -1] = tokenizer.encode(now)
            yield {"motion": recorded, "age": torch.tensor(age), "before": now}

    led = going_on(batches(), made, torch.zeros(2, 48, 64, 2), dynamics, tokenizer)
    seen = [batch["seen"][..., 0].mean((2, 3)) for batch in led]
    for step, (first, second) in enumerate([([], []), ([2], []), ([1, 2], [2]), ([0, 1, 2], [1, 2])]):
        for clip, moved in enumerate((first, second)):
            expected = [-2.0 if t in moved else 0.0 for t in range(4)]
            assert seen[step][clip].tolist() == pytest.approx(expected, abs=0.5), (step, clip)
        assert (seen[step][2] == 9).all()


@pytest.mark.parametrize("field_of_view", [None, 70.0])
def test_what_goes_on_is_drawn_on_what_was_shown(field_of_view: float | None) -> None:
    """As a World does: the frame before, moved, where that fits; here everywhere, to 16 pixels further right."""
    tokenizer = Tokenizer(TokenizerConfig(channels=64, layers=1, fine_channels=64, fine_layers=1, carries=True))
    torch.manual_seed(0)
    tokenizer.fit((255 * torch.rand(64, 48, 64, 3)).byte())
    dynamics = Dynamics(DynamicsConfig(action_dim=2, policy_logits=2, channels=32, heads=2, time_every=1, layers=1))
    recorded = (255 * torch.rand(3, 2, 48, 64, 3)).byte()  # by batches
    made = torch.zeros(2, 4, 3, 4, 64)
    places = places_before(torch.zeros(2, 12, 16, 2) - torch.tensor([16.0, 0.0]))

    def batches() -> Iterator[dict[str, torch.Tensor]]:
        for age, before in zip(([0, 0], [1, 0], [2, 1]), recorded, strict=True):
            yield {"motion": torch.zeros(3, 4, 12, 16, 2), "age": torch.tensor(age), "before": before}

    led = going_on(batches(), made, places, dynamics, tokenizer, field_of_view)
    assert "before" not in next(led)
    assert not made.any(), "nothing goes on yet"
    for clip, shown in ((0, recorded[0, 0, :, :48]), (0, recorded[0, 0, :, :32]), (1, recorded[1, 1, :, :48])):
        if clip == 0:
            made[:, -1] = 0
            next(led)
        width = shown.shape[1] // 16
        expected = tokenizer.encode(shown[None])[0]
        torch.testing.assert_close(made[clip, -1, :, 4 - width :], expected, atol=1e-3, rtol=1e-3)


def test_what_goes_on_shows_again_what_it_turned_away_from() -> None:
    tokenizer = Tokenizer(TokenizerConfig(channels=64, layers=1, fine_channels=64, fine_layers=1, carries=True))
    torch.manual_seed(0)
    recorded = (255 * F.interpolate(torch.rand(40, 3, 5, 7), (48, 64), mode="bilinear")).byte().permute(0, 2, 3, 1)
    tokenizer.fit(recorded)
    dynamics = Dynamics(DynamicsConfig(action_dim=2, policy_logits=2, channels=32, heads=2, time_every=1, layers=1))
    made, places = torch.zeros(2, 4, 3, 4, 64), torch.zeros(2, 48, 64, 2)

    def batches() -> Iterator[dict[str, torch.Tensor]]:
        for age in ([0, 0], [1, 1], [2, 0], [3, 1]):
            yield {"motion": torch.zeros(2, 4, 12, 16, 2), "age": torch.tensor(age), "before": recorded[: len(age)]}

    def turn(degrees: float) -> torch.Tensor:
        angles = torch.deg2rad(torch.tensor(degrees))
        slope = math.tan(math.radians(35))
        now = pixel_places(48, 64, torch.device("cpu")) * torch.tensor([slope * 64 / 48, slope])
        ahead = angles.cos() - now[..., 0] * angles.sin()
        before = torch.stack([now[..., 0] * angles.cos() + angles.sin(), now[..., 1]], -1) / ahead[..., None]
        return before / torch.tensor([slope * 64 / 48, slope])

    led = going_on(batches(), made, places, dynamics, tokenizer, 70.0)
    next(led)
    for degrees in (12.0, 0.0, -12.0):
        places[:] = turn(degrees)
        made[:, -1] = 0
        next(led)
    again = tokenizer.encode(recorded[:2])
    left = slice(0, 1)  # was out of view, of the first clip; the second began anew when it was
    assert (made[0, -1, :, left] - again[0, :, left]).abs().mean() < 0.1
    assert (made[1, -1, :, left] - again[1, :, left]).abs().mean() > 0.3

"""The energy score: least for samples that are spread as the truth is, and fit together as it does."""

import pytest
import torch

from worldsim.model.scores import energy_score


def twice(frames: torch.Tensor) -> torch.Tensor:
    """Frames (n, h, w, c) as clips of one frame, each twice, side by side."""
    return frames[:, None].repeat_interleave(2, 0)


def test_samples_are_spread_as_the_truth_is() -> None:
    torch.manual_seed(0)
    middle, spread = torch.zeros(1, requires_grad=True), torch.full((1,), 0.3, requires_grad=True)
    optimizer = torch.optim.Adam([middle, spread], 0.05)
    for _ in range(300):
        true = twice(1 + 2 * torch.randn(64, 2, 2, 3))
        loss = energy_score(middle + spread * torch.randn_like(true), true).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert middle.item() == pytest.approx(1, abs=0.2)
    assert spread.item() == pytest.approx(0.95 * 2, rel=0.08)


def test_tokens_that_vary_together_are_to_be_made_together() -> None:
    torch.manual_seed(0)
    true = torch.randn(500, 1, 1, 3).expand(-1, 4, 6, -1)
    alike, apart = torch.randn(1000, 1, 1, 1, 3).expand(-1, -1, 4, 6, -1), torch.randn(1000, 1, 4, 6, 3)
    assert energy_score(alike, twice(true)).mean() < 0.95 * energy_score(apart, twice(true)).mean()
    true = torch.randn(500, 4, 6, 3)
    assert energy_score(apart, twice(true)).mean() < 0.95 * energy_score(alike, twice(true)).mean()


def test_a_certain_and_right_prediction_costs_nothing_and_a_wrong_one_what_it_is_away() -> None:
    torch.manual_seed(0)
    true = torch.randn(3, 5, 3, 4, 4).repeat_interleave(2, 0)
    score = energy_score(true, true)
    assert score.shape == (3, 5)
    assert score.abs().max() < 0.03
    scores = []
    for away in (2, 4):
        torch.manual_seed(1)  # the same directions
        scores.append(energy_score(true + away, true))
    torch.testing.assert_close(scores[1], 2 * scores[0], rtol=0.02, atol=0)


def test_only_the_frame_that_is_wrong_costs_something() -> None:
    torch.manual_seed(0)
    true = torch.randn(3, 5, 3, 4, 4).repeat_interleave(2, 0)
    made = true.clone()
    made[3, 4] += 1  # the second prediction of clip 1
    wrong = energy_score(made, true) > 0.03
    assert wrong.nonzero().tolist() == [[1, 4]]

"""Rewards are told by shares of a few values: small ones and great ones come back as they were."""

import numpy as np
import pytest
import torch

from worldsim.model.rewards import expected_reward, reward_loss, reward_values, shares


def mixed_rewards() -> np.ndarray:
    """Mostly steps of some hundredth, and now and then a 1 for having arrived, as BallsGoalSim gives."""
    rng = np.random.default_rng(0)
    steps = rng.normal(0, 0.01, 5000)
    steps[::100] += 1
    return steps.astype(np.float32)


@pytest.mark.parametrize(
    ("recorded", "values"),
    [
        (np.zeros(10), [0.0]),
        (np.zeros(0), [0.0]),
        (np.array([1.0, 0.0, 1.0]), [0.0, 1.0]),
        (np.array([-0.5, 2.0]), [-0.5, 0.0, 2.0]),
    ],
)
def test_few_rewards_are_told_by_themselves(recorded: np.ndarray, values: list[float]) -> None:
    assert reward_values(recorded) == values


def test_many_rewards_are_told_by_values_that_lie_densest_where_most_are() -> None:
    recorded = mixed_rewards()
    values = reward_values(recorded)
    assert len(values) <= 64
    assert 0.0 in values
    assert values == sorted(values)
    assert values[0] == pytest.approx(recorded.min())
    assert values[-1] == pytest.approx(recorded.max())
    assert sum(abs(value) < 0.03 for value in values) > 20
    assert sum(value > 0.5 for value in values) >= 3


def test_what_is_told_by_shares_comes_back() -> None:
    recorded = mixed_rewards()
    values = reward_values(recorded)
    told = shares(torch.from_numpy(recorded), values)
    assert torch.allclose(told.sum(-1), torch.ones(len(recorded)), atol=1e-5)
    assert ((told > 0).sum(-1) <= 2).all()
    back = expected_reward(told.clamp_min(1e-12).log(), values)
    assert (back - torch.from_numpy(recorded)).abs().max() < 1e-5
    beyond = expected_reward(shares(torch.tensor([-9.0, 9.0]), values).clamp_min(1e-12).log(), values)
    assert beyond.tolist() == pytest.approx([values[0], values[-1]], abs=1e-5)


def test_small_rewards_are_learned_beside_great_ones() -> None:
    # Three kinds of moments: a hundredth forth, a hundredth back, and arriving in one of four cases.
    torch.manual_seed(0)
    kind = torch.arange(4000) % 3
    given = torch.tensor([0.01, -0.01, 0.0])[kind] + (kind == 2) * (torch.rand(4000) < 0.25)
    values = reward_values((given + 1e-4 * torch.randn(4000)).numpy())
    logits = torch.zeros(3, len(values), requires_grad=True)
    optimizer = torch.optim.Adam([logits], 0.1)
    for _ in range(300):
        loss = reward_loss(logits[kind], given, values).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    expected = expected_reward(logits.detach(), values)
    means = torch.stack([given[kind == k].mean() for k in range(3)])
    assert (expected - means).abs()[:2].max() < 2e-3
    assert (expected - means).abs()[2] < 0.02


def test_a_world_without_rewards_promises_none() -> None:
    logits = torch.randn(5, 1)
    assert expected_reward(logits, [0.0]).tolist() == [0.0] * 5
    assert not reward_loss(logits, torch.zeros(5), [0.0]).any()

"""How rewards are learned: as shares of a few values, whose mean is what is predicted.

A reward is told as shares of the two values that it lies between (two-hot), and learned by cross-entropy, as in
DreamerV3 (arXiv 2301.04104). So those of 0.01 a step and the 1 at the end of a task are learned equally well, which a
squared error, to which the first are nothing, does not do. The values are those of the recording: DreamerV3's lie too
far apart for small ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_MOST = 64  # values


def reward_values(recorded: np.ndarray) -> list[float]:
    """The values to tell recorded rewards (N,) by, ascending: at most 64, [0.0] if there are no rewards.

    If there are few different rewards, these; otherwise values from the least to the greatest, and 0, that lie densest
    around 0, by the size that a reward usually has.
    """
    recorded = np.asarray(recorded, np.float64)
    different = np.unique(np.append(recorded, 0.0))
    if len(different) <= _MOST:
        return different.tolist()
    usual = np.median(np.abs(recorded[recorded != 0]))
    low, high = np.arcsinh(different[[0, -1]] / usual)
    spread = usual * np.sinh(np.linspace(low, high, _MOST - 1))
    spread[[0, -1]] = different[[0, -1]]
    return np.unique(np.append(spread, 0.0)).tolist()


def shares(rewards: Tensor, values: Sequence[float]) -> Tensor:
    """Rewards (...) as shares (..., values) of the two values that each lies between; of the last one if beyond."""
    known = torch.tensor(values, dtype=torch.float32, device=rewards.device)
    if len(values) == 1:
        return torch.ones_like(rewards)[..., None]
    rewards = rewards.float().clamp(values[0], values[-1])
    upper = torch.searchsorted(known, rewards.contiguous()).clamp(1, len(values) - 1)
    low, high = known[upper - 1], known[upper]
    share = ((rewards - low) / (high - low))[..., None]
    return F.one_hot(upper - 1, len(values)) * (1 - share) + F.one_hot(upper, len(values)) * share


def reward_loss(logits: Tensor, rewards: Tensor, values: Sequence[float]) -> Tensor:
    """Cross-entropy (...) of the shares that logits (..., values) give to rewards (...)."""
    return -(shares(rewards, values) * logits.float().log_softmax(-1)).sum(-1)


def expected_reward(logits: Tensor, values: Sequence[float]) -> Tensor:
    """The mean reward, float32 (...), of logits (..., values)."""
    return logits.float().softmax(-1) @ torch.tensor(values, dtype=torch.float32, device=logits.device)

"""The flat action vector seen by the model: how it is scaled, and the head that predicts the next one.

The head gives logits: a categorical for every discrete part of the action, and for every number of a Box a categorical
over bins that are finer near zero (as in VPT, arXiv 2206.11795).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict
from torch import Tensor

BINS = 21  # for each number of a Box; odd, so that the middle bin is exactly zero
_MU = 10.0


class Segment(BaseModel):
    """A stretch of the flat action vector: one categorical (one-hot), or numbers of a Box, whole ones or not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["categorical", "box"]
    start: int
    size: int
    whole: bool = False


def bin_centres(device: torch.device | None = None) -> Tensor:
    """The values in [-1, 1] that the bins of a Box number stand for, float32 (BINS,), finer near zero (mu-law)."""
    even = torch.linspace(-1, 1, BINS, device=device)
    return even.sign() * ((1 + _MU) ** even.abs() - 1) / _MU


class ActionLayout:
    """Scales flat actions to [-1, 1] and translates between them and the next-action logits.

    segments: the parts of the vector; low, high: float32 (action_dim,), its bounds (infinite ones are taken as 1).
    """

    def __init__(self, segments: list[Segment], low: Tensor, high: Tensor) -> None:
        self.segments = segments
        high = torch.where(high.isfinite(), high, 1.0)
        low = torch.where(low.isfinite(), low, -1.0)
        box, self.whole = torch.zeros_like(low, dtype=torch.bool), torch.zeros_like(low, dtype=torch.bool)
        for segment in segments:
            where = slice(segment.start, segment.start + segment.size)
            box[where], self.whole[where] = segment.kind == "box", segment.whole
        self.low, self.high = low, high
        self.centre = torch.where(box, (high + low) / 2, 0.0)
        self.half = torch.where(box, ((high - low) / 2).clamp_min(1e-6), 1.0)

    @property
    def logits(self) -> int:
        """How many logits the head gives."""
        return sum(segment.size * (BINS if segment.kind == "box" else 1) for segment in self.segments)

    def scale(self, flat: Tensor) -> Tensor:
        """Flat actions (..., action_dim) in the space's units to about [-1, 1]; one-hot parts stay as they are."""
        return (flat - self.centre.to(flat.device)) / self.half.to(flat.device)

    def _in_units(self, scaled: Tensor) -> Tensor:
        """The inverse of `scale`, in bounds however it is rounded, and whole where only whole numbers are."""
        centre, half, low, high, whole = (
            part.to(scaled.device) for part in (self.centre, self.half, self.low, self.high, self.whole)
        )
        flat = (scaled * half + centre).clamp(low, high)
        return torch.where(whole, flat.round(), flat)

    def _parts(self, logits: Tensor) -> list[tuple[Segment, Tensor]]:
        """Each segment with its logits: (..., size) of a categorical, (..., size, BINS) of a Box."""
        parts, start = [], 0
        for segment in self.segments:
            width = segment.size * (BINS if segment.kind == "box" else 1)
            part = logits[..., start : start + width]
            parts.append((segment, part.unflatten(-1, (segment.size, BINS)) if segment.kind == "box" else part))
            start += width
        return parts

    def loss(self, logits: Tensor, scaled: Tensor) -> Tensor:
        """Cross-entropy (...) of scaled actions (..., action_dim) under logits (..., self.logits), parts added up."""
        total = torch.zeros(scaled.shape[:-1], device=scaled.device)
        centres = bin_centres(scaled.device)
        for segment, part in self._parts(logits.float()):
            target = scaled[..., segment.start : segment.start + segment.size]
            if segment.kind == "categorical":
                total = total - (part.log_softmax(-1) * target).sum(-1)
            else:
                nearest = (target[..., None] - centres).abs().argmin(-1)
                picked = part.log_softmax(-1).gather(-1, nearest[..., None])[..., 0]
                total = total - picked.sum(-1)
        return total

    def chosen(self, scaled: Tensor) -> Tensor:
        """Which choices scaled actions (..., action_dim) are: 1 at theirs among (..., self.logits), 0 elsewhere."""
        parts = []
        centres = bin_centres(scaled.device)
        for segment in self.segments:
            part = scaled[..., segment.start : segment.start + segment.size]
            if segment.kind == "box":
                part = F.one_hot((part[..., None] - centres).abs().argmin(-1), BINS).flatten(-2)
            parts.append(part.float())
        return torch.cat(parts, -1)

    def sample(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """Draw flat actions (..., action_dim), in the space's units, by inverting the cumulative distribution.

        uniform: (..., action_dim) in [0, 1): one number a Box number, the first of its segment for a categorical.
        """
        out = torch.zeros(uniform.shape, device=logits.device)
        centres = bin_centres(logits.device)
        for segment, part in self._parts(logits.float()):
            where = slice(segment.start, segment.start + segment.size)
            cumulative = part.softmax(-1).cumsum(-1)
            last = cumulative.shape[-1] - 1
            if segment.kind == "categorical":
                draw = uniform[..., segment.start, None]
                choice = (cumulative <= draw).sum(-1).clamp_max(last)
                out[..., where] = F.one_hot(choice, segment.size).float()
            else:
                choice = (cumulative <= uniform[..., where, None]).sum(-1).clamp_max(last)
                out[..., where] = centres[choice]
        return self._in_units(out)

    def probabilities(self, logits: Tensor) -> Tensor:
        """The probability of every choice (..., self.logits); they add up to 1 for each part of the action."""
        parts = [(segment, part.softmax(-1)) for segment, part in self._parts(logits.float())]
        return torch.cat([part if segment.kind == "categorical" else part.flatten(-2) for segment, part in parts], -1)

    def entropy(self, logits: Tensor) -> Tensor:
        """Entropy (...) in nats of the actions that logits (..., self.logits) stand for, parts added up."""
        total = torch.zeros(logits.shape[:-1], device=logits.device)
        for segment, part in self._parts(logits.float()):
            of_each = torch.special.entr(part.softmax(-1)).sum(-1)
            total = total + (of_each if segment.kind == "categorical" else of_each.sum(-1))
        return total

    def divergence(self, logits: Tensor, others: Tensor) -> Tensor:
        """Kullback-Leibler divergence (...) in nats of the actions of logits from those of others, parts added up."""
        total = torch.zeros(logits.shape[:-1], device=logits.device)
        for (segment, part), (_, other) in zip(self._parts(logits.float()), self._parts(others.float()), strict=True):
            ours = part.log_softmax(-1)
            of_each = (ours.exp() * (ours - other.log_softmax(-1))).sum(-1)
            total = total + (of_each if segment.kind == "categorical" else of_each.sum(-1))
        return total

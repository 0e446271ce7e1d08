"""Means over starts, and shares of places, with their 95% intervals."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

_RESAMPLES = 4000


class Interval(NamedTuple):
    """A mean of some kind, and the bounds within which it lies in 95% of the draws of as many starts."""

    mean: float
    low: float
    high: float


def mean_interval(values: np.ndarray, cut: float = 0.0) -> Interval:
    """Mean of one value a start, (starts,), nan where a start has none, and its 95% interval; nan without any.

    Starts are drawn anew with replacement; the same values always give the same interval. cut: the share of values that
    is left out at each end; 0.25 gives the interquartile mean, which a few odd starts do not move (arXiv 2108.13264).
    """
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(np.nan, np.nan, np.nan)
    picks = np.random.default_rng(0).integers(len(values), size=(_RESAMPLES, len(values)))
    return _interval(values, values[picks], cut)


def nested_interval(values: np.ndarray, cut: float = 0.0) -> Interval:
    """Mean of what each of some agents gained in each of some episodes, (agents, episodes), and its 95% interval.

    Agents are drawn anew, and then episodes of each, so it says what to expect of another agent that learned the same
    way, in other episodes. Of one agent it says nothing of others. cut: as for `mean_interval`, of all values together.
    """
    values = np.asarray(values, np.float64)
    rng = np.random.default_rng(0)
    agents = rng.integers(len(values), size=(_RESAMPLES, len(values), 1))
    episodes = rng.integers(values.shape[1], size=(_RESAMPLES, *values.shape))
    return _interval(values.ravel(), values[agents, episodes].reshape(_RESAMPLES, -1), cut)


def _interval(values: np.ndarray, drawn: np.ndarray, cut: float) -> Interval:
    """Mean of values (n,) without a share `cut` at each end, and the bounds of those of what was drawn (draws, n)."""
    kept = slice(int(cut * len(values)), len(values) - int(cut * len(values)))
    low, high = np.percentile(np.sort(drawn, -1)[:, kept].mean(-1), (2.5, 97.5))
    return Interval(float(np.sort(values)[kept].mean()), float(low), float(high))


def spread(draws: np.ndarray) -> Interval:
    """A figure of all starts together, the first value, and its 95% interval from the others: of starts drawn anew.

    nan if the figure or one draw of ten is nan.
    """
    if np.isnan(draws[0]) or np.isnan(draws).mean() > 0.1:
        return Interval(np.nan, np.nan, np.nan)
    low, high = np.nanpercentile(draws[1:], (2.5, 97.5))
    return Interval(float(draws[0]), float(low), float(high))


def with_draws(count: int, draws: int = 1000) -> np.ndarray:
    """Rows of starts, int (draws + 1, count): first all as they are, then as many drawn with replacement."""
    rng = np.random.default_rng(0)
    return np.concatenate([np.arange(count)[None], rng.integers(count, size=(draws, count))])


def share_interval(hits: np.ndarray) -> Interval:
    """The share of hits, bool (places,), and its 95% interval by Wilson, which also of few is never a point."""
    count = len(hits)
    if not count:
        return Interval(np.nan, np.nan, np.nan)
    share, z = float(np.mean(hits)), 1.96
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return Interval(share, max(0.0, float(middle - reach)), min(1.0, float(middle + reach)))


def plain(value: Any) -> Any:
    """The same for JSON: intervals and arrays as objects and lists, null where there is no finite number."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value

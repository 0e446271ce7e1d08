"""A mean over starts with its 95% interval, by the bootstrap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_RESAMPLES = 4000


class Interval(NamedTuple):
    """A mean, and the bounds within which it lies in 95% of the draws of as many starts."""

    mean: float
    low: float
    high: float


def mean_interval(values: np.ndarray) -> Interval:
    """Mean of one value a start, (starts,), nan where a start has none, and its 95% interval; nan without any.

    Starts are drawn anew with replacement; the same values always give the same interval.
    """
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(np.nan, np.nan, np.nan)
    picks = np.random.default_rng(0).integers(len(values), size=(_RESAMPLES, len(values)))
    low, high = np.percentile(values[picks].mean(1), (2.5, 97.5))
    return Interval(float(values.mean()), float(low), float(high))

"""Which key was pressed, of Worlds whose behaviour is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldsim.envs.blocks.blocks import KEYS
from worldsim.probes.keys import keys


def test_the_keys_of_a_faithful_world_are_read_right(faithful_down: Any) -> None:
    report = keys(faithful_down)
    counts = np.array(report["confusion"])
    assert np.array_equal(counts, np.diag(np.diag(counts)))
    assert counts.sum() > 0.7 * counts.shape[0] * report["places"]  # most keys have an outcome of their own
    assert report["f1"] == [1] * len(KEYS)
    assert report["mean_f1"] == 1


def test_the_keys_of_a_world_that_ignores_them_are_not(faithful_down: Any) -> None:
    faithful_down.forget = KEYS
    assert keys(faithful_down)["mean_f1"] < 0.1
    faithful_down.forget = ("jump",)
    report = keys(faithful_down)
    f1 = dict(zip(report["keys"], report["f1"], strict=False))
    assert f1.pop("jump") == 0
    assert min(f1.values()) > 0.8  # a jump that is not seen is read as some other key


def test_rows_are_what_was_held_and_columns_what_is_seen(faithful_down: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def left_for_right(steps: Any) -> np.ndarray:
        return faithful_down.truth([{"left": 1} if step == {"right": 1} else step for step in steps])

    monkeypatch.setattr(faithful_down, "shown", left_for_right)
    report = keys(faithful_down)
    counts = np.array(report["confusion"])
    left, right = report["keys"].index("left"), report["keys"].index("right")
    assert counts[right, left] > 0
    assert counts[right, right] == counts[left, right] == 0

"""The summary of turns: gains, errors, and what blank views do to them."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.probes.turning import RATES, TICKS, summary

COMMANDED = np.broadcast_to(np.array(RATES)[:, None, None], (len(RATES), 3, TICKS))


def test_a_world_that_turns_half_as_far_has_gain_one_half() -> None:
    report = summary(COMMANDED, 0.5 * COMMANDED)
    assert report["readable"] == 1
    assert report["truth_gain"] == pytest.approx(1)
    assert report["gain"] == pytest.approx(0.5)
    assert report["gain_by_rate"] == pytest.approx([0.5] * len(RATES))
    assert report["error_per_tick"] == report["error_per_turn"] == pytest.approx(0.5)


def test_a_turn_that_wavers_is_right_as_a_whole() -> None:
    report = summary(COMMANDED, COMMANDED * np.where(np.arange(TICKS) % 2, 1.4, 0.6))
    assert report["gain"] == pytest.approx(1)
    assert report["error_per_tick"] == pytest.approx(0.4)
    assert report["error_per_turn"] == pytest.approx(0, abs=1e-9)


def test_steps_that_the_truth_does_not_show_decide_nothing() -> None:
    truth, learned = COMMANDED.copy(), COMMANDED.copy()
    truth[:, 0, :4] = 13.0  # a blank view is read as any angle
    learned[:, 0, :4] = -13.0
    report = summary(truth, learned)
    assert report["readable"] == pytest.approx(1 - 4 / (3 * TICKS))
    assert report["gain"] == report["truth_gain"] == pytest.approx(1)
    assert report["error_per_turn"] == pytest.approx(0, abs=1e-9)

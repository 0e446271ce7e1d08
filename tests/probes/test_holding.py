"""Standing still and looking away, of Worlds whose behaviour is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldsim.probes import holding
from worldsim.probes.places import StandingTwin


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "STILL", 45)


def test_a_faithful_world_changes_as_the_truth_does_and_remembers(faithful: StandingTwin) -> None:
    report = holding.holding(faithful)
    assert report["change"] == pytest.approx(1)
    assert report["psnr"].mean == pytest.approx(58.9, abs=0.1)
    assert [(away["degrees"], away["steps"]) for away in report["away"]] == [(50, 10), (90, 18), (180, 36)]
    assert [away["within"] for away in report["away"]] == [True, False, False]  # of a context of 16 frames
    for away in report["away"]:
        # What moves by itself, an animal or snow, is elsewhere by then, whether it was looked at or not.
        assert away["world"] == away["truth"] == pytest.approx(away["truth_idle"], abs=3)
        assert away["loss"].mean == pytest.approx(0, abs=1)
        assert away["returned"].mean == pytest.approx(np.mean(away["truth"]))


def test_a_world_that_turns_on_has_lost_the_place(faithful: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def turn_on(steps: Any) -> np.ndarray:
        return faithful.truth([{"camera": (abs(step["camera"][0]), 0.0)} if step else step for step in steps])

    monkeypatch.setattr(faithful, "shown", turn_on)
    losses = [away["loss"].mean for away in holding.holding(faithful)["away"]]
    assert min(losses[:2]) > 3
    assert losses[2] == pytest.approx(0, abs=1)  # twice 180 degrees


def test_what_stayed_in_sight_does_not_count(faithful: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def right_half_kept(steps: Any) -> np.ndarray:
        frames = faithful.truth(steps)
        if any(steps):
            frames[:, -1, :, :24] = 128
        return frames

    monkeypatch.setattr(faithful, "shown", right_half_kept)
    assert min(away["loss"].mean for away in holding.holding(faithful)["away"]) > 10


def test_a_world_that_flickers_changes_more(faithful: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def flicker(steps: Any) -> np.ndarray:
        frames = faithful.truth(steps)
        frames[:, ::2] //= 2
        return frames

    monkeypatch.setattr(faithful, "shown", flicker)
    report = holding.holding(faithful)
    assert report["change"] > 10
    assert report["change_still"].mean > 10

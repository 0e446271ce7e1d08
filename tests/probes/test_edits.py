"""Whether edits stay, of Worlds whose behaviour is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldsim.probes.edits import EDITS, edits


def test_a_faithful_world_keeps_its_edits(faithful_down: Any) -> None:
    report = edits(faithful_down)
    assert report["places"] == 4
    for key in EDITS:
        for when in ("at_once", "after"):
            part = report[key][when]
            assert part["edited"] == pytest.approx([1.0] * len(part["edited"]))
            assert part["unedited"] == pytest.approx([0.0] * len(part["edited"]))
            assert part["right"].mean == 1
            assert len(part["edited"]) >= 2  # the edit is seen at most places, and not while looking away


def test_a_world_that_ignores_the_keys_shows_no_edit(faithful_down: Any) -> None:
    faithful_down.forget = EDITS
    report = edits(faithful_down)
    for key in EDITS:
        assert report[key]["after"]["edited"] == report[key]["after"]["unedited"]
        assert report[key]["after"]["right"].mean == 0


def test_a_world_that_forgets_while_looking_away(faithful_down: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(steps: Any) -> np.ndarray:
        without = [step if "camera" in step else {} for step in steps]
        frames, forgotten = faithful_down.truth(steps), faithful_down.truth(without)
        away = next(number for number, step in enumerate(steps) if "camera" in step)
        frames[:, away + 1 :] = forgotten[:, away + 1 :]
        return frames

    monkeypatch.setattr(faithful_down, "shown", forgetful)
    report = edits(faithful_down)
    for key in EDITS:
        assert (report[key]["at_once"]["right"].mean, report[key]["after"]["right"].mean) == (1, 0)


def test_a_world_that_always_digs_is_not_right_about_it(faithful_down: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def digs(steps: Any) -> np.ndarray:
        return faithful_down.truth([{"break": 1} if step in ({}, {"place": 1}) else step for step in steps])

    monkeypatch.setattr(faithful_down, "shown", digs)
    part = edits(faithful_down)["break"]["after"]
    assert part["edited"] == pytest.approx([1.0] * len(part["edited"]))
    assert part["right"].mean == 0

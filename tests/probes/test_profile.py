"""`worldsim probe`: what is written, what passes, probes of one's own, and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from worldsim.probes import profile as profiles
from worldsim.probes.probe import Lab, Outcome, Probe
from worldsim.world import World

OWN = """
import numpy as np
from worldsim.probes.probe import Cases, FilmProbe, Lab, Probe, Outcome, Trial

class Brightness(FilmProbe):
    name = "brightness"
    question = "How much brighter is it after a tenth of a second?"
    unit = "of 255"
    better = "low"

    def trial(self, lab, seed, rng):
        return Trial(lab.begin(seed), lab.idle(2))

    def measure(self, frames, cases):
        return np.abs(frames[:, 0, -1].mean((1, 2, 3)) - cases.truth[:, 0, -1].mean((1, 2, 3)))

    def line(self, simulator):
        return 0, 1

class Broken(Probe):
    name = "broken"
    question = "What if a probe has a mistake?"

    def run(self, lab):
        return Outcome({"World": np.zeros(0)[1]})

    def line(self, simulator):
        return 0, 1
"""


@pytest.fixture
def world_dir(balls: World, tmp_path: Path) -> Path:
    balls.save(tmp_path / "world")
    return tmp_path / "world"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


def test_a_run_leaves_figures_trials_and_a_page_and_a_crash_costs_only_itself(world_dir: Path, own: Path) -> None:
    out = world_dir.parent / "out"
    report = profiles.profile(str(world_dir), only=["brightness", "broken"], files=[own], starts=3, out=out)
    fine, broken = report["probes"]
    assert json.loads((out / "profile.json").read_text()) == report
    assert fine["n"] == 3
    assert fine["low"] <= fine["mean"] <= fine["high"]
    assert fine["simulator"] == 0
    assert fine["passed"] is (fine["mean"] <= 1)
    assert set(fine["controls"]) == {"copy last frame", "nearest recorded", "untrained"}
    assert broken["error"].startswith("IndexError")
    trials = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    of_world = [trial["value"] for trial in trials if trial["who"] == "World"]
    assert np.mean(of_world) == pytest.approx(fine["mean"])
    page = (out / "profile.html").read_text()
    assert page.count("<video") == 3
    assert "IndexError" in page
    again = profiles.profile(str(world_dir), only=["brightness"], files=[own], starts=3, out=out, against=out)
    assert again["probes"][0]["change"] == {"mean": 0, "low": 0, "high": 0}


def outcome(world: list[float], untrained: list[float], simulator: list[float]) -> Outcome:
    values = {"World": world, "untrained": untrained, "simulator": simulator}
    return Outcome({who: np.array(found, float) for who, found in values.items()})


class Near(Probe):
    name, question, better = "near", "How near is it?", "low"

    def run(self, lab: Lab) -> Outcome:
        raise NotImplementedError

    def line(self, simulator: float) -> tuple[float, float]:
        return 0, 2 * simulator


def test_what_passes_is_said_by_the_line_and_void_is_what_an_untrained_world_passes() -> None:
    def verdict(*values: list[float]) -> tuple[bool, bool]:
        entry = profiles._entry(Near(), outcome(*values), None)
        return entry["passed"], entry["void"]

    assert verdict([1, 2, 2], [9, 9, 9], [1, 1, 1]) == (True, False)
    assert verdict([3, 2, 2], [9, 9, 9], [1, 1, 1]) == (False, False)
    assert verdict([1, 2, 2], [1, 1, 1], [1, 1, 1]) == (True, True)
    nan = float("nan")
    assert verdict([1, 1, nan], [nan, nan, nan], [1, 1, 1]) == (False, False)  # a third cannot be read
    assert verdict([1] * 5 + [nan], [nan] * 6, [1] * 6) == (True, False)


def test_the_worst_starts_are_those_that_cannot_be_read_and_then_those_furthest_off() -> None:
    values = [0.5, float("nan"), 3, 1, 2, 0]
    assert profiles.worst(Near(), outcome(values, values, values)) == [1, 2, 4, 3, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [("x = 1", "defines no probe"), ("import nothing_of_the_kind", "cannot be imported: ModuleNotFoundError")],
)
def test_a_file_without_a_probe_is_an_error_that_says_so(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        profiles.probes_in(path)
    with pytest.raises(ValueError, match="is no Python file"):
        profiles.probes_in(tmp_path / "nowhere.py")


def test_bad_arguments_are_errors_that_say_what_there_is(world_dir: Path, own: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no probe 'falling' for .* there are .*determinism"):
        profiles.profile(str(world_dir), only=["falling"], out=tmp_path / "out")
    with pytest.raises(ValueError, match="at least 2"):
        profiles.profile(str(world_dir), only=["contrast"], starts=1, out=tmp_path / "out")
    with pytest.raises(ValueError, match="holds no earlier run"):
        profiles.profile(str(world_dir), only=["contrast"], against=tmp_path, out=tmp_path / "out")
    with pytest.raises(ValueError, match="several probes of the name brightness"):
        profiles.profile(str(world_dir), files=[own, own], out=tmp_path / "out")

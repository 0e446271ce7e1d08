"""`worldsim probe`: what is written, what passes, probes of one's own, and what goes wrong."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from worldsim.probes import profile as profiles
from worldsim.probes import profile_table
from worldsim.probes.any_world import Determinism
from worldsim.probes.intervals import plain
from worldsim.probes.plots import Plot, banded, true_against_shown
from worldsim.probes.probe import Lab, Outcome, Probe, delays
from worldsim.probes.profile_page import write_profile
from worldsim.world import World

OWN = """
import numpy as np
from worldsim.probes.intervals import plain
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
    assert fine["low"] <= fine["value"] <= fine["high"]
    assert (fine["floor"], fine["ceiling"]) == (0, None)
    assert fine["passed"] is (fine["value"] <= 1)
    assert set(fine["controls"]) == {"copy last frame", "nearest recorded", "untrained"}
    assert broken["error"].startswith("IndexError")
    trials = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    of_world = [trial["value"] for trial in trials if trial["who"] == "World"]
    assert np.mean(of_world) == pytest.approx(fine["value"])
    page = (out / "profile.html").read_text()
    assert page.count("<video") == 3
    assert "IndexError" in page
    assert shlex.split(report["command"])[:4] == ["worldsim", "probe", str(world_dir), "--starts"]
    assert f"--only brightness broken --probe {own}" in report["command"]


def test_two_processes_find_what_one_does(world_dir: Path, own: Path) -> None:
    def found(workers: int) -> list[dict[str, object]]:
        report = profiles.profile(
            str(world_dir), only=["determinism", "brightness", "broken"], files=[own], starts=3,
            out=world_dir.parent / f"out-{workers}", workers=workers,
        )  # fmt: skip
        return [{name: one.get(name) for name in ("name", "n", "passed", "error")} for one in report["probes"]]

    assert found(2) == found(1)


def test_two_worlds_are_compared_start_by_start(world_dir: Path, own: Path, balls: World) -> None:
    first, second = world_dir.parent / "first", world_dir.parent / "second"
    one = profiles.profile(str(world_dir), only=["brightness"], files=[own], starts=3, out=first)["probes"][0]
    sizes = balls.dynamics.config.model_dump()
    World.random(balls.spec, balls.tokenizer.config, seed=1, **sizes).save(world_dir.parent / "other")
    report = profiles.profile(
        str(world_dir.parent / "other"), only=["brightness"], files=[own], starts=3, out=second, against=first
    )
    other = report["probes"][0]
    assert other["change"]["value"] == pytest.approx(other["value"] - one["value"])
    assert other["change"]["low"] <= other["change"]["value"] <= other["change"]["high"]
    assert "change" in profile_table.table(report).splitlines()[1]
    with pytest.raises(ValueError, match=r"had other starts \(starts: 3 there, 4 now\)"):
        profiles.profile(str(world_dir), only=["brightness"], files=[own], starts=4, out=second, against=first)


def outcome(world: list[float], untrained: list[float], simulator: list[float]) -> Outcome:
    values = {"World": world, "untrained": untrained, "simulator": simulator}
    return Outcome({who: np.array(found, float) for who, found in values.items()})


class Near(Probe):
    name, question, better = "near", "How near is it?", "low"

    def run(self, lab: Lab) -> Outcome:
        raise NotImplementedError

    def line(self, simulator: float) -> tuple[float, float]:
        return 0, 2 * simulator


class Reported(Near):
    def line(self, simulator: float) -> tuple[float, float]:
        return -np.inf, np.inf


def test_what_passes_is_said_by_the_line_and_void_is_what_a_baseline_passes() -> None:
    def verdict(*values: list[float]) -> tuple[bool, list[str]]:
        entry = profiles._entry(Near(), outcome(*values))
        return entry["passed"], entry["void"]

    nan = float("nan")
    assert verdict([1, 2, 2], [9, 9, 9], [1, 1, 1]) == (True, [])
    assert verdict([3, 2, 2], [9, 9, 9], [1, 1, 1]) == (False, [])
    assert verdict([1, 2, 2], [1, 1, 1], [1, 1, 1]) == (True, ["untrained"])
    assert verdict([1, 1, nan], [nan, nan, nan], [1, 1, 1]) == (False, [])  # a third cannot be read
    assert verdict([1] * 20 + [nan], [nan] * 21, [1] * 21) == (True, [])
    assert verdict([1, 1, nan], [nan, nan, nan], [1, 1, nan]) == (True, [])  # where nothing was asked
    with pytest.raises(ValueError, match="could not be read"):
        verdict([1, 1], [1, 1], [nan, nan])


def test_too_much_and_too_little_do_not_pass_for_right() -> None:
    class Gain(Near):
        better = "near 1"

        def line(self, simulator: float) -> tuple[float, float]:
            return 0.9, 1.1

    assert profiles._entry(Gain(), outcome([0.95, 1.05], [0, 0], [1, 1]))["passed"] is True
    assert profiles._entry(Gain(), outcome([0, 2], [0, 0], [1, 1]))["passed"] is False


def test_figures_of_all_starts_together_have_the_interval_of_the_draws() -> None:
    draws = np.concatenate([[1.5], np.linspace(1, 2, 1000)])
    found = Outcome({"World": draws, "simulator": np.ones(1001)}, drawn=32)
    entry = profiles._entry(Near(), found)
    assert entry["n"] == 32
    assert (entry["value"], entry["low"], entry["high"]) == pytest.approx((1.5, 1.025, 1.975), abs=0.01)
    assert profiles._change(found, draws - 0.25) == pytest.approx((0.25, 0.25, 0.25))


def test_a_figure_outside_of_its_draws_can_be_shown(tmp_path: Path) -> None:
    draws = np.concatenate([[3.0], np.linspace(1, 2, 1000)])
    found = Outcome(
        {"World": draws, "copy last frame": draws}, plot=Plot("seconds", "dB", {"World": ([1, 2], [3, 4])}), drawn=32
    )
    entry = plain(profiles._entry(Reported(), found))
    report = {"world": "balls", "command": "worldsim probe", "simulator": "-", "obeys": None, "probes": [entry]}
    write_profile(tmp_path / "page.html", report, {"near": found})
    assert (tmp_path / "page.html").read_text().count("<svg") == 2


def test_a_plot_leaves_out_what_is_not_known(tmp_path: Path) -> None:
    nan = float("nan")
    line = banded([0.1, 0.2], np.array([[1.0, nan], [2.0, nan]]))
    dots = true_against_shown("way", np.array([1.0, nan, 3.0]), np.array([nan, 2.0, 3.5])).dots
    assert dots == {"World": ([3.0], [3.5])}
    for number, shown in enumerate((
        Plot("seconds", "dB", {"World": line}, marks={"length": 0.1}, logarithmic=True),
        Plot("true", "shown", dots={"World": ([], [])}),
        Plot("speed", "radius", cells=[[1.0, nan]], rows=["small"], columns=["slow", "fast"]),
    )):  # fmt: skip
        found = Outcome({"World": np.array([1.0, 2.0])}, plot=shown)
        entry = plain(profiles._entry(Reported(), found))
        report = {"world": "balls", "command": "worldsim probe", "simulator": "-", "obeys": None, "probes": [entry]}
        json.dumps(report, allow_nan=False)
        write_profile(tmp_path / f"{number}.html", report, {"near": found})
        assert (tmp_path / f"{number}.html").read_text().count("<svg") == 2


def test_a_run_that_is_stopped_leaves_what_is_finished(
    world_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(self: Probe, lab: Lab) -> Outcome:
        raise KeyboardInterrupt

    monkeypatch.setattr(Determinism, "run", stopped)
    out = world_dir.parent / "out"
    with pytest.raises(KeyboardInterrupt):
        profiles.profile(str(world_dir), only=["contrast", "determinism"], starts=3, out=out)
    assert [one["name"] for one in json.loads((out / "profile.json").read_text())["probes"]] == ["contrast"]
    assert "contrast" in (out / "profile.html").read_text()
    assert "contrast" in capsys.readouterr().out


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


def test_a_probe_without_a_question_and_one_of_another_simulator_are_errors(
    world_dir: Path, own: Path, tmp_path: Path
) -> None:
    path = tmp_path / "lacking.py"
    path.write_text(own.read_text().replace('    question = "How much brighter is it after a tenth of a second?"', ""))
    with pytest.raises(ValueError, match=r"the probe Brightness of .*lacking.py lacks question"):
        profiles.probes_in(path)
    path.write_text(own.read_text().replace('    unit = "of 255"', '    simulators = ("worldsim/BlocksSim-v0",)'))
    with pytest.raises(ValueError, match="brightness is for Worlds of worldsim/BlocksSim-v0, not of worldsim/BallsSim"):
        profiles.profile(str(world_dir), only=["brightness"], files=[path], out=tmp_path / "out")


def test_bad_arguments_are_errors_that_say_what_there_is(world_dir: Path, own: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no probe 'falling' for .*BallsSim-v0; there are .*determinism"):
        profiles.profile(str(world_dir), only=["falling"], out=tmp_path / "out")
    with pytest.raises(ValueError, match="at least 2"):
        profiles.profile(str(world_dir), only=["contrast"], starts=1, out=tmp_path / "out")
    with pytest.raises(ValueError, match="holds no earlier run"):
        profiles.profile(str(world_dir), only=["contrast"], against=tmp_path, out=tmp_path / "out")
    with pytest.raises(ValueError, match="several probes of the name brightness"):
        profiles.profile(str(world_dir), files=[own, own], out=tmp_path / "out")


def test_who_sets_out_later_is_late_however_far_it_goes() -> None:
    true = np.array([[0.0, 1, 3, 6, 10, 15]])
    late = np.array([[0.0, 0, 1, 3, 6, 10]])
    early = np.array([[0.0, 3, 6, 10, 15, 21]]) - np.array([[0.0, 1, 1, 1, 1, 1]])
    assert delays(true, true).tolist() == [0]
    assert delays(0.3 * true, true) == pytest.approx([0])
    assert delays(0.5 * late, true) == pytest.approx([1])
    assert delays(early, true)[0] < -0.2
    assert delays(np.array([[0.0, 0, 0, 0, 0, 15]]), true)[0] >= 3, "so late that hardly anything is seen of it"
    assert np.isnan(delays(-true, true)).all()
    assert np.isnan(delays(0 * true, true)).all()
    assert np.isnan(delays(np.array([[0.0, 1, np.nan, 6, 10, 15]]), true)).all()

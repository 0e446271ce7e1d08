"""`worldsim eval --full` from end to end on a small untrained World of the block world."""

from __future__ import annotations

import json
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest

from worldsim.cli import main
from worldsim.probes import alive, drift, goals, holding, variety
from worldsim.probes.goals import Row
from worldsim.world import World


class Page(HTMLParser):
    """Collects the tags of a page, what they load, and the cells of its table."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "td":
            self.cells.append(data.strip())


def test_all_is_measured_printed_and_shown_on_a_page(
    blocks: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = [(alive, "LANES", 2), (alive, "STEPS", 12), (holding, "STILL", 40), (goals, "_PLACES", 2)]
    sizes += [(variety, "_LEARNED", 100), (variety, "STARTS", 8)]
    sizes += [(drift, "LANES", 2), (drift, "MARKS", (10, 20)), (drift, "_WINDOW", 10)]
    for module, name, value in sizes:
        monkeypatch.setattr(module, name, value)
    blocks.save(tmp_path / "world")
    out = tmp_path / "figures"
    assert main(["eval", str(tmp_path / "world"), "--starts", "2", "--out", str(out), "--full"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].endswith(f"--out {out} --full")
    report = json.loads((out / "eval.json").read_text())
    rows = goals.rows(report)
    assert len({row.aim for row in rows}) == 11
    for row in rows:
        assert f"{row.measure} " in printed
    missed = [row for row in rows if row.verdict == "missed"]
    assert {"next frame", "obedience", "drift", "edits stay", "variety"} <= {row.aim for row in missed}  # untrained
    assert printed.count("missed") == len(missed)
    values = {row.measure: row.value for row in rows}
    moving = report["one_step"]["moving"]
    assert values["PSNR in dB where something moves"] == moving["mean"]["world"]["mean"]
    assert values["dB above copying the last frame"] == moving["lead"]["copy"]["mean"]
    assert values["pitch, shown / commanded"] == report["turning"]["pitch"]["gain"]
    last = report["full"]["drift"]["marks"][1]
    assert values["latents after 20 steps / true frames apart"] == last["latents"]["ratio"]
    (rate,) = (row for row in report["speed"] if row["steps"] == report["denoising_steps"])
    assert values[f"frames/s, K={rate['steps']}"] == rate["frames_per_second"]

    page = Page()
    page.feed((out / "report.html").read_text(encoding="utf-8"))
    assert page.cells.count("missed") == len(missed)
    assert [page.tags.count(tag) for tag in ("svg", "video", "img")] == [4, 2, 2]
    assert all(source.startswith(("data:", "#")) for source in page.sources)  # nothing is loaded from elsewhere
    assert {row.measure for row in rows} <= set(page.cells)


def test_only_worlds_of_the_block_world_are_measured_in_full(
    balls: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    balls.save(tmp_path / "world")
    assert main(["eval", str(tmp_path / "world"), "--full", "--out", str(tmp_path / "out")]) == 2
    assert "is for Worlds of worldsim/BlocksSim-v0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_goals_in_words() -> None:
    one = partial(Row, "", "")
    rows = [one(1.0, at_least=1), one(1.0, at_most=0.5), one(1.0, at_least=0.9, at_most=1.1), one(1.0)]
    assert [row.goal for row in rows] == ["at least 1", "at most 0.5", "0.9 to 1.1", ""]
    assert [row.verdict for row in rows] == ["reached", "missed", "reached", ""]
    unknown = one(float("nan"), at_least=1)
    assert (unknown.verdict, unknown.shown) == ("not measured", "-")
    assert one(2.0, (1.5, 2.25)).shown == "2.00 [1.50, 2.25]"

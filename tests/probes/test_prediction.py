"""`worldsim eval` from end to end on small untrained Worlds, and the measures it is made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from worldsim.cli import main
from worldsim.probes import prediction, rollouts, walking
from worldsim.probes.heldout import CONTEXT, Stretch, explore
from worldsim.probes.intervals import mean_interval, nested_interval, share_interval
from worldsim.probes.prediction import MARKS, evaluate
from worldsim.world import UnknownWorldError, World


@pytest.fixture(scope="module")
def truth() -> Stretch:
    env = gym.make("worldsim/BallsSim-v0", max_episode_steps=1000)
    return explore(env, [7_000_000, 7_000_001], rollouts.STEPS, lambda: None)


def check_report(report: dict[str, Any], out: Path, starts: int) -> None:
    assert json.loads((out / "eval.json").read_text()) == report
    assert [entry["steps"] for entry in report["prediction"]] == list(MARKS)
    for entry in report["prediction"]:
        scores = {name: np.array(values) for name, values in entry["psnr"].items()}
        assert {len(values) for values in scores.values()} == {starts}
        lead = entry["lead"]["copy"]
        assert lead["mean"] == pytest.approx((scores["world"] - scores["copy"]).mean())
        assert lead["low"] <= lead["mean"] <= lead["high"]
    one = report["one_step"]
    assert one["moving_frames"] + one["still_frames"] == one["all_frames"] == starts * rollouts.POSITIONS
    assert len(report["walk"]["detail"]) == 4
    assert [row["steps"] for row in report["speed"]] == [1, 2, 4]


def test_a_world_of_balls(balls: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    balls.save(tmp_path / "world")
    out = tmp_path / "figures"
    arguments = ["eval", str(tmp_path / "world"), "--starts", "2", "--out", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == f"worldsim eval {tmp_path / 'world'} --starts 2 --seed 7000000 --out {out}"
    report = json.loads((out / "eval.json").read_text())
    check_report(report, out, starts=2)
    assert report["turning"] is None
    assert report["seeds"] == [7_000_000, 7_000_001]
    assert f"{report['prediction'][0]['mean']['copy']['mean']:.1f} [" in printed
    with Image.open(out / "prediction.png") as sheet:
        assert sheet.width > 8 * 48
        assert sheet.height > 2 * 3 * 48
    with Image.open(out / "walk.png") as sheet:
        assert sheet.width > 11 * 48


def test_a_world_of_blocks_is_turned_too(blocks: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks.save(tmp_path / "world")
    report = evaluate(str(tmp_path / "world"), starts=2, out=tmp_path / "figures")
    check_report(report, tmp_path / "figures", starts=2)
    for axis in ("yaw", "pitch"):
        part = report["turning"][axis]
        assert part["truth_gain"] == pytest.approx(1, abs=0.05)
        assert part["readable"] > 0.7
        assert abs(part["gain"]) < 0.5  # an untrained World does not obey
    assert "measured / commanded degrees" in capsys.readouterr().out


def test_what_cannot_be_evaluated(tmp_path: Path, tiny_world_dir: Path) -> None:
    with pytest.raises(ValueError, match="starts must be at least 2, for an interval around the mean, got 1"):
        evaluate(str(tiny_world_dir), starts=1, out=tmp_path)
    with pytest.raises(UnknownWorldError, match="there is no World 'atlantis'"):
        evaluate("atlantis", out=tmp_path)
    with pytest.raises(ValueError, match="has no simulator to be compared with"):
        evaluate(str(tiny_world_dir), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_simulator_is_closed_after_an_error(balls: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    class Watched(gym.Wrapper):
        def close(self) -> None:
            closed.append(True)
            super().close()

    monkeypatch.setattr(prediction, "open_simulator", lambda spec: Watched(gym.make(spec.simulator)))
    balls.save(tmp_path / "world")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileExistsError):
        evaluate(str(tmp_path / "world"), starts=2, out=tmp_path / "file")
    assert closed == [True]


def test_each_single_step_starts_from_what_was_true(balls: World, truth: Stretch) -> None:
    made = rollouts.roll(balls, truth, lambda frames: None)
    assert np.array_equal(made.next_acted[:, 0], made.acted[:, 1])
    assert np.array_equal(made.next_idled[:, 0], made.idled[:, 1])
    changed = truth.frames.copy()
    changed[:, CONTEXT] = 255 - changed[:, CONTEXT]
    other = rollouts.roll(balls, Stretch(changed, truth.actions, truth.seeds), lambda frames: None)
    # A walk never sees that frame; a single step after it does, one before it does not.
    assert np.array_equal(other.acted, made.acted)
    assert np.array_equal(other.next_acted[:, 0], made.next_acted[:, 0])
    assert not np.array_equal(other.next_acted[:, 1], made.next_acted[:, 1])
    assert not np.array_equal(other.next_coded[:, 0], made.next_coded[:, 0])


def test_rollouts_report_the_frames_they_make(balls: World, truth: Stretch) -> None:
    counts: list[int] = []
    made = rollouts.roll(balls, truth, counts.append)
    assert sum(counts) == 2 * rollouts.frames_made(rollouts.STEPS)
    assert made.acted.shape == made.idled.shape == (2, rollouts.STEPS + 1, 48, 48, 3)


def test_psnr() -> None:
    black = np.zeros((2, 16, 16, 3), np.uint8)
    grey = black.copy()
    grey[1] = 51  # a fifth of white
    assert rollouts.psnr(grey, black) == pytest.approx([10 * np.log10(12 * 255**2), 20 * np.log10(5)])
    assert rollouts.psnr(black, grey) == pytest.approx(rollouts.psnr(grey, black))


def test_interval_holds_the_true_mean_nearly_always() -> None:
    rng = np.random.default_rng(0)
    draws = [mean_interval(rng.normal(3, 1, 24)) for _ in range(200)]
    assert 0.88 < np.mean([one.low < 3 < one.high for one in draws]) < 0.99


def test_interval_leaves_out_starts_without_a_value() -> None:
    assert mean_interval(np.array([1.0, np.nan, 3.0])).mean == 2
    assert np.isnan(mean_interval(np.array([np.nan])).mean)


def test_intervals_over_agents_and_episodes_hold_what_they_promise() -> None:
    rng = np.random.default_rng(1)
    draws = [rng.normal(3, 1, (12, 1)) + rng.normal(0, 0.5, (12, 10)) for _ in range(100)]  # agents differ more
    assert 0.8 < np.mean([low < 3 < high for _, low, high in map(nested_interval, draws)]) < 0.99
    assert np.mean([low < 3 < high for _, low, high in (mean_interval(draw.ravel()) for draw in draws)]) < 0.7
    one = rng.normal(3, 1, (1, 40))
    assert np.allclose(nested_interval(one), mean_interval(one[0]), atol=0.05)
    odd = np.array([[1.0, 1.0, 1.0, 100.0], [1.0, 1.0, 1.0, -100.0]])
    assert nested_interval(odd, cut=0.25).mean == 1


def test_share_intervals() -> None:
    assert share_interval(np.array([True] * 8)) == pytest.approx((1, 0.676, 1), abs=0.001)
    assert share_interval(np.array([True, False] * 50)) == pytest.approx((0.5, 0.404, 0.596), abs=0.001)
    assert np.isnan(share_interval(np.array([], bool)).mean)


def test_mush_and_frozen_walks_show() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (2, walking.STEPS + 1, 16, 16, 3), dtype=np.uint8)
    same = walking.walking(truth, truth)
    assert same["detail"] == same["motion"] == pytest.approx([1, 1, 1, 1])
    assert same["alive"] == [1, 1, 1, 1]
    assert same["windows"] == ["1-50", "51-100", "101-150", "151-200"]
    mush = truth.copy()
    mush[:, 101:] = 128
    mush[1, 151:] = truth[1, 151:]
    report = walking.walking(mush, truth)
    assert report["detail"] == pytest.approx([1, 1, 0, 0.5], abs=0.01)
    assert report["alive"] == [1, 1, 0, 0.5]
    frozen = truth.copy()
    frozen[:, 51:] = frozen[:, 50:51]
    report = walking.walking(frozen, truth)
    assert report["motion"] == pytest.approx([1, 0, 0, 0])
    assert min(report["detail"]) > 0.9


def test_a_grid_is_detail_but_shows() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (1, walking.STEPS + 1, 48, 64, 3), dtype=np.uint8)
    assert walking.walking(truth, truth)["gridless"] == pytest.approx([1, 1, 1, 1])
    grid = truth.copy()
    grid[:, 101:] = np.tile(truth[:, :1, :16, :16], (1, 1, 3, 4, 1))
    report = walking.walking(grid, truth)
    assert report["detail"] == pytest.approx([1, 1, 1, 1], abs=0.1)
    assert report["gridless"] == pytest.approx([1, 1, 0, 0], abs=0.1)

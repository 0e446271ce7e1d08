"""`worldsim bench`: what it counts and prints, on a small World."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import worldsim
from worldsim.cli import main
from worldsim.model.layers import Linear, attend
from worldsim.probes import bench


def test_every_row_is_measured_and_compared(
    tiny_world_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    assert main(["bench", str(tiny_world_dir), "--frames", "2", "--out", str(first)]) == 0
    rows = {row["what"]: row for row in json.loads(first.read_text())["rows"]}
    assert rows["tiny, 1 lane, K=1"]["frames_per_second"] > 1
    assert 0 < rows["tiny, 64 lanes, K=2"]["share"] < 1
    assert rows["make_vec, 64 lanes, 64x64"]["lanes"] == 64
    assert rows["tiny, played"]["frames"] == 20
    assert 0 < rows["worldsim play, to the first frame"]["seconds"] < 60
    assert "faster" not in capsys.readouterr().out
    arguments = ["bench", str(tiny_world_dir), "--frames", "2", "--out", str(second), "--against", str(first)]
    assert main(arguments) == 0
    assert "faster" in capsys.readouterr().out.splitlines()[1]


def test_figures_of_something_else_are_refused(
    tiny_world_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.json").write_text("[1]")
    assert main(["bench", str(tiny_world_dir), "--against", str(tmp_path / "other.json")]) == 2
    assert "holds no figures of `worldsim bench`" in capsys.readouterr().err
    (tmp_path / "other.json").write_text('{"world": "atlantis", "rows": []}')
    assert main(["bench", str(tiny_world_dir), "--against", str(tmp_path / "other.json")]) == 2
    assert "are of the World atlantis, not of" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_operations_are_counted_whichever_kernel_runs(dtype: torch.dtype) -> None:
    layer = Linear(512, 32).to(dtype).requires_grad_(False)
    layer.prepare()
    x = torch.randn(20, 512).to(dtype)
    many, few = torch.randn(1, 2, 6, 16).to(dtype), torch.randn(1, 2, 2, 16).to(dtype)
    with torch.no_grad():
        assert bench._flops(lambda: layer(x)) == 2 * 20 * 512 * 32
        assert bench._flops(lambda: attend(many, many, many)) == 4 * 2 * 6 * 6 * 16
        assert bench._flops(lambda: attend(few, many, many)) == 4 * 2 * 2 * 6 * 16


def test_a_world_that_is_played_is_stepped(tiny_world_dir: Path) -> None:
    row = bench.play_rate(worldsim.load(tiny_world_dir), 30)
    assert row["frames_per_second"] > 1
    assert row["p50_ms"] <= row["p99_ms"]
    assert row["megabytes"] is None or row["megabytes"] < 50

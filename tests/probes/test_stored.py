"""Rollouts that others read: worldproof's own reader gets what was shown, and scores it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from worldsim.probes.heldout import open_simulator
from worldsim.probes.probe import Lab
from worldsim.probes.stored import roll_out, store_rerun, store_rollouts
from worldsim.world import World


def test_worldproof_reads_what_is_stored_and_scores_it(lab_balls: World, tmp_path: Path) -> None:
    adapters = pytest.importorskip("worldproof.adapters")
    report = pytest.importorskip("worldproof.report")
    with open_simulator(lab_balls.spec) as env:
        folders = store_rollouts(roll_out(Lab(lab_balls, env), count=2, steps=4), tmp_path)
    rollouts = list(adapters.iter_rollouts(tmp_path))
    assert len(rollouts) == len(folders) == 2
    for rollout in rollouts:
        assert rollout.predictions[0].shape == rollout.ground_truth.shape == (4, 64, 64, 3)
        assert rollout.actions.shape == (4, 2)
        assert rollout.metadata.fps == 20
        # An untrained World begins with the truth's last frame and shows something else at once.
        assert not np.array_equal(rollout.predictions[0][0], rollout.ground_truth[0])
    card, _ = report.evaluate(rollouts)
    assert card.verdict


def test_rerun_reads_what_is_stored(lab_balls: World, tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    with open_simulator(lab_balls.spec) as env:
        path = store_rerun(roll_out(Lab(lab_balls, env), count=2, steps=4), tmp_path / "rollouts.rrd")
    command = [sys.executable, "-m", "rerun_cli", "rrd", "print", "-vv", str(path)]
    read = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for entity in ("start-000/truth", "start-001/world", "start-001/difference", "start-000/psnr"):
        assert entity in read

"""What stays on the screen is found in a recording of a camera that turns."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldsim.data.overlay import overlay_of
from worldsim.data.record import record_store
from worldsim.data.store import FrameStore


def test_the_crosshair_and_the_hand_of_the_block_world_are_found(tmp_path: Path) -> None:
    record_store(
        "worldsim/BlocksSim-v0", 1500, tmp_path, env_kwargs={"size": [80, 128]}, episode_frames=250, workers=2,
        progress=False,
    )  # fmt: skip
    overlay = overlay_of(FrameStore.open(tmp_path), 70.0)
    assert overlay is not None
    assert overlay[39:41, 63:65].all(), "the crosshair"
    assert overlay[66:76, 110:120].float().mean() > 0.9, "the hand"
    elsewhere = overlay.clone()
    elsewhere[54:, 92:] = False
    elsewhere[34:46, 58:70] = False
    assert elsewhere.float().mean() < 0.01


def test_a_world_without_turns_has_none(tmp_path: Path) -> None:
    still = {"policy": "random", "env_kwargs": {"size": [48, 48], "balls": 1}}
    record_store("worldsim/BallsSim-v0", 200, tmp_path, episode_frames=50, workers=1, progress=False, **still)
    store = FrameStore.open(tmp_path)
    frames = np.array(store.frames)
    frames[:] = frames[0]  # nothing happens
    assert overlay_of(store.__class__(**{**vars(store), "frames": frames}), 70.0) is None

"""Rollouts on disk for others' reports: folders as worldproof reads them (github.com/BuceaGeorgia/worldproof, 0.1).

A folder holds one rollout: PNG files of the context, of what the World made of it and of what was true, the actions
between, and a manifest. `worldproof evaluate DIR` then scores them.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
from PIL import Image

from worldsim.files import write_atomically
from worldsim.probes.any_world import wandering
from worldsim.probes.probe import Lab

FORMAT = "0.1-provisional"


def store_rollouts(lab: Lab, directory: Path, count: int = 16, steps: int = 32) -> list[Path]:
    """Let the World follow `count` stretches of exploration for `steps` steps, and write each beside the truth.

    Returns the folders, DIRECTORY/rollout-000 and so on.
    """
    starts, actions = wandering(lab, count, steps)
    twin = lab.twin(starts)
    truth = twin.truth(actions)
    begun = time.perf_counter()
    shown = twin.shown(actions)
    seconds = (time.perf_counter() - begun) / count
    folders = []
    for number, start in enumerate(starts):
        folder = directory / f"rollout-{number:03d}"
        parts = {
            "context": start.frames,
            "predictions/sample_00": shown[number, 1:],
            "ground_truth": truth[number, 1:],
        }
        if folder.exists():
            shutil.rmtree(folder)  # frames of an earlier, longer one would be read as part of this
        for name, frames in parts.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            for moment, frame in enumerate(frames):
                Image.fromarray(frame).save(folder / name / f"frame_{moment:05d}.png")
        np.save(folder / "actions.npy", actions[:, number])
        manifest = {
            "format_version": FORMAT, "modality": "pixels", "storage": "png_sequence", "fps": float(lab.spec.fps),
            "resolution": list(lab.spec.size), "channels": 3, "model_id": f"worldsim:{lab.spec.name}",
            "seed": int(start.seed), "camera_id": None, "lossy_source": False, "inference_latency_s": seconds,
            "context_id": None, "is_failure": None, "horizon": steps, "n_samples": 1, "has_ground_truth": True,
        }  # fmt: skip
        write_atomically(folder / "manifest.json", json.dumps(manifest, indent=1))
        folders.append(folder)
    return folders

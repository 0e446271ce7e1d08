"""Rollouts on disk for others' tools, beside the truth.

As folders that worldproof reads (github.com/BuceaGeorgia/worldproof, 0.1): one rollout each, PNG files of the context,
of what the World made of it and of what was true, the actions between, and a manifest. `worldproof evaluate DIR` then
scores them. And as one file that rerun shows (rerun.io): `rerun FILE`.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from worldsim.files import write_atomically
from worldsim.probes.any_world import wandering
from worldsim.probes.probe import Lab
from worldsim.probes.twin import Start
from worldsim.spec import WorldSpec

FORMAT = "0.1-provisional"
_EXACT = 0.08  # the least squared error that counts: 59 dB


@dataclass(frozen=True)
class Rollouts:
    """What a World makes of stretches of exploration, beside the truth.

    actions float32 (steps, count, A); truth and shown uint8 (count, steps + 1, H, W, 3), from the last frame of the
    context on; seconds: what the World took for each.
    """

    spec: WorldSpec
    starts: list[Start]
    actions: np.ndarray
    truth: np.ndarray
    shown: np.ndarray
    seconds: float


def roll_out(lab: Lab, count: int = 16, steps: int = 32) -> Rollouts:
    """Let the World follow `count` stretches of exploration for `steps` steps."""
    starts, actions = wandering(lab, count, steps)
    twin = lab.twin(starts)
    truth = twin.truth(actions)
    begun = time.perf_counter()
    shown = twin.shown(actions)
    return Rollouts(lab.spec, starts, actions, truth, shown, (time.perf_counter() - begun) / count)


def store_rollouts(rollouts: Rollouts, directory: Path) -> list[Path]:
    """Write them as worldproof reads them; returns the folders, DIRECTORY/rollout-000 and so on."""
    spec, steps, folders = rollouts.spec, len(rollouts.actions), []
    for number, start in enumerate(rollouts.starts):
        folder = directory / f"rollout-{number:03d}"
        parts = {
            "context": start.frames,
            "predictions/sample_00": rollouts.shown[number, 1:],
            "ground_truth": rollouts.truth[number, 1:],
        }
        if folder.exists():
            shutil.rmtree(folder)  # frames of an earlier, longer one would be read as part of this
        for name, frames in parts.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            for moment, frame in enumerate(frames):
                Image.fromarray(frame).save(folder / name / f"frame_{moment:05d}.png")
        np.save(folder / "actions.npy", rollouts.actions[:, number])
        manifest = {
            "format_version": FORMAT, "modality": "pixels", "storage": "png_sequence", "fps": float(spec.fps),
            "resolution": list(spec.size), "channels": 3, "model_id": f"worldsim:{spec.name}",
            "seed": int(start.seed), "camera_id": None, "lossy_source": False,
            "inference_latency_s": rollouts.seconds, "context_id": None, "is_failure": None, "horizon": steps,
            "n_samples": 1, "has_ground_truth": True,
        }  # fmt: skip
        write_atomically(folder / "manifest.json", json.dumps(manifest, indent=1))
        folders.append(folder)
    return folders


def store_rerun(rollouts: Rollouts, path: Path) -> Path:
    """Write them into one file for rerun: of each start truth, World and their difference, and the PSNR of each frame.

    On the timeline "step"; 0 is the last frame of the context. ModuleNotFoundError without rerun-sdk.
    """
    import rerun

    stream = rerun.RecordingStream(f"worldsim:{rollouts.spec.name}")
    stream.save(path)
    for number in range(len(rollouts.starts)):
        for step, (truth, shown) in enumerate(zip(rollouts.truth[number], rollouts.shown[number], strict=True)):
            stream.set_time("step", sequence=step)
            off = shown.astype(np.int16) - truth
            pictures = {"truth": truth, "world": shown, "difference": np.abs(off).astype(np.uint8)}
            for name, picture in pictures.items():
                stream.log(f"start-{number:03d}/{name}", rerun.Image(picture).compress(95))
            error = max(float(np.square(off, dtype=np.float64).mean()), _EXACT)
            stream.log(f"start-{number:03d}/psnr", rerun.Scalars(10 * np.log10(255**2 / error)))
    stream.flush()
    stream.disconnect()
    return path

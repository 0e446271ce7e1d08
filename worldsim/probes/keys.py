"""Which key was pressed, as one who knows all outcomes reads it off the picture. For Worlds of the block world.

The simulator plays every key from the same place; the outcome that a frame comes nearest to names the key. So nothing
is trained to tell keys apart, and on the simulator's own frames the reading is never wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from worldsim.envs.blocks.blocks import KEYS
from worldsim.probes.edits import SEEN
from worldsim.probes.places import StandingTwin
from worldsim.probes.rotation import scene_mask

TICKS = 5  # that a key is held: after those, break and place would act a second time


def keys(twin: StandingTwin) -> dict[str, Any]:
    """Hold each of KEYS, and none, for TICKS ticks, and read the key off what the World shows then.

    twin: at places that look down at the ground before them (`places.looking_down`): most keys show most there.
    confusion: rows the key that was held, columns the key that was read, over the places where its outcome is unlike
    that of all others, in the simulator; KEYS in their order, then none. right_by_place: the share that
    was read right at each place, nan where no key has an outcome of its own. f1: by key, nan where it has none of its
    own anywhere; mean_f1: over the keys that have.
    """
    plays = [twin.play([action] * TICKS) for action in [*({key: 1} for key in KEYS), {}]]
    outcomes = np.stack([truth[:, -1] for truth, _ in plays])  # (keys, places, H, W, 3)
    shown = np.stack([frames[:, -1] for _, frames in plays])
    itself = np.eye(len(plays), dtype=bool)[..., None]
    distinct = np.where(itself, np.inf, _squared(outcomes, outcomes)).min(1) > SEEN  # (keys, places)
    read = np.where(distinct, _squared(shown, outcomes), np.inf).argmin(1)
    confusion = np.zeros((len(plays), len(plays)), int)
    np.add.at(confusion, (np.nonzero(distinct)[0], read[distinct]), 1)
    right = (distinct & (read == np.arange(len(plays))[:, None])).sum(0)
    by_place = np.where(distinct.any(0), right / np.maximum(distinct.sum(0), 1), np.nan)
    return {
        "keys": [*KEYS, "none"],
        "places": len(twin.starts),
        "confusion": confusion.tolist(),
        "right_by_place": by_place.tolist(),
    } | _f1(confusion)


def _squared(frames: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Squared differences, white is 1, of frames (n, places, H, W, 3) and others (m, ...), float (n, m, places)."""
    mask = scene_mask(*frames.shape[2:4]).numpy()[:, :, None]  # not the hand, which swings
    rows = [[((one.astype(np.float32) - other) ** 2 * mask).sum((1, 2, 3)) for other in others] for one in frames]
    return np.array(rows) / 255**2


def _f1(confusion: np.ndarray) -> dict[str, Any]:
    """F1 by key, and its mean, none left out, from counts (held, read)."""
    held, read = confusion.sum(1), confusion.sum(0)
    f1 = np.where(held > 0, 2 * np.diag(confusion) / np.maximum(held + read, 1), np.nan)[:-1]
    mean = float(np.nanmean(f1)) if held[:-1].any() else float("nan")
    return {"f1": f1.tolist(), "mean_f1": mean}


def frames_made(places: int) -> int:
    """How many frames of the World `keys` makes."""
    return places * (len(KEYS) + 1) * TICKS

"""Which pixels of a recording stay on the screen wherever the camera turns: a crosshair, a hand, a status bar."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from worldsim.data.store import FrameStore
from worldsim.model.motion import carried, places_before
from worldsim.model.surroundings import Surroundings

_PAIRS, _AT_ONCE = 2_000, 50
_TURNED = 2.0  # degrees from which on a pair of frames counts
_FEWEST = 50  # pairs that must count
_SHARE = 0.7  # of the error of turning with the camera that one of staying must be below
_VISIBLE = 2.0  # grey levels by which it must be: a smooth sky looks the same wherever the camera turns


def overlay_of(store: FrameStore, field_of_view: float, seed: int = 0) -> Tensor | None:
    """Pixels, bool (H, W), that are better explained by staying than by turning with the camera; None if none is.

    field_of_view: degrees that the height of a frame shows. The turns are read off optical flow. Also None if there
    are not enough of them in the recording.
    """
    rng = np.random.default_rng(seed)
    picked = rng.choice(np.flatnonzero(store.lengths > 1), _PAIRS, p=_shares(store))
    later = store.starts[picked] + 1 + rng.integers(0, store.lengths[picked] - 1)
    height, width = store.size
    stays, turns, seen = torch.zeros(3, height, width)
    for rows in np.split(later, range(_AT_ONCE, _PAIRS, _AT_ONCE)):
        before, now = (torch.from_numpy(np.array(store.frames[part])) for part in (rows - 1, rows))
        places = places_before(store.flows.of(np.stack([rows - 1, rows], 1))[:, 1])
        places, angle = Surroundings.empty(before[:1], field_of_view).turned(places)
        turning = angle > _TURNED
        moved = carried(before[turning], places[turning])
        there, now = moved[..., 3], now[turning].float()
        stays += (there * (now - before[turning].float()).abs().mean(-1)).sum(0)
        turns += (there * (now - 255 * moved[..., :3]).abs().mean(-1)).sum(0)
        seen += there.sum(0)
    overlay = (stays < _SHARE * turns) & (turns - stays > _VISIBLE * seen) & (seen >= _FEWEST)
    return overlay if overlay.any() else None


def _shares(store: FrameStore) -> np.ndarray:
    """How likely each episode of two frames or more is picked: by its length."""
    lengths = store.lengths[store.lengths > 1] - 1
    return lengths / lengths.sum()

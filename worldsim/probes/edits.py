"""Does a block that is broken or placed stay so, also after a look away? For Worlds of the block world.

The simulator shows both what is there with the edit and what would be there without it. The pixels in which the two
differ are where a World has to decide, and the one that it comes nearer to is what it shows; no classifier is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from worldsim.probes.intervals import share_interval
from worldsim.probes.places import Action, StandingTwin
from worldsim.probes.rotation import scene_mask

EDITS = ("break", "place")
_AWAY_TICKS = 5  # 10 degrees up and to the right each, and as many back: all of it within eleven frames
SEEN = 6.0  # squared differences, white is 1 in each channel, that tell two pictures apart: two pixels black or white


def edits(twin: StandingTwin, which: Sequence[str] = EDITS) -> dict[str, Any]:
    """Break or place a block, look away and back; returns by edit what the World shows then.

    twin: at places that look down at the ground before them (`places.looking_down`). which: of EDITS.
    at_once: of the frame right after the edit; after: of the one after the look away. Of the places where the simulator
    shows the edit (and in "after" does not show it while looking away):
    edited, unedited: how far the World's picture lies on the way from the true one without (0) to the true one with the
    edit (1), once it has made the edit and once it has not; right: the share of the places where the first lies beyond
    the middle and the second does not; by_place: that at each place, nan where it is not asked.
    """
    up: Action = {"camera": (10.0, -10.0)}
    back: Action = {"camera": (-10.0, 10.0)}
    away: list[Action] = [*[up] * _AWAY_TICKS, *[back] * _AWAY_TICKS]
    true_without, shown_without = twin.play([{}, *away])
    report: dict[str, Any] = {"places": len(twin.starts)}
    for key in which:
        true, shown = twin.play([{key: 1}, *away])
        apart = ((true - 1.0 * true_without) ** 2).sum((2, 3, 4)) / 255**2
        hidden = apart[:, -1 - _AWAY_TICKS] <= SEEN
        report[key] = {}
        for when, moment, fair in (("at_once", -1 - len(away), np.ones_like(hidden)), ("after", -1, hidden)):
            between = true_without[:, moment], true[:, moment]
            seen, edited = towards(shown[:, moment], *between)
            _, unedited = towards(shown_without[:, moment], *between)
            right = np.where(seen & fair, (edited > 0.5) & (unedited <= 0.5), np.nan)
            edited, unedited = edited[seen & fair], unedited[seen & fair]
            report[key][when] = {
                "edited": edited.tolist(),
                "unedited": unedited.tolist(),
                "right": share_interval(right[seen & fair] == 1),
                "by_place": right.tolist(),
            }
    return report


def towards(shown: np.ndarray, without: np.ndarray, edited: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where two frames differ, bool (places,), and how far `shown` lies on the way from the first to the second.

    Frames are uint8 (places, H, W, 3).
    """
    mask = scene_mask(*shown.shape[1:3]).numpy()[:, :, None]  # not the hand, which swings
    way, gone = ((frames.astype(np.float32) - without) / 255 * mask for frames in (edited, shown))
    length = (way**2).sum((1, 2, 3))
    return length > SEEN, (way * gone).sum((1, 2, 3)) / np.maximum(length, 1e-9)


def frames_made(places: int) -> int:
    """How many frames of the World `edits` makes."""
    return places * (1 + len(EDITS)) * (1 + 2 * _AWAY_TICKS)

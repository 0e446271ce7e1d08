"""Clips that go on from what the model made, drawn and seen in training as a running World draws and sees."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from worldsim.data.batches import Batch
from worldsim.model.dynamics import Dynamics
from worldsim.model.sampler import flow_between
from worldsim.model.shown import Shown
from worldsim.model.tokenizer import Tokenizer


def going_on(
    batches: Iterator[Batch], made: Tensor, places: Tensor, dynamics: Dynamics, tokenizer: Tokenizer,
    field_of_view: float | None = None, overlay: Tensor | None = None,
) -> Iterator[Batch]:  # fmt: skip
    """The same batches, for clips that go on from what the model made: that is drawn and seen as a World does.

    made (own, time, h, w, C), places (own, H, W, 2): what the loss keeps of those clips, the first of each batch. The
    newest of what was made is drawn, and if the tokenizer carries encoded again. Batches get "seen", the optical flow
    of the clips as they are shown, and lose "before", uint8 (own, H, W, 3): the frame that the newest follows.
    field_of_view, overlay: of the World that is to be stepped.
    """
    own = len(made)
    led = was = torch.zeros(0)  # the flow of the clips as they are shown, and their last frame but one
    shown: Shown | None = None
    for batch in batches:
        motion, before, goes_on = batch["motion"][:own], batch["before"], batch["age"] > 0
        wide = goes_on[:, None, None, None]
        was_led, led = led, motion
        was_shown, was = was, before
        if goes_on.any() and (tokenizer.config.carries or dynamics.config.sees_motion):
            with torch.no_grad():
                moved = None if shown is None else shown.carried(places)
                drawn = tokenizer.decode_uint8(made[:, -1], moved)
                if shown is not None and moved is not None:
                    made[:, -1] = torch.where(wide, tokenizer.encode(drawn), made[:, -1])
                    shown.remember(drawn, moved)
            was = torch.where(wide, drawn, before)
            if dynamics.config.sees_motion:
                newest = torch.zeros_like(motion[:, 0])
                newest[goes_on] = flow_between(dynamics, was_shown[goes_on], drawn[goes_on])
                # All of it is a frame later now; how the last frame comes about is not seen, but asked for.
                later = torch.cat([was_led[:, 1:-1], newest[:, None], motion[:, -1:]], 1)
                led = torch.where(wide[..., None], later, motion)
        if tokenizer.config.carries:
            if shown is None:
                shown = Shown.empty(before, field_of_view, overlay)
            begin = (~goes_on).nonzero()[:, 0].tolist()
            shown.put(begin, Shown.empty(before[begin], field_of_view, overlay))
        rest = {name: part for name, part in batch.items() if name != "before"}
        yield rest | {"seen": torch.cat([led, batch["motion"][own:]])}

"""What a World that carries has shown, and where in it each pixel of the next frame is looked up.

A pixel that stays in view for fifty frames is not looked up in the frame before each time, which would blur it fifty
times: every pixel remembers in which frame it was drawn, and where, and only these places are moved (as the texture
coordinates of graphics are). What was not in view in the frame before is looked up in pictures of other directions, if
the World is seen through a camera. What stays on the screen wherever the camera turns, a crosshair or a hand, lies over
that and is not moved; what it hides moves on behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from worldsim.model.motion import bilinear, pixels_of
from worldsim.model.surroundings import Surroundings

FRAMES = 60  # that are kept: what was drawn longer ago is looked up anew in the present frame
_UNKNOWN = -float(FRAMES)  # the number of the frame where a pixel was drawn that was not in any
_HARDLY = 0.01  # so little of a colour may come from the overlay
_EVENLY = 0.7548776662466927, 0.5698402909980532  # multiples of both cover a square evenly (Roberts 2018)
LITTLE = 0.004  # of a frame, half a column of 128: if no more is not known, or shown for now alone, it counts as known
_APART = 2.5  # pixels between the places of neighbours from which on they were not neighbours where they were drawn


@dataclass
class Shown:
    """The last frames of each lane, lanes first: two megabytes a lane at 80x128, three with its surroundings."""

    frames: Tensor  # uint8 (lanes, FRAMES, H, W, 3): frame number n stands in place n % FRAMES
    sources: Tensor  # float32 (lanes, H, W, 3): column, row and number of the frame where each pixel was drawn
    number: Tensor  # int64 (lanes,): of the present frame
    overlay: Tensor | None  # bool (H, W), of all lanes: what lies over the picture and is not moved
    surroundings: Surroundings | None

    @classmethod
    def empty(cls, frames: Tensor, field_of_view: float | None = None, overlay: Tensor | None = None) -> Shown:
        """For lanes that show frames, uint8 (lanes, H, W, 3), and have not shown anything before.

        field_of_view: degrees of the height, of a camera that turns. overlay: bool (H', W'), see the module, of any
        size: it is scaled to that of the frames.
        """
        lanes, height, width = frames.shape[:3]
        if overlay is not None:
            overlay = F.interpolate(overlay[None, None].float(), (height, width))[0, 0].to(frames.device) > 0
        surroundings = None if field_of_view is None else Surroundings.empty(frames, field_of_view)
        number = torch.zeros(lanes, dtype=torch.int64, device=frames.device)
        kept = frames.new_zeros(lanes, FRAMES, height, width, 3)
        shown = cls(kept, torch.zeros(*frames.shape, device=frames.device), number, overlay, surroundings)
        shown._put(frames, torch.zeros(lanes, height, width, 1, dtype=torch.bool, device=frames.device))
        return shown

    def map(self, function: Callable[[Tensor], Tensor]) -> Shown:
        """The same with `function` applied to every tensor that has lanes."""
        surroundings = self.surroundings and self.surroundings.map(function)
        return Shown(function(self.frames), function(self.sources), function(self.number), self.overlay, surroundings)

    def put(self, lanes: list[int], other: Shown) -> None:
        """Replace some lanes by those of others."""
        for name in ("frames", "sources", "number"):
            getattr(self, name)[lanes] = getattr(other, name)
        if self.surroundings is not None and other.surroundings is not None:
            self.surroundings.put(lanes, other.surroundings)

    def carried(self, places: Tensor) -> Tensor:
        """The present frames, moved: float32 (lanes, H, W, 4), for `Tokenizer.decode`.

        places (lanes, H, W, 2): where in the present frame each pixel of the next is, from -1 to 1 across it. Colours
        in [0, 1]; the last channel is 1 where something is known, and 0 elsewhere. To be called once a frame, before
        `remember`.
        """
        lanes, height, width = places.shape[:3]
        self.sources = self._moved(pixels_of(places, height, width))
        # In view, and in view when it was drawn: what is looked up beside the last pixel of that may not have been.
        last = places.new_tensor([width - 0.5, height - 0.5])
        was_there = (self.sources[..., :2] >= -0.5) & (self.sources[..., :2] <= last)
        there = ((places.abs() <= 1) & was_there & (self.sources[..., 2:] >= 0)).all(-1, keepdim=True)
        if self.overlay is not None:  # nor may any of it come from what lay over the picture there
            first = torch.zeros(places.shape[:3], dtype=torch.int64, device=places.device)
            there &= bilinear(self.overlay[None, ..., None].float(), first, self.sources) < _HARDLY
        lane = torch.arange(lanes, device=places.device)
        picture = lane[:, None, None] * FRAMES + self.sources[..., 2].long() % FRAMES
        colours = bilinear(self.frames.flatten(0, 1), picture, self.sources) / 255
        self.sources[..., 2].masked_fill_(~there[..., 0], _UNKNOWN)
        if self.overlay is not None:
            over = self.overlay[..., None]
            colours = torch.where(over, self.frames[lane, self.number % FRAMES] / 255, colours)
            there = there | over
        moved = torch.cat([colours, there.float()], -1)
        return moved if self.surroundings is None else self.surroundings.filled(moved, places, self.overlay)

    def remember(self, frames: Tensor, moved: Tensor, passing: Tensor | None = None) -> None:
        """What is shown now, uint8 (lanes, H, W, 3), and what was `carried` there: what is the same was kept.

        passing: bool (lanes,), where what was not known is shown for now alone, and is not known in the next frame.
        """
        self.number = self.number + 1
        same = (frames == (255 * moved[..., :3]).round().to(torch.uint8)).all(-1, keepdim=True)
        recent = self.sources[..., 2:] > (self.number - FRAMES)[:, None, None, None]
        kept = same if self.overlay is None else same | self.overlay[..., None]
        self._put(frames, kept & recent)
        whole = None
        if passing is not None:
            unsure = passing[:, None, None] & (moved[..., 3] == 0)
            self.sources[..., 2].masked_fill_(unsure, _UNKNOWN)
            whole = unsure.flatten(1).float().mean(1) < LITTLE
        if self.surroundings is not None:
            self.surroundings.remember(frames, whole)

    def replace(self, frames: Tensor) -> None:
        """The present frames are others, uint8 (lanes, H, W, 3), all of which was drawn there."""
        self._put(frames, torch.zeros_like(self.sources[..., :1], dtype=torch.bool))
        if self.surroundings is not None:
            self.surroundings.replace(frames)

    def _put(self, frames: Tensor, kept: Tensor) -> None:
        """Frames in the place of the present ones; all but what is kept, bool (lanes, H, W, 1), was drawn in them."""
        lanes, height, width = frames.shape[:3]
        self.frames[torch.arange(lanes, device=frames.device), self.number % FRAMES] = frames
        row = torch.arange(height, device=frames.device).float()[:, None].expand(height, width)
        column = torch.arange(width, device=frames.device).float().expand(height, width)
        here = torch.stack([column, row, torch.zeros_like(row)], -1).repeat(lanes, 1, 1, 1)
        here[..., 2] = self.number[:, None, None].float()
        if self.overlay is not None:
            here[..., 2].masked_fill_(self.overlay, _UNKNOWN)
        self.sources = torch.where(kept, self.sources, here)

    def _moved(self, pixels: Tensor) -> Tensor:
        """The sources of pixels (lanes, H, W, 2), column and row in the present frame.

        Between four pixels that were neighbours where they were drawn it lies between theirs, and otherwise as far from
        that of one of them as it is from it, a near one more often.
        """
        lanes, height, width = self.sources.shape[:3]
        table = self.sources.view(-1, 3)
        first = (torch.arange(lanes, device=pixels.device) * height * width)[:, None, None]
        limits = pixels.new_tensor([width - 1, height - 1])

        def at(column: Tensor, row: Tensor) -> Tensor:
            index = first + row.long() * width + column.long()
            return table.index_select(0, index.flatten()).view(lanes, height, width, 3)

        corner = pixels.floor().clamp(min=0).minimum(limits - 1)
        (left, top), (right, below) = corner.unbind(-1), (pixels - corner).split(1, -1)
        one, two, three, four = at(left, top), at(left + 1, top), at(left, top + 1), at(left + 1, top + 1)
        between = torch.lerp(torch.lerp(one, two, right), torch.lerp(three, four, right), below)
        lowest = torch.minimum(torch.minimum(one, two), torch.minimum(three, four))
        highest = torch.maximum(torch.maximum(one, two), torch.maximum(three, four))
        together = (highest - lowest < pixels.new_tensor([_APART, _APART, 0.5])).all(-1, keepdim=True)
        # By its chance: always to round where a slow pan begins would hold the edges of what was drawn where they are.
        chance = (self.number[:, None] * pixels.new_tensor(_EVENLY)).frac()[:, None, None]
        nearest = (pixels + chance).floor().clamp(min=0).minimum(limits)
        beside = at(*nearest.unbind(-1))
        beside[..., :2] += pixels - nearest
        return torch.where(together, between, beside)

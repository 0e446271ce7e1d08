"""What a World that is seen through a camera has shown in other directions, to be looked up when it comes into view.

A camera that turns moves what it sees by a rotation, whatever its distance. So the turns of the camera are read off the
flow that the dynamics predicts, pictures are kept together with where the camera looked, and pixels of which the frame
before knows nothing are looked up in the newest picture that shows them. The network then decides whether they fit, as
it does for all that is carried. Where the player has walked on, they are seen from a place a little behind.

Keyframes by overlapping views are how long generated videos stay consistent elsewhere too (WorldMem, arXiv 2504.12369);
there a network attends to them, here they are moved, which needs no training.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from worldsim.model.motion import bilinear, pixel_places, pixels_of

PICTURES = 32
_SAME, _NEAR, _STALE = math.radians(2), math.radians(8), 20  # angles between views; steps
_EVERY = 8  # pixels between the points whose flow is looked at
_ROUNDS = 3  # of fitting, from the second on weighted by what the one before did not fit
_AT_ONCE = 16384  # pixels that are looked up together: a thousand numbers each
_AHEAD, _MOST_STEPS = math.radians(55), 30  # how far a camera that turns is looked ahead of, and in how many steps
_WHOLLY = 0.99  # what is known of a pixel between others, if all of it is
_TOLERANCE = 2e-3  # radians by which flow may miss the rotation and still counts in full


class OfLanes:
    """A dataclass whose tensors have an entry for each lane."""

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The same with `function` applied to every tensor."""
        parts: dict[str, Any] = {
            name: function(value) if isinstance(value, Tensor) else value for name, value in vars(self).items()
        }
        return type(self)(**parts)

    def put(self, lanes: list[int], other: Self) -> None:
        """Replace some lanes by those of others."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                value[lanes] = getattr(other, name)


@dataclass
class Surroundings(OfLanes):
    """Pictures that were shown and where the camera looked, lanes first; about a megabyte a lane at 80x128."""

    frames: Tensor  # uint8 (lanes, PICTURES, H, W, 3)
    turns: Tensor  # float32 (lanes, PICTURES, 3, 3): from the axes of each picture's camera to those of the first
    anchors: Tensor  # the same of the picture that was first kept in its place: newer ones must not draw it along
    shown: Tensor  # int64 (lanes, PICTURES): the step of each picture, -1 where there is none
    turn: Tensor  # float32 (lanes, 3, 3): of the present camera
    rate: Tensor  # float32 (lanes, 3, 3): from its axes to those of the camera before
    step: Tensor  # int64 (lanes,)
    field_of_view: float  # of the height, in degrees

    @classmethod
    def empty(cls, frames: Tensor, field_of_view: float) -> Surroundings:
        """For lanes that show frames, uint8 (lanes, H, W, 3), and have not shown anything before."""
        lanes, device = len(frames), frames.device
        turns = torch.eye(3, device=device).expand(lanes, PICTURES, 3, 3)
        surroundings = cls(
            frames=frames.new_zeros(lanes, PICTURES, *frames.shape[1:]), turns=turns.clone(), anchors=turns.clone(),
            shown=torch.full((lanes, PICTURES), -1, device=device), turn=turns[:, 0].clone(),
            rate=turns[:, 0].clone(), step=torch.zeros(lanes, dtype=torch.int64, device=device),
            field_of_view=field_of_view,
        )  # fmt: skip
        surroundings.remember(frames)
        return surroundings

    def filled(self, moved: Tensor, places: Tensor, overlay: Tensor | None = None) -> Tensor:
        """Moved frames (lanes, H, W, 4), see `worldsim.model.shown`, and what they know nothing of from other pictures.

        The camera turns as the places (lanes, H, W, 2) say: to be called once a step, before `remember`. overlay, bool
        (H, W): the pixels of all pictures that do not show what lies in their direction.
        """
        self.rate = self._rotation(places)
        self.turn = _product(self.turn, self.rate)
        return self.looked_up(moved, self.turn, overlay)

    def looked_up(self, moved: Tensor, turn: Tensor, overlay: Tensor | None = None) -> Tensor:
        """What a camera turned by `turn` (lanes, 3, 3) sees, of which `moved` is known, and the rest from pictures."""
        moved = moved.clone()
        # With the pixels beside it: between those, colours are of both.
        hidden = None if overlay is None else F.max_pool2d(overlay[None].float(), 3, 1, 1)[0] > 0
        height, width = moved.shape[1:3]
        # From the camera's axes to those of each picture's.
        there = _product(self.turns.transpose(-1, -2), turn[:, None])
        rays = self._rays(pixel_places(height, width, moved.device))
        unknown = moved[..., 3] == 0
        # One lane after the other, so that what it is multiplied with, and so its rounding, is the same among many.
        asks = unknown.flatten(1).any(1) & (self.shown >= 0).any(1)
        for lane in asks.nonzero()[:, 0].tolist():
            kept = (self.shown[lane] >= 0).nonzero()[:, 0]
            axes = there[lane, kept].movedim(0, 1).flatten(0, 1).T  # (3, 3 * pictures), the first axis of all first
            for row, column in (part.unbind(1) for part in unknown[lane].nonzero().split(_AT_ONCE)):
                seen_along = (rays[row, column] @ axes).unflatten(1, (3, -1)).movedim(1, 2)  # (pixels, pictures, 3)
                found = self._places(seen_along, width / height)
                visible = (seen_along[..., 2] > 0) & (found.abs() < 1).all(-1)
                if hidden is not None:
                    across, down = pixels_of(found, height, width).round().long().unbind(-1)
                    visible &= ~hidden[down.clamp(0, height - 1), across.clamp(0, width - 1)]
                newest, picture = torch.where(visible, self.shown[lane, kept], -1).max(1)
                is_there = newest >= 0
                row, column, picture = row[is_there], column[is_there], picture[is_there]
                found = found[is_there].take_along_dim(picture[:, None, None], 1)[:, 0]
                colours = bilinear(self.frames[lane], kept[picture], pixels_of(found, height, width)) / 255
                moved[lane, row, column] = F.pad(colours, (0, 1), value=1.0)
        return moved

    def ahead(self, moved: Tensor, overlay: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What is known of the view some steps on, if the camera turns on as it did: like `moved`, and its turn.

        So far that it looks elsewhere by _AHEAD; not at all where it hardly turns.
        """
        steps = (_AHEAD / _angle(self.rate).clamp_min(1e-6)).floor()
        steps = torch.where(steps > _MOST_STEPS, 0, steps)
        led = torch.eye(3, device=moved.device).expand_as(self.rate)
        for number in range(1, _MOST_STEPS + 1):
            led = torch.where((steps >= number)[:, None, None], _product(led, self.rate), led)
        height, width = moved.shape[1:3]
        rays = self._rays(pixel_places(height, width, moved.device))
        along = (led[:, None, None] * rays[..., None, :]).sum(-1)
        found = self._places(along, width / height)
        known = moved if overlay is None else moved * ~overlay[..., None]
        lane = torch.arange(len(moved), device=moved.device)[:, None, None].expand(found.shape[:3])
        seen = bilinear(known, lane, pixels_of(found, height, width))
        there = (seen[..., 3:] > _WHOLLY) & (found.abs() <= 1).all(-1, keepdim=True) & (along[..., 2:] > 0)
        view = torch.where(there, F.pad(seen[..., :3], (0, 1), value=1.0), 0.0)
        turn = _product(self.turn, led)
        return self.looked_up(view, turn, overlay), turn

    def keep(self, frames: Tensor, turn: Tensor) -> None:
        """Keep frames, uint8 (lanes, H, W, 3), of what a camera turned by `turn` (lanes, 3, 3) will see."""
        lanes, slot = torch.arange(len(frames), device=frames.device), self.shown.argmin(1)
        self.frames[lanes, slot], self.turns[lanes, slot], self.anchors[lanes, slot] = frames, turn, turn
        self.shown[lanes, slot] = self.step

    def turns_to(self, turn: Tensor) -> Tensor:
        """Which lanes' cameras turn, and look nearly as one turned by `turn` (lanes, 3, 3) does: bool (lanes,)."""
        rate, apart = _angle(self.rate), _angle(_product(self.turn.transpose(-1, -2), turn))
        return (rate > _AHEAD / _MOST_STEPS) & (apart < _AHEAD / 2)

    def remember(self, frames: Tensor, whole: Tensor | None = None) -> None:
        """Keep what is shown now, uint8 (lanes, H, W, 3), where there is no picture of that direction that is new.

        whole: bool (lanes,), whose frames are not to be forgotten in part; those of others are not kept.
        """
        self.step = self.step + 1
        cosine = ((self.anchors * self.turn[:, None]).sum((-1, -2)) - 1) / 2  # of the angle of a rotation, by its trace
        angle = torch.where(self.shown >= 0, cosine.clamp(-1, 1).arccos(), torch.inf)
        angle, nearest = angle.min(1)
        last = self.shown.gather(1, nearest[:, None])[:, 0]
        same = angle < _SAME
        wanted = same | (angle > _NEAR) | (last < self.step - _STALE)
        lanes = (wanted if whole is None else wanted & whole).nonzero()[:, 0]
        same, oldest = same[lanes], self.shown[lanes].argmin(1)
        slot = torch.where(same, nearest[lanes], oldest)
        self.frames[lanes, slot], self.turns[lanes, slot] = frames[lanes], self.turn[lanes]
        self.shown[lanes, slot] = self.step[lanes]
        self.anchors[lanes[~same], slot[~same]] = self.turn[lanes[~same]]

    def replace(self, frames: Tensor) -> None:
        """The present frames are others, uint8 (lanes, H, W, 3): where they are kept, these are."""
        lanes, slots = (self.shown == self.step[:, None]).nonzero(as_tuple=True)
        self.frames[lanes, slots] = frames[lanes]

    def turned(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Places (lanes, H, W, 2) if all of the flow were the camera's turn, and its angle in degrees (lanes,)."""
        height, width = places.shape[1:3]
        rotation = self._rotation(places)
        rays = self._rays(pixel_places(height, width, places.device))
        along = (rotation[:, None, None] * rays[..., None, :]).sum(-1)
        return self._places(along, width / height), torch.rad2deg(_angle(rotation))

    def _rays(self, places: Tensor) -> Tensor:
        """Directions (..., 3), right, down and ahead, of places (..., 2), of a whole picture (height, width, 2)."""
        height, width = places.shape[-3:-1]
        slope = math.tan(math.radians(self.field_of_view) / 2)
        across = places * places.new_tensor([slope * width / height, slope])
        return F.pad(across, (0, 1), value=1.0)

    def _places(self, rays: Tensor, aspect: float) -> Tensor:
        """The inverse of `_rays`."""
        slope = math.tan(math.radians(self.field_of_view) / 2)
        return rays[..., :2] / (rays[..., 2:].clamp_min(1e-6) * rays.new_tensor([slope * aspect, slope]))

    def _rotation(self, places: Tensor) -> Tensor:
        """How the camera has turned: from its axes to those of the camera before, (lanes, 3, 3).

        The rotation (Kabsch 1976) that most of the flow fits, found by weighting each point by what it misses by: the
        hand stays, animals walk, and what is near moves otherwise when the camera also goes somewhere.
        """
        middle = slice(_EVERY // 2, None, _EVERY)
        height, width = places.shape[1:3]
        now = self._rays(pixel_places(height, width, places.device))[middle, middle].flatten(0, 1)
        before = self._rays(places)[:, middle, middle].flatten(1, 2)
        now, before = F.normalize(now, dim=-1), F.normalize(before, dim=-1)
        # Points last: a sum over the innermost axis does not depend on how many lanes there are.
        pairs = (before[..., None] * now[:, None]).movedim(1, -1).contiguous()  # (lanes, 3, 3, points)
        rotation = torch.eye(3, device=places.device).expand(len(places), 3, 3)
        weights = torch.ones_like(before[..., 0])
        for number in range(_ROUNDS):
            if number:
                missed = (before - (rotation[:, None] * now[:, None]).sum(-1)).norm(dim=-1)
                weights = 1 / (missed + _TOLERANCE)
            u, _, vh = torch.linalg.svd((pairs * weights[:, None, None]).sum(-1).nan_to_num())
            # The last axis of both follows from the others, so that neither mirrors.
            u = torch.stack([u[..., 0], u[..., 1], torch.linalg.cross(u[..., 0], u[..., 1])], -1)
            vh = torch.stack([vh[:, 0], vh[:, 1], torch.linalg.cross(vh[:, 0], vh[:, 1])], 1)
            rotation = _product(u, vh)
        return rotation


def _angle(rotation: Tensor) -> Tensor:
    """Of rotations (..., 3, 3), in radians, by their trace."""
    return ((rotation.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1).arccos()


def _product(one: Tensor, other: Tensor) -> Tensor:
    """Products of 3x3 matrices (..., 3, 3), written out: a batched one may round otherwise for one lane than for many.

    Of rotations it stays one: its rows are made orthogonal again.
    """
    product = (one[..., :, :, None] * other[..., None, :, :]).sum(-2)
    first = F.normalize(product[..., 0, :], dim=-1)
    second = F.normalize(product[..., 1, :] - (product[..., 1, :] * first).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], -2)

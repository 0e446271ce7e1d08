"""What a World's painter does while it is stepped: what comes into view, first frames from text, and frames anew.

See `worldsim.model.painting` for how it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from worldsim.model import PATCH
from worldsim.model.painting import guess, paint, paint_on
from worldsim.model.shown import LITTLE, Shown
from worldsim.model.surroundings import OfLanes
from worldsim.model.text import Text
from worldsim.world import World

_ALONE = 24  # denoising steps of a frame of which nothing is known
_BESIDE = 5  # pixels around which what lies over the picture hides


@dataclass
class Easel(OfLanes):
    """Views that are being painted, lanes first: one denoising step in a step of the World, so that none takes long."""

    view: Tensor  # float32 (lanes, 16 h, 16 w, 4): what is known of it, see `worldsim.model.shown`
    known: Tensor  # (lanes, 1, h, w, C + 16): the same as the painter is told it
    turn: Tensor  # float32 (lanes, 3, 3): of the camera that will see it, see `worldsim.model.surroundings`
    latents: Tensor  # float32 (lanes, h, w, C): noisy, as far as it has come
    done: Tensor  # int64 (lanes,): denoising steps that it has had
    steps: int  # that it gets; who has had them has nothing on the easel

    @classmethod
    def empty(cls, world: World, latents: Tensor) -> Easel:
        """With nothing on it, for lanes whose latents are (lanes, h, w, C)."""
        lanes, height, width, _ = latents.shape
        view = torch.zeros(lanes, PATCH * height, PATCH * width, 4, device=latents.device)
        # No camera is turned by a matrix of zeros: by its trace it is 120 degrees from all.
        turn, noisy = view.new_zeros(lanes, 3, 3), torch.zeros_like(latents, dtype=torch.float32)
        steps = world.spec.painter_steps
        done = torch.full((lanes,), steps, device=latents.device)
        return cls(view, guess(world.tokenizer, view), turn, noisy, done, steps)

    @property
    def busy(self) -> Tensor:
        """Which lanes have something on it, bool (lanes,)."""
        return self.done < self.steps


class Painting:
    """What a World's painter is told in each lane of a Simulation, and what it is painting there."""

    def __init__(self, prompts: list[str | None], words: Text, easel: Easel) -> None:
        self.prompts, self.words, self.easel = prompts, words, easel

    @classmethod
    def begin(cls, world: World, latents: Tensor) -> Painting | None:
        """With nothing said and nothing painted yet, for lanes of latents (lanes, h, w, C); None without a painter."""
        if world.painter is None:
            return None
        prompts: list[str | None] = [None] * len(latents)
        return cls(prompts, world.painter.encode_prompts(prompts), Easel.empty(world, latents))

    def tell(self, world: World, lanes: Sequence[int], prompts: Sequence[str | None]) -> None:
        """From now on these are the prompts of some lanes."""
        assert world.painter is not None, "this World has no painter"
        for lane, prompt in zip(lanes, prompts, strict=True):
            self.prompts[lane] = prompt
        self.words = world.painter.encode_prompts(self.prompts)

    def clear(self, lanes: list[int]) -> None:
        """Some lanes look elsewhere from now on: what was being painted there is of no use."""
        self.easel.done[lanes], self.easel.turn[lanes] = self.easel.steps, 0.0

    def picked(self, lanes: Sequence[int]) -> Painting:
        """A copy, of these lanes."""
        index = torch.tensor(lanes, device=self.easel.done.device)
        words, easel = self.words.map(lambda tensor: tensor[index]), self.easel.map(lambda tensor: tensor[index])
        return Painting([self.prompts[lane] for lane in lanes], words, easel)


@torch.no_grad()
def paint_ahead(
    world: World, shown: Shown, painting: Painting, moved: Tensor, noise: Callable[[list[int]], Tensor]
) -> Tensor:
    """Paint what is not in view, once a step; returns what is known of the next frames, with what is painted of that.

    moved (lanes, 16 h, 16 w, 4): what is known, see `worldsim.model.shown`; noise(lanes): for each of these lanes what
    decides of what is painted, (n, h, w, C). Where something of the next frame is not known, or the camera turns to
    where that will be so, the view some steps on is put on the easel; when it is finished it is kept beside what was
    seen in other directions, and looked up: one painting for several steps, and of wide strips, which fit together
    better than narrow ones. Lanes in which nothing is new are left alone, and cost nothing.
    """
    assert world.painter is not None, "this World has no painter"
    around, overlay, easel = shown.surroundings, shown.overlay, painting.easel
    assert around is not None, "it is seen through a camera that turns"
    missing = moved[..., 3] == 0
    if overlay is not None:  # beside a hand there is always a little missing, which is drawn without being painted
        missing = missing & (F.max_pool2d(overlay[None].float(), _BESIDE, 1, _BESIDE // 2)[0] == 0)
    new = missing.flatten(1).float().mean(1) > LITTLE
    lanes = (~easel.busy & (new | around.turns_to(easel.turn))).nonzero()[:, 0]
    if len(lanes):
        view, turn = around.map(lambda tensor: tensor[lanes]).ahead(moved[lanes], overlay)
        # Where all of it has been seen there is nothing to paint, until the camera has turned there.
        done = torch.where((view[..., 3] == 0).flatten(1).float().mean(1) > LITTLE, 0, easel.steps)
        begun = noise(lanes.tolist()).float()
        easel.put(lanes.tolist(), Easel(view, guess(world.tokenizer, view), turn, begun, done, easel.steps))
    lanes = easel.busy.nonzero()[:, 0]
    if not len(lanes):
        return moved
    work = easel.map(lambda tensor: tensor[lanes])
    said = painting.words.map(lambda tensor: tensor[lanes])
    work.latents = paint_on(world.painter, work.latents, work.done, work.steps, work.known, said)
    work.done = work.done + 1
    easel.latents[lanes], easel.done[lanes] = work.latents, work.done
    if not (finished := ~work.busy).any():
        return moved
    lanes, work, moved = lanes[finished], work.map(lambda tensor: tensor[finished]), moved.clone()
    here = around.map(lambda tensor: tensor[lanes])
    here.keep(world.tokenizer.decode_uint8(work.latents.to(world.dtype), work.view), work.turn)
    around.put(lanes.tolist(), here)
    moved[lanes] = here.looked_up(moved[lanes], here.turn, overlay)
    return moved


@torch.no_grad()
def paint_frames(world: World, prompts: Sequence[str | None], gaussian: Tensor) -> Tensor:
    """Frames of texts, uint8 (lanes, 16 h, 16 w, 3), from gaussian (lanes, h, w, C)."""
    return world.tokenizer.decode_uint8(_latents(world, prompts, gaussian).to(world.dtype))


@torch.no_grad()
def repaint(world: World, frames: Tensor, prompt: str, gaussian: Tensor, strength: float) -> Tensor:
    """Frames uint8 (lanes, 16 h, 16 w, 3) made anew by a prompt, to the degree `strength` in (0, 1] (SDEdit).

    Noise hides how bright a picture is on the whole last of all: night would stay night. So each row of tokens first
    gets the mean that it has in a picture of the prompt, as in `worldsim.reel.anew`.
    """
    latents = world.tokenizer.encode(frames).float()
    like = _latents(world, [prompt] * len(frames), gaussian)
    latents = latents + min(1.0, 2 * strength) * (like.mean(2, keepdim=True) - latents.mean(2, keepdim=True))
    painted = _latents(world, [prompt] * len(frames), gaussian, latents, strength)
    return world.tokenizer.decode_uint8(painted.to(world.dtype))


def _latents(
    world: World, prompts: Sequence[str | None], gaussian: Tensor, latents: Tensor | None = None, cap: float = 1.0
) -> Tensor:
    """Painted with nothing known, guided by texts."""
    assert world.painter is not None, "this World has no painter"
    lanes, height, width, _ = gaussian.shape
    nothing_known = gaussian.new_zeros(lanes, PATCH * height, PATCH * width, 4, dtype=torch.float32)
    painter, told = world.painter, guess(world.tokenizer, nothing_known)
    return paint(
        painter, told, gaussian, painter.encode_prompts(prompts), steps=_ALONE, latents=latents, cap=cap,
        guidance_scale=world.spec.guidance_scale, nothing=painter.encode_prompts([None]),
    )  # fmt: skip

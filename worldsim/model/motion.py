"""Motion: the frame before, moved by a learned flow to where its things are now.

A shift of the picture by part of a token is a hard function of its latents and an easy one of its pixels. So the flow
is predicted from tokens, and applied to a picture: latents are drawn with the tokenizer's linear inverse, every pixel
is looked up where the flow points (as in spatial transformers, arXiv 1506.02025), and the result is read back.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from worldsim.model import PATCH
from worldsim.model.layers import PLACE_FEATURES, Linear, place_features, places_of_tokens
from worldsim.model.tokenizer import Tokenizer

POINTS = 4  # the flow is given at 4x4 points of every token, and between them bilinearly
_REACH = 0.1  # an output of 1 moves by this share of the height: a shift is learned as fast as a change of colour
_PIXELS = PATCH * PATCH * 3


class Motion(nn.Module):
    """Predicts the flow and applies it to latents of `latent` channels.

    The flow is the sum of two: a smooth one of the whole picture, which the frame's condition decides (a turn of the
    camera is that), and one of each token. Each pixel follows it by a factor of its own. With `shares_motion` tokens
    also decide how much of the whole picture's flow there is at each point: none where a step is barred.
    """

    def __init__(
        self, latent: int, channels: int, condition: int, sees_motion: bool = False, shares_motion: bool = False
    ) -> None:
        super().__init__()
        # Neither is trained, so that one undoes the other exactly: a product of the two with a gain above 1, however
        # little, would brighten at every step what a gate keeps.
        self.draw = Linear(latent, _PIXELS, bias=False).requires_grad_(False)
        self.read = Linear(_PIXELS, latent).requires_grad_(False)
        self.whole = Linear(condition, 2 * PLACE_FEATURES)
        self.parts = Linear(channels, 2 * POINTS * POINTS)
        self.follow = Linear(channels, PATCH * PATCH)
        self.shares: Linear | None = None
        zero = [self.whole, self.parts, self.follow]
        if sees_motion:
            self.goes_on = Linear(channels, POINTS * POINTS)
            self.embed_seen = Linear(2 * POINTS * POINTS, channels)
            zero += [self.goes_on, self.embed_seen]
        if shares_motion:
            self.shares = shares = Linear(channels, POINTS * POINTS)
            zero += [shares]
        for linear in zero:
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    @torch.no_grad()
    def start_from(self, tokenizer: Tokenizer) -> None:
        """Draw as the tokenizer's linear part does, without the mean picture; read likewise."""
        self.draw.weight.copy_(tokenizer.synthesis.T)
        self.read.weight.copy_(tokenizer.analysis.T)
        self.read.bias.zero_()

    def flow(self, tokens: Tensor, condition: Tensor, height: int, width: int, seen: Tensor | None = None) -> Tensor:
        """How far to the right and below of each point lies what is seen there now: (frames, 4 h, 4 w, 2) in pixels.

        tokens (frames, h * w, channels), normalised; condition (frames, condition); seen (frames, 4 h, 4 w, 2): how the
        frame before had moved, of which a share goes on that the tokens decide for each point.
        """
        parts = rearrange(self.parts(tokens), "f (h w) (p q c) -> f (h p) (w q) c", h=height, p=POINTS, q=POINTS)
        places = place_features(places_of_tokens(height * POINTS, width * POINTS, tokens.device))
        # Written as a sum, because a batched product rounds differently for one lane and for many.
        weights = rearrange(self.whole(condition).float(), "f (c k) -> f 1 c k", c=2)
        whole = (weights * places[None, :, None]).sum(-1).view_as(parts)
        if self.shares is not None:
            whole = 2 * _points(self.shares(tokens), height).sigmoid() * whole  # all of it, until it is learned
        flow = _REACH * PATCH * height * (parts.float() + whole)
        if seen is None:
            return flow
        return flow + _points(self.goes_on(tokens), height).sigmoid() * seen.float()

    def embed(self, seen: Tensor) -> Tensor:
        """What each token is told of a flow (frames, 4 h, 4 w, 2): (frames, h * w, channels)."""
        height = seen.shape[1] // POINTS
        points = rearrange(seen, "f (h p) (w q) c -> f (h w) (p q c)", p=POINTS, q=POINTS)
        return self.embed_seen((points / (_REACH * PATCH * height)).to(self.embed_seen.weight.dtype))

    def drawn(self, latents: Tensor) -> Tensor:
        """Latents (..., h, w, C) as pictures (..., H, W, 3), float32 from about -1 to 1, without the mean picture."""
        return rearrange(self.draw(latents).float(), "... h w (p q c) -> ... (h p) (w q) c", p=PATCH, q=PATCH)

    def follows(self, tokens: Tensor, height: int) -> Tensor:
        """The factor by which each pixel follows the flow, (frames, H, W, 1); tokens as for `flow`.

        A crosshair and a hand stay, whatever moves beside them; what is near moves further than what it hides.
        """
        change = rearrange(self.follow(tokens), "f (h w) (p q) -> f (h p) (w q) 1", h=height, p=PATCH)
        return 1 + change.float()

    def move(self, latents: Tensor, places: Tensor) -> Tensor:
        """Latents (frames, h, w, C) drawn, looked up at places (frames, 16 h, 16 w, 2), and read."""
        with torch.no_grad():  # a gradient for the frame before would cost too much
            drawn = self.drawn(latents)
        patches = rearrange(looked_up(drawn, places), "f (h p) (w q) c -> f h w (p q c)", p=PATCH, q=PATCH)
        return self.read(patches.to(latents.dtype))


def _points(values: Tensor, height: int) -> Tensor:
    """What tokens (frames, h * w, POINTS * POINTS) say of their points: float32 (frames, 4 h, 4 w, 1)."""
    return rearrange(values, "f (h w) (p q) -> f (h p) (w q) 1", h=height, p=POINTS).float()


def places_before(flow: Tensor, follows: Tensor | float = 1.0) -> Tensor:
    """Where in the frame before each pixel is looked up, float32 (frames, H, W, 2), see `pixel_places`.

    flow (frames, H / 4, W / 4, 2) in pixels; follows (frames, H, W, 1): its factor for each pixel.
    """
    side = PATCH // POINTS
    height, width = side * flow.shape[1], side * flow.shape[2]
    offset = rearrange(flow / flow.new_tensor([width / 2, height / 2]), "f h w c -> f c h w")
    offset = F.interpolate(offset, scale_factor=side, mode="bilinear", align_corners=False)
    return rearrange(offset, "f c h w -> f h w c") * follows + pixel_places(height, width, flow.device)


def looked_up(pictures: Tensor, places: Tensor, between: str = "bicubic") -> Tensor:
    """Pictures (frames, H, W, C) at places (frames, H, W, 2), see `pixel_places`; beyond the edge, at it."""
    pictures = rearrange(pictures, "f h w c -> f c h w").contiguous()
    if torch.compiler.is_compiling():
        found = _sampled(pictures, places, _MODES[between])
    else:
        found = F.grid_sample(pictures, places, mode=between, padding_mode="border", align_corners=False)
    return rearrange(found, "f c h w -> f h w c")


_MODES = {"bilinear": 0, "bicubic": 2}  # as the operators below count them
_BORDER = 1


@torch.library.custom_op("worldsim::sampled", mutates_args=())
def _sampled(pictures: Tensor, places: Tensor, mode: int) -> Tensor:
    """`F.grid_sample` that is not compiled: what the compiler makes of it took five times as long on a CPU."""
    return torch.ops.aten.grid_sampler_2d(pictures, places, mode, _BORDER, False)


@_sampled.register_fake
def _(pictures: Tensor, places: Tensor, mode: int) -> Tensor:
    return pictures.new_empty(*pictures.shape[:2], *places.shape[1:3])


def _keep_for_gradients(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])
    ctx.mode = inputs[2]


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    wanted = list(ctx.needs_input_grad[:2])
    of_pictures, of_places = torch.ops.aten.grid_sampler_2d_backward(
        gradient, *ctx.saved_tensors, ctx.mode, _BORDER, False, wanted
    )
    return of_pictures if wanted[0] else None, of_places if wanted[1] else None, None


_sampled.register_autograd(_gradients, setup_context=_keep_for_gradients)


def bilinear(pictures: Tensor, picture: Tensor, pixels: Tensor) -> Tensor:
    """The values float32 (..., C) of pictures (n, H, W, C), each from the one that picture, int64 (...), says.

    pixels (..., 2 or more): columns and rows, between which it lies bilinearly; beyond the edge, at it.
    """
    height, width, channels = pictures.shape[1:]
    table = pictures.reshape(-1, channels)
    column, row = pixels[..., 0].clamp(0, width - 1), pixels[..., 1].clamp(0, height - 1)
    left, top = column.floor().clamp_max(width - 2), row.floor().clamp_max(height - 2)
    corner = (picture * height + top.long()) * width + left.long()

    def at(offset: int) -> Tensor:
        return table.index_select(0, (corner + offset).flatten()).view(*corner.shape, channels).float()

    right, below = (column - left)[..., None], (row - top)[..., None]
    return torch.lerp(torch.lerp(at(0), at(1), right), torch.lerp(at(width), at(width + 1), right), below)


def carried(frames: Tensor, places: Tensor) -> Tensor:
    """Frames, uint8 (lanes, H, W, 3), at places (lanes, H, W, 2): float32 (lanes, H, W, 4), for `Tokenizer.decode`.

    Colours in [0, 1]; the last channel is 1 where the place is in view, and 0 elsewhere. Of frames that follow one
    another `worldsim.model.shown` makes the same.
    """
    height, width = frames.shape[1:3]
    there = (places.abs() <= 1).all(-1, keepdim=True)
    picture = torch.arange(len(frames), device=frames.device)[:, None, None].expand(places.shape[:3])
    return torch.cat([bilinear(frames, picture, pixels_of(places, height, width)) / 255, there.float()], -1)


def pixels_of(places: Tensor, height: int, width: int) -> Tensor:
    """Places (..., 2) in pictures of that size, see `pixel_places`, as column and row, 0 in the middle of the first."""
    return ((places + 1) * places.new_tensor([width, height]) - 1) / 2


def pixel_places(height: int, width: int, device: torch.device) -> Tensor:
    """The middle of every pixel, (height, width, 2): x and y, from -1 to 1 across the picture."""
    x = (2 * torch.arange(width, device=device) + 1) / width - 1
    y = (2 * torch.arange(height, device=device) + 1) / height - 1
    return torch.stack(torch.broadcast_tensors(x, y[:, None]), -1)

"""The blocks of the dynamics: attention in space, through time and to text, led by a condition of each frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor, nn

from worldsim.model.layers import MLP, Linear, Projection, RMSNorm, Rotation, attend, merge_heads, rms_norm

if TYPE_CHECKING:
    from worldsim.model.dynamics import DynamicsConfig


class Conditioned(nn.Module):
    """The per-frame scales, shifts and gates of one block (AdaLN, arXiv 2212.09748), from the frame's condition."""

    def __init__(self, condition: int, channels: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.linear = Linear(condition, parts * channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, condition: Tensor) -> tuple[Tensor, ...]:
        """(frames, condition) to `parts` tensors (frames, 1, channels)."""
        return self.linear(condition)[:, None].chunk(self.parts, -1)


def modulate(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """RMS-normalise x (frames, tokens, channels), then scale and shift it per frame."""
    return torch.addcmul(shift, rms_norm(x), 1 + scale)


class DynamicsBlock(nn.Module):
    """Attention inside the frame and to the frame before; in some blocks through time and to text; an MLP."""

    def __init__(self, config: DynamicsConfig, in_time: bool, to_text: bool) -> None:
        super().__init__()
        channels, heads = config.channels, config.heads
        self.modulation = Conditioned(config.condition_channels, channels, 6)
        self.space = Projection(channels, heads, parts=3, normed=2)
        self.before = Projection(channels, heads, parts=2, normed=1) if config.causal else None
        self.space_out = Linear(channels, channels, bias=False)
        self.mlp = MLP(channels)
        self.time = Projection(channels, heads, parts=3, normed=2) if in_time else None
        self.text_query = Projection(channels, heads, parts=1, normed=1) if to_text else None
        if in_time:
            self.time_norm = RMSNorm(channels)
            self.time_out = Linear(channels, channels, bias=False)
        if to_text:
            self.text_norm = RMSNorm(channels)
            self.text_keys = Projection(channels, heads, parts=2, normed=1)
            self.text_out = Linear(channels, channels, bias=False)

    def spatial(self, x: Tensor, previous: Tensor | None, rotation: Rotation, rotation_before: Rotation) -> Tensor:
        """x (frames, tokens + registers, channels) attends to itself and to the frame before (frames, tokens, c)."""
        q, k, v = self.space(x, rotation)
        if self.before is not None:
            k_before, v_before = self.before(previous, rotation_before)
            k, v = torch.cat([k, k_before], 2), torch.cat([v, v_before], 2)
        return self.space_out(merge_heads(attend(q, k, v)))

    def temporal(
        self, x: Tensor, rotation: Rotation, mask: Tensor | None, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x (batch, time, tokens, channels) attends through time; also returns its rotated keys and its values."""
        assert self.time is not None
        batch = x.shape[0]
        # Contiguous also for one lane, where it could be a view: the product of a view rounds differently.
        x = rearrange(self.time_norm(x), "b t n c -> (b n) t c").contiguous()
        q, k, v = self.time(x, rotation)
        keys, values = k, v
        if past is not None:
            keys, values = (torch.cat([old.flatten(0, 1), new], 2) for old, new in zip(past, (k, v), strict=True))
        looked = self.time_out(merge_heads(attend(q, keys, values, mask)))
        k, v = (part.unflatten(0, (batch, -1)) for part in (k, v))
        return rearrange(looked, "(b n) t c -> b t n c", b=batch), k, v

    def attend_text(self, x: Tensor, time: int, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """x (batch * time, tokens, channels) attends to the text's keys and values where mask (batch, length).

        (batch * time, 1, channels) if there is but one key: who listens makes no difference then.
        """
        assert self.text_query is not None
        if keys.shape[2] == 1:
            return self.text_out(merge_heads(values)).repeat_interleave(time, 0)
        (q,) = self.text_query(rearrange(self.text_norm(x), "(b t) n c -> b (t n) c", t=time))
        read = self.text_out(merge_heads(attend(q, keys, values, mask[:, None, None])))
        return rearrange(read, "b (t n) c -> (b t) n c", t=time)

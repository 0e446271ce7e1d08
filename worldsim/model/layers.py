"""The parts that the tokenizer, the dynamics and the text encoder share: rotary positions, attention, MLP.

Plain pre-norm transformer parts: RMSNorm (arXiv 1910.07467), QK-norm (arXiv 2302.05442), RoPE (arXiv 2104.09864).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

_PIECE = 256  # numbers of a row that are summed in one go, by measurement: AMX, one thread and two
PLACE_FEATURES = 20  # of `place_features`: four waves both ways as cosine and sine, three products, a constant
Rotation = tuple[Tensor, Tensor]  # cosines and sines, each (..., tokens, head_dim // 2) in float32


def rotary_angles(positions: Tensor, dims: int, longest: float) -> Tensor:
    """Angles for `dims` rotated pairs at `positions` (...,), periods from 2 pi up to 2 pi * `longest`: (..., dims).

    They are computed in float64: a World that has been stepped for days has large time positions.
    """
    exponent = torch.arange(dims, dtype=torch.float64, device=positions.device) / max(dims - 1, 1)
    return positions.to(torch.float64)[..., None] * longest**-exponent


def rotation_in_time(positions: Tensor, head_dim: int) -> Rotation:
    """The rotation for whole-frame positions in time (..., time)."""
    angles = rotary_angles(positions, head_dim // 2, 1000.0)
    return angles.cos().float(), angles.sin().float()


def rotation_in_space(
    height: int, width: int, head_dim: int, extra: int = 0, device: torch.device | None = None
) -> Rotation:
    """The rotation for a grid of height x width tokens, row by row, then `extra` tokens that have no place.

    Half of the pairs turn with the row, half with the column. Positions are centred, so a larger picture extends the
    grid on all sides and the middle keeps its meaning. Cosines and sines: (height * width + extra, head_dim // 2).
    """
    pairs = head_dim // 4
    rows = torch.arange(height, device=device) - (height - 1) / 2
    columns = torch.arange(width, device=device) - (width - 1) / 2
    by_row = rotary_angles(rows, pairs, 50.0)[:, None].expand(height, width, pairs)
    by_column = rotary_angles(columns, pairs, 50.0)[None].expand(height, width, pairs)
    angles = torch.cat([by_row, by_column], -1).reshape(height * width, 2 * pairs)
    angles = F.pad(angles, (0, 0, 0, extra))
    return angles.cos().float(), angles.sin().float()


def place_features(height: int, width: int, device: torch.device) -> Tensor:
    """Where in the picture each cell of a grid lies, (height * width, 20) in float32.

    In units of half the picture's height from its middle: what a camera's turn does to a cell depends on where it is,
    and larger pictures of the same field of view have more cells.
    """
    y = (2 * torch.arange(height, device=device) + 1 - height) / height
    x = (2 * torch.arange(width, device=device) + 1 - width) / height
    places = torch.stack(torch.broadcast_tensors(x, y[:, None]), -1).flatten(0, 1)
    angles = (places[..., None] * torch.tensor([0.25, 0.5, 1.0, 2.0], device=device) * torch.pi).flatten(1)
    squares = torch.stack([places[:, 0] ** 2, places[:, 1] ** 2, places[:, 0] * places[:, 1]], -1)
    return torch.cat([angles.cos(), angles.sin(), squares, torch.ones_like(squares[:, :1])], -1)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn queries or keys (..., heads, tokens, head_dim) by a rotation that broadcasts over the leading axes."""
    cosine, sine = (part.to(x.dtype) for part in rotation)
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of queries (..., heads, tokens, head_dim); mask: bool, True where a key may be seen.

    With gradients it is written out: for the short sequences here the backward pass of PyTorch's fused attention took
    three to ten times as long on a CPU, and a third of a training step.
    """
    if not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.float().softmax(-1).to(v.dtype) @ v


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` of x (..., in), weight (out, in), bias (out,): no row's result depends on how many rows there are.

    A lane must show the same frames alone and beside others. With gradients it is plain. PyTorch's
    CPU kernels round differently below a dozen rows, and for rows that do not lie one behind the other: so rows are
    laid so, and few are padded to 16. They sum long rows in pieces that depend on how many rows there are: so the
    pieces are made here, always the same.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return F.linear(x, weight, bias)
    width = x.shape[-1]
    rows = x.numel() // width
    flat = x.reshape(rows, -1)
    if rows < 16:
        flat = F.pad(flat, (0, 0, 0, 16 - rows))
    piece = _PIECE if x.device.type == "cpu" else width
    out = F.linear(flat[:, :piece], weight[:, :piece], bias)
    for first in range(piece, width, piece):
        part = slice(first, first + piece)
        out.addmm_(flat[:, part], weight[:, part].T)
    return out[:rows].unflatten(0, x.shape[:-1])


class Linear(nn.Linear):
    """A linear layer that computes by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class Projection(nn.Module):
    """Tokens (batch, tokens, channels) to queries, keys or values (batch, heads, tokens, head_dim), as many as asked.

    The first `normed` of them are RMS-normalised (QK-norm), so that attention logits stay bounded in bfloat16.
    """

    def __init__(self, channels: int, heads: int, parts: int, normed: int) -> None:
        super().__init__()
        self.heads, self.parts, self.normed = heads, parts, normed
        self.linear = Linear(channels, parts * channels, bias=False)
        self.gains = nn.Parameter(torch.ones(normed, channels // heads))

    def forward(self, x: Tensor) -> list[Tensor]:
        projected = rearrange(self.linear(x), "b n (p h d) -> p b h n d", p=self.parts, h=self.heads)
        out = []
        for index, part in enumerate(projected.unbind(0)):
            out.append(F.rms_norm(part, part.shape[-1:], self.gains[index], 1e-6) if index < self.normed else part)
        return out


class SelfAttention(nn.Module):
    """Full attention among tokens (batch, tokens, channels), with rotary positions."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.qkv = Projection(channels, heads, parts=3, normed=2)
        self.out = Linear(channels, channels, bias=False)

    def forward(self, x: Tensor, rotation: Rotation | None = None, mask: Tensor | None = None) -> Tensor:
        q, k, v = self.qkv(x)
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        return self.out(merge_heads(attend(q, k, v, mask)))


def merge_heads(x: Tensor) -> Tensor:
    """(batch, heads, tokens, head_dim) to (batch, tokens, heads * head_dim)."""
    return rearrange(x, "b h n d -> b n (h d)")


class MLP(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, channels: int, expansion: int = 4) -> None:
        super().__init__()
        self.up = Linear(channels, expansion * channels)
        self.down = Linear(expansion * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    """A pre-norm transformer block without conditioning: (batch, tokens, channels) to the same."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(channels, 1e-6), nn.RMSNorm(channels, 1e-6)
        self.attention = SelfAttention(channels, heads)
        self.mlp = MLP(channels)

    def forward(self, x: Tensor, rotation: Rotation | None = None, mask: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.norm1(x), rotation, mask)
        return x + self.mlp(self.norm2(x))


def count_parameters(module: nn.Module) -> int:
    """How many numbers the module's parameters hold."""
    return sum(parameter.numel() for parameter in module.parameters())

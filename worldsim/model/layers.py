"""The parts that the tokenizer, the dynamics and the text encoder share: rotary positions, attention, MLP.

Plain pre-norm transformer parts: RMSNorm (arXiv 1910.07467), QK-norm (arXiv 2302.05442), RoPE (arXiv 2104.09864).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

_EPSILON = 1e-6  # of RMSNorm
_FEW, _MANY = 4, 1024  # queries up to which attention is written out, in float32 and in bfloat16
_PIECE = 256  # numbers of a row that are summed in one go, by measurement: AMX, one thread and two
_TRIED = (1, 2, 17, 40, 42, 80, 84, 100, 126, 160, 168, 252, 336, 480, 640, 672, 1344)  # rows, of one lane and many
PLACE_FEATURES = 20  # of `place_features`: four waves both ways as cosine and sine, three products, a constant
Rotation = tuple[Tensor, Tensor]  # what `rotate` takes, each (..., tokens, head_dim) in float32


def rotary_angles(positions: Tensor, dims: int, longest: float) -> Tensor:
    """Angles for `dims` rotated pairs at `positions` (...,), periods from 2 pi up to 2 pi * `longest`: (..., dims).

    They are computed in float64: a World that has been stepped for days has large time positions.
    """
    exponent = torch.arange(dims, dtype=torch.float64, device=positions.device) / max(dims - 1, 1)
    return positions.to(torch.float64)[..., None] * longest**-exponent


def rotation_in_time(positions: Tensor, head_dim: int) -> Rotation:
    """The rotation for whole-frame positions in time (..., time)."""
    return _rotation(rotary_angles(positions, head_dim // 2, 1000.0))


def rotation_in_space(
    height: int, width: int, head_dim: int, extra: int = 0, device: torch.device | None = None
) -> Rotation:
    """The rotation for a grid of height x width tokens, row by row, then `extra` tokens that have no place.

    Half of the pairs turn with the row, half with the column. Positions are centred, so a larger picture extends the
    grid on all sides and the middle keeps its meaning. Its parts are (height * width + extra, head_dim).
    """
    pairs = head_dim // 4
    rows = torch.arange(height, device=device) - (height - 1) / 2
    columns = torch.arange(width, device=device) - (width - 1) / 2
    by_row = rotary_angles(rows, pairs, 50.0)[:, None].expand(height, width, pairs)
    by_column = rotary_angles(columns, pairs, 50.0)[None].expand(height, width, pairs)
    angles = torch.cat([by_row, by_column], -1).reshape(height * width, 2 * pairs)
    return _rotation(F.pad(angles, (0, 0, 0, extra)))


def _rotation(angles: Tensor) -> Rotation:
    """By angles (..., head_dim // 2), each of a channel of the first half and of its partner in the second."""
    cosine, sine = angles.cos().float(), angles.sin().float()
    return torch.cat([cosine, cosine], -1), torch.cat([-sine, sine], -1)


def places_of_tokens(height: int, width: int, device: torch.device) -> Tensor:
    """Where in the picture each cell of a grid lies, (height * width, 2) in float32: to the right and down.

    In units of half the picture's height from its middle: what a camera's turn does to a cell depends on where it is,
    and larger pictures of the same field of view have more cells.
    """
    y = (2 * torch.arange(height, device=device) + 1 - height) / height
    x = (2 * torch.arange(width, device=device) + 1 - width) / height
    return torch.stack(torch.broadcast_tensors(x, y[:, None]), -1).flatten(0, 1)


def place_features(places: Tensor) -> Tensor:
    """Features (..., 20) of places (..., 2), in float32."""
    angles = places[..., None] * torch.tensor([0.25, 0.5, 1.0, 2.0], device=places.device) * torch.pi
    angles = angles.flatten(-2)
    squares = torch.stack([places[..., 0] ** 2, places[..., 1] ** 2, places[..., 0] * places[..., 1]], -1)
    return torch.cat([angles.cos(), angles.sin(), squares, torch.ones_like(squares[..., :1])], -1)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn queries or keys (..., heads, tokens, head_dim) by a rotation that broadcasts over the leading axes."""
    cosine, sine = (part.to(x.dtype) for part in rotation)
    x = x.contiguous()  # what lies apart in memory is multiplied five times as slowly on a CPU
    first, second = x.chunk(2, -1)
    return torch.addcmul(x * cosine, torch.cat([second, first], -1), sine)


def plain(x: Tensor) -> bool:
    """Whether x is best computed with by plain operations: all but stepping on a CPU, which is measured and tuned."""
    return torch.is_grad_enabled() or torch.compiler.is_compiling() or x.device.type != "cpu"


def rms_norm(x: Tensor, gain: Tensor | None = None) -> Tensor:
    """x (..., channels) divided by the root of its mean square, times a gain that broadcasts (RMSNorm).

    While stepping in half of the passes over memory that `F.rms_norm` takes on a CPU.
    """
    if plain(x):
        normed = F.rms_norm(x, x.shape[-1:], eps=_EPSILON)
    else:
        exact = torch.promote_types(x.dtype, torch.float32)
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=exact)
        normed = x * (length.square() / x.shape[-1] + _EPSILON).rsqrt().to(x.dtype)
    return normed if gain is None else normed * gain


class RMSNorm(nn.Module):
    """`rms_norm` with a learned gain for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of queries (..., heads, tokens, head_dim); mask: bool, True where a key may be seen.

    With gradients it is written out: for the short sequences here the backward pass of PyTorch's fused attention took
    three to ten times as long on a CPU, and a third of a training step. While stepping on a CPU it is written out in
    bfloat16, for which fused attention takes twice as long there, and in float32 for few queries (three times); but not
    for very many, whose scores would fill the memory.
    """
    trains = torch.is_grad_enabled()
    if not trains and (plain(q) or q.shape[-2] > (_FEW if q.dtype == torch.float32 else _MANY)):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    shares = scores.float().softmax(-1).to(v.dtype) if trains else scores.softmax(-1)  # which sums in float32 too
    return shares @ v


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` of x (..., in), weight (out, in), bias (out,): no row's result depends on how many rows there are.

    A lane must show the same frames alone and beside others. PyTorch's CPU kernels round differently below a dozen
    rows, and for rows that do not lie one behind the other: so rows are laid so, and few are padded to 16. They sum
    long rows in pieces that depend on how many rows there are: so the pieces are made here, always the same. In
    training and on a GPU it is plain.
    """
    if plain(x):
        return F.linear(x, weight, bias)
    width = x.shape[-1]
    rows = x.numel() // width
    flat = x.reshape(rows, width)
    if rows < 16:
        flat = F.pad(flat, (0, 0, 0, 16 - rows))
    out = F.linear(flat[:, :_PIECE], weight[:, :_PIECE], bias)
    for first in range(_PIECE, width, _PIECE):
        part = slice(first, first + _PIECE)
        out.addmm_(flat[:, part], weight[:, part].T)
    return out[:rows].unflatten(0, x.shape[:-1])


class Linear(nn.Linear):
    """A linear layer that computes by `linear`; after `prepare` by what is up to three times as fast, equally exact."""

    _prepared: list[Tensor] | None = None

    def prepare(self) -> None:
        """Get ready to be stepped with the present weight, which must not be changed any more.

        oneDNN wants weights in a layout of its own, which PyTorch makes anew in every call. Here it is made once, of
        the whole weight or of pieces of it, whichever makes no row depend on the others. Only for bfloat16 on a CPU,
        where one of the two does, with the number of threads of this moment.
        """
        self._prepared = None
        if self.weight.device.type != "cpu" or self.weight.dtype != torch.bfloat16 or not _has_layouts():
            return
        out, width = self.weight.shape
        for piece in (width, min(width, _PIECE)):
            if _rows_are_alone(out, piece, torch.get_num_threads()):
                self._prepared = [_laid_out(part) for part in self.weight.split(piece, 1)]
                return

    def forward(self, x: Tensor) -> Tensor:
        if self._prepared is None or plain(x) or self.weight.dtype != torch.bfloat16:  # moved since
            return linear(x, self.weight, self.bias)
        compute = torch.ops.mkldnn._linear_pointwise
        if len(self._prepared) == 1:
            return compute(x, self._prepared[0], self.bias, "none", [], "")
        parts = x.split(_PIECE, -1)
        out = compute(parts[0], self._prepared[0], self.bias, "none", [], "")
        for part, weight in zip(parts[1:], self._prepared[1:], strict=True):
            out = compute.binary(part, out, weight, None, "add")
        return out

    def __getstate__(self) -> dict[str, Any]:  # oneDNN's layout cannot be copied; a copy does without
        return {key: value for key, value in super().__getstate__().items() if key != "_prepared"}


def _laid_out(weight: Tensor) -> Tensor:
    # For one row: for more, more kinds of kernels sum long rows in pieces that depend on how many rows there are.
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), 1)


@lru_cache
def _has_layouts() -> bool:
    """Whether PyTorch has the operations that its compiler uses for laid out weights, and this machine bfloat16."""
    ops = torch.ops.mkldnn
    there = all(hasattr(ops, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))
    return there and torch.backends.mkldnn.is_available() and ops._is_mkldnn_bf16_supported()


@lru_cache
def _rows_are_alone(out: int, width: int, threads: int) -> bool:
    """Whether with a weight (out, width) no row depends on how many there are, tried out in some 10 ms."""
    numbers = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(size, width, generator=numbers).bfloat16() for size in (_TRIED[-1], out))
    prepared = _laid_out(weight)
    with torch.no_grad():
        results = [torch.ops.mkldnn._linear_pointwise(x[:n], prepared, None, "none", [], "") for n in _TRIED]
    return all(torch.equal(result, results[-1][: len(result)]) for result in results)


class Projection(nn.Module):
    """Tokens (batch, tokens, channels) to queries, keys or values (batch, heads, tokens, head_dim), as many as asked.

    The first `normed` of them are RMS-normalised (QK-norm), so that attention logits stay bounded in bfloat16, and
    turned by a rotation if one is given.
    """

    def __init__(self, channels: int, heads: int, parts: int, normed: int) -> None:
        super().__init__()
        self.heads, self.parts, self.normed = heads, parts, normed
        self.linear = Linear(channels, parts * channels, bias=False)
        self.gains = nn.Parameter(torch.ones(normed, channels // heads))

    def forward(self, x: Tensor, rotation: Rotation | None = None) -> list[Tensor]:
        projected = rearrange(self.linear(x), "b n (p h d) -> p b h n d", p=self.parts, h=self.heads)
        normed = rms_norm(projected[: self.normed], self.gains[:, None, None, None])
        if rotation is not None:
            normed = rotate(normed, rotation)
        return [*normed.unbind(0), *projected[self.normed :].unbind(0)]


class SelfAttention(nn.Module):
    """Full attention among tokens (batch, tokens, channels), with rotary positions."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.qkv = Projection(channels, heads, parts=3, normed=2)
        self.out = Linear(channels, channels, bias=False)

    def forward(self, x: Tensor, rotation: Rotation | None = None, mask: Tensor | None = None) -> Tensor:
        q, k, v = self.qkv(x, rotation)
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
        return self.down(F.gelu(self.up(x)))


class Block(nn.Module):
    """A pre-norm transformer block without conditioning: (batch, tokens, channels) to the same."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(channels), RMSNorm(channels)
        self.attention = SelfAttention(channels, heads)
        self.mlp = MLP(channels)

    def forward(self, x: Tensor, rotation: Rotation | None = None, mask: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.norm1(x), rotation, mask)
        return x + self.mlp(self.norm2(x))


def count_parameters(module: nn.Module) -> int:
    """How many numbers the module's parameters hold."""
    return sum(parameter.numel() for parameter in module.parameters())

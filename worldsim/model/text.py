"""The text encoder: UTF-8 bytes of a caption or prompt to a few vectors that the dynamics attends to."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worldsim.model.layers import Block, RMSNorm, rotation_in_time

TEXT_LENGTH = 224  # bytes; longer text is cut (at a whole character)
_PAD = 0


def encode_bytes(texts: list[str | None], device: torch.device | str = "cpu") -> Tensor:
    """Texts as UTF-8 bytes, int64 (len(texts), TEXT_LENGTH), padded with 0. None and "" are all padding: no text."""
    out = torch.zeros(len(texts), TEXT_LENGTH, dtype=torch.int64)
    for row, text in zip(out, texts, strict=True):
        data = (text or "").encode()[:TEXT_LENGTH].decode(errors="ignore").encode()
        row[: len(data)] = torch.tensor(list(data), dtype=torch.int64)
    return out.to(device)


class TextEncoder(nn.Module):
    """A small bidirectional transformer over bytes: int64 (batch, length) to (batch, 1 + length, channels) and a mask.

    The first vector is a learned "no text" that every text has as well, so that attention to an empty text is defined.
    """

    def __init__(self, channels: int, layers: int, head_dim: int = 64) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.bytes = nn.Embedding(256, channels)
        self.nothing = nn.Parameter(torch.zeros(1, 1, channels))
        self.layers = nn.ModuleList(Block(channels, channels // head_dim) for _ in range(layers))
        self.norm = RMSNorm(channels)

    def forward(self, data: Tensor) -> tuple[Tensor, Tensor]:
        """Byte ids (batch, length) to vectors (batch, 1 + length, channels) and a bool mask (batch, 1 + length)."""
        batch, length = data.shape
        x = torch.cat([self.nothing.expand(batch, -1, -1), self.bytes(data)], 1)
        mask = torch.cat([torch.ones_like(data[:, :1], dtype=torch.bool), data != _PAD], 1)
        rotation = rotation_in_time(torch.arange(length + 1, device=data.device), self.head_dim)
        for layer in self.layers:
            x = layer(x, rotation, mask[:, None, None])
        return self.norm(x), mask

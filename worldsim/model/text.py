"""The text encoders: a caption or prompt to a few vectors that the dynamics attends to.

One reads UTF-8 bytes in order. The other reads a bag of words and pairs of words, which is learned in a fraction of the
time: what films are told by.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

import torch
from torch import Tensor, nn

from worldsim.model.layers import Block, RMSNorm, plain, rotation_in_time

TEXT_LENGTH = 224  # bytes; longer text is cut (at a whole character)
TEXT_HEAD = 64  # channels of an attention head of the encoder of bytes
WORDS = 96  # words and pairs of a text that are read; the others are not
_BUCKETS = 4096
_PAD = 0
_PIECES = re.compile(r"[\u4e00-\u9fff]|[^\W_\u4e00-\u9fff]+")  # a Chinese character is a word


@dataclass
class Text:
    """Encoded text: for each block that attends to it keys and values (batch, heads, length, head_dim), and a mask.

    summary: of all that it says, part of the condition of every frame; None where text is read as bytes.
    """

    keys: list[Tensor]
    values: list[Tensor]
    mask: Tensor  # bool (batch, length)
    summary: Tensor | None = None  # (batch, condition_channels)

    def map(self, function: Callable[[Tensor], Tensor]) -> Text:
        """The text with `function` applied to every tensor."""
        summary = None if self.summary is None else function(self.summary)
        return Text([function(k) for k in self.keys], [function(v) for v in self.values], function(self.mask), summary)

    def followed_by(self, other: Text) -> Text:
        """These texts, and after them the one text of `other` as often as there are these."""

        def both(mine: Tensor, theirs: Tensor) -> Tensor:
            return torch.cat([mine, theirs.expand_as(mine)])

        keys, values = (
            [both(*pair) for pair in zip(mine, theirs, strict=True)]
            for mine, theirs in ((self.keys, other.keys), (self.values, other.values))
        )
        summary = None if self.summary is None or other.summary is None else both(self.summary, other.summary)
        return Text(keys, values, both(self.mask, other.mask), summary)

    def shortened(self) -> Text:
        """If there are no texts, only the key that every text has: attention to it alone gives the same, exactly."""
        if plain(self.mask) or self.mask[:, 1:].any():
            return self
        keys, values = ([part[:, :, :1] for part in parts] for parts in (self.keys, self.values))
        return Text(keys, values, self.mask[:, :1], self.summary)


def encode_bytes(texts: list[str | None], device: torch.device | str = "cpu") -> Tensor:
    """Texts as UTF-8 bytes, int64 (len(texts), TEXT_LENGTH), padded with 0. None and "" are all padding: no text."""
    out = torch.zeros(len(texts), TEXT_LENGTH, dtype=torch.int64)
    for row, text in zip(out, texts, strict=True):
        data = (text or "").encode()[:TEXT_LENGTH].decode(errors="ignore").encode()
        row[: len(data)] = torch.tensor(list(data), dtype=torch.int64)
    return out.to(device)


def encode_words(texts: list[str | None], device: torch.device | str = "cpu") -> Tensor:
    """The words of texts and all pairs of neighbours, hashed: int64 (len(texts), WORDS), padded with 0.

    None and "" are all padding: no text. The order of the words is lost, but for that of neighbours.
    """
    out = torch.zeros(len(texts), WORDS, dtype=torch.int64)
    for row, text in zip(out, texts, strict=True):
        words = _PIECES.findall((text or "").lower())
        pairs = [" ".join(pair) for pair in pairwise(words)]
        found = list(dict.fromkeys(words + pairs))[:WORDS]
        row[: len(found)] = torch.tensor([1 + crc32(piece.encode()) % (_BUCKETS - 1) for piece in found])
    return out.to(device)


class WordEncoder(nn.Module):
    """A vector for each word and pair of words: int64 (batch, WORDS) to (batch, 1 + WORDS, channels) and a mask.

    As in fastText (arXiv 1607.01759) words and pairs share a table by their hashes. The first vector is
    a learned "no text", as in `TextEncoder`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.words = nn.Embedding(_BUCKETS, channels)
        nn.init.normal_(self.words.weight, std=0.1)
        self.nothing = nn.Parameter(torch.zeros(1, 1, channels))

    def forward(self, data: Tensor) -> tuple[Tensor, Tensor]:
        """Hashes (batch, WORDS) to vectors (batch, 1 + WORDS, channels) and a bool mask (batch, 1 + WORDS)."""
        vectors = torch.cat([self.nothing.expand(len(data), -1, -1), self.words(data)], 1)
        return vectors, torch.cat([torch.ones_like(data[:, :1], dtype=torch.bool), data != _PAD], 1)


class TextEncoder(nn.Module):
    """A small bidirectional transformer over bytes: int64 (batch, length) to (batch, 1 + length, channels) and a mask.

    The first vector is a learned "no text" that every text has as well, so that attention to an empty text is defined.
    """

    def __init__(self, channels: int, layers: int, head_dim: int = TEXT_HEAD) -> None:
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

"""Tiles cover a picture of any size, and what is put together of them has no seams."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worldsim.model.tiles import decode_in_tiles, from_the_edge, tiles
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    tile=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_they_cover_all_and_overlap_evenly(size: tuple[int, int], tile: tuple[int, int]) -> None:
    seen = torch.zeros(size)
    found = list(tiles(size, tile))
    for row, column in found:
        seen[row, column] += 1
        assert seen[row, column].shape == (min(size[0], tile[0]), min(size[1], tile[1]))
    assert seen.min() >= 1
    for axis, side in enumerate(tile):
        firsts = sorted({part[axis].start for part in found})
        shared = [side - (later - first) for first, later in pairwise(firsts)]
        assert all(many >= max(side // 4, side > 1) for many in shared)
        assert not shared or max(shared) - min(shared) <= 1
    assert len(set(map(str, found))) == len(found)


def test_the_middle_counts_most() -> None:
    assert from_the_edge(5).tolist() == [1, 2, 3, 2, 1]
    assert from_the_edge(4).tolist() == [1, 2, 2, 1]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    torch.manual_seed(0)
    network = Tokenizer(
        TokenizerConfig(
            latent_channels=8, channels=32, layers=1, fine_channels=32, fine_layers=1, head_dim=16, stride=2
        )
    )
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    torch.nn.init.normal_(network.synthesis, std=0.1)
    return network.eval().requires_grad_(False)


def test_what_fits_in_a_tile_is_drawn_as_ever(tokenizer: Tokenizer) -> None:
    latents = torch.randn(3, 2, 4, 8)
    assert torch.equal(decode_in_tiles(tokenizer, latents, (2, 4)), tokenizer.decode_uint8(latents))


def test_larger_pictures_are_drawn_without_seams(tokenizer: Tokenizer) -> None:
    latents = torch.randn(1, 1, 1, 8).expand(1, 9, 11, 8)  # the same everywhere: a tile's edge would show
    frames = decode_in_tiles(tokenizer, latents, (3, 4))
    assert frames.shape == (2, 144, 176, 3)
    inner = frames[:, 48:96, 48:112].float()
    tokens = inner.unfold(1, 16, 16).unfold(2, 16, 16)  # (2, 3, 4, 3, 16, 16)
    among = (tokens - tokens.mean((1, 2), keepdim=True)).abs().mean()
    whole = tokenizer.decode_uint8(latents)[:, 48:96, 48:112].float()
    assert among < 0.1 * inner.std()
    assert (inner - whole).abs().mean() < 0.2 * whole.std()


def test_a_part_of_the_picture_depends_on_its_tiles_alone(tokenizer: Tokenizer) -> None:
    one = torch.randn(1, 4, 12, 8)
    other = one.clone()
    other[:, :, 6:] += 1
    left, right = (decode_in_tiles(tokenizer, latents, (4, 4))[:, :, : 3 * 16] for latents in (one, other))
    assert torch.equal(left, right)

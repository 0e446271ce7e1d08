"""Flat actions as the model sees them: scaling, the next-action head's loss, drawing actions from its logits."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from worldsim.model.policy import BINS, bin_centres
from worldsim.spec import action_layout

SPACES = {
    "keys and camera": spaces.Dict(
        OrderedDict(jump=spaces.Discrete(2), hotbar=spaces.Discrete(9), camera=spaces.Box(-10, 10, (2,), np.float32))
    ),
    "one of five": spaces.Discrete(5, start=-2),
    "several choices": spaces.MultiDiscrete([3, 4, 2]),
    "switches": spaces.MultiBinary(4),
    "a pair": spaces.Tuple((spaces.Discrete(3), spaces.Box(0, 2, (3,), np.float32))),
}


@pytest.mark.parametrize("name", SPACES)
def test_segments_cover_the_flat_vector(name: str) -> None:
    layout = action_layout(SPACES[name])
    ends = [segment.start + segment.size for segment in layout.segments]
    assert [segment.start for segment in layout.segments] == [0, *ends[:-1]]
    assert ends[-1] == spaces.flatdim(SPACES[name])


@pytest.mark.parametrize("name", SPACES)
@given(seed=st.integers(0, 2**31))
def test_certain_logits_give_back_the_action(name: str, seed: int) -> None:
    space = SPACES[name]
    space.seed(seed)
    layout = action_layout(space)
    flat = torch.tensor(spaces.flatten(space, space.sample()), dtype=torch.float32)
    logits = []
    for segment in layout.segments:
        part = layout.scale(flat)[segment.start : segment.start + segment.size]
        if segment.kind == "categorical":
            logits.append(part * 100)
        else:
            distance = (part[:, None] - bin_centres()).abs()
            logits.append(torch.where(distance == distance.min(-1, keepdim=True).values, 100.0, 0.0).flatten())
    certain = torch.cat(logits)
    drawn = layout.sample(certain, torch.rand(flat.shape))
    coarsest = 0.25 * (layout.half * 2).max()
    assert (drawn - flat).abs().max() <= coarsest
    assert spaces.unflatten(space, drawn.numpy().astype(spaces.flatten_space(space).dtype)) in space
    assert layout.loss(certain, layout.scale(drawn)) < layout.loss(torch.zeros_like(certain), layout.scale(drawn))


def test_bins_are_finer_near_zero_and_hold_zero() -> None:
    centres = bin_centres()
    assert len(centres) == BINS
    assert centres[BINS // 2] == 0
    gaps = centres.diff()
    assert gaps[BINS // 2] < gaps[-1] / 3


def test_infinite_bounds_are_taken_as_one() -> None:
    layout = action_layout(spaces.Box(-np.inf, np.inf, (2,), np.float32))
    assert layout.scale(torch.tensor([0.5, -2.0])).tolist() == [0.5, -2.0]


def test_a_space_without_a_flat_vector_is_refused() -> None:
    with pytest.raises(TypeError, match="Sequence action space has no flat vector"):
        action_layout(spaces.Sequence(spaces.Discrete(2)))


@pytest.mark.parametrize("name", SPACES)
def test_probabilities_choices_and_entropy_belong_together(name: str) -> None:
    layout = action_layout(SPACES[name])
    even = torch.zeros(3, layout.logits)
    numbers = [segment.size if segment.kind == "box" else 1 for segment in layout.segments]
    assert layout.probabilities(even).sum(-1).tolist() == pytest.approx([sum(numbers)] * 3)
    of_each = [BINS if segment.kind == "box" else segment.size for segment in layout.segments]
    most = sum(count * np.log(choices) for count, choices in zip(numbers, of_each, strict=True))
    assert layout.entropy(even).tolist() == pytest.approx([most] * 3)
    torch.manual_seed(0)
    logits = torch.randn(3, layout.logits)
    flat = layout.sample(logits, torch.rand(3, len(layout.centre)))
    chosen = layout.chosen(layout.scale(flat))
    assert chosen.sum(-1).tolist() == [sum(numbers)] * 3
    # The loss of an action is that of its choices.
    log_probs = (layout.probabilities(logits).log() * chosen).sum(-1)
    torch.testing.assert_close(-log_probs, layout.loss(logits, layout.scale(flat)))


@pytest.mark.parametrize(
    "space", [spaces.Box(-0.1, 1.0, (3,), np.float32), spaces.MultiBinary(3), spaces.Box(0, 7, (3,), np.int64)]
)
def test_what_is_drawn_lies_in_the_space(space: spaces.Space) -> None:
    layout = action_layout(space)
    uniform = torch.linspace(0, 1 - 1e-6, 99)[:, None].expand(99, 3)
    flat = layout.sample(torch.zeros(99, layout.logits), uniform)
    for row in flat.numpy():
        assert space.contains(row.astype(space.dtype))
        assert np.array_equal(row.astype(space.dtype).astype(np.float32), row)


@pytest.mark.parametrize("name", [name for name in SPACES if name != "switches"])  # those are rounded
def test_the_divergence_is_what_more_it_costs_to_tell_of_others(name: str) -> None:
    """Cross-entropy less entropy, by actions that were drawn."""
    layout = action_layout(SPACES[name])
    ours, others = 0.5 * torch.randn(2, layout.logits, generator=torch.Generator().manual_seed(1))
    assert float(layout.divergence(ours, ours)) == pytest.approx(0, abs=1e-6)
    many = torch.rand(20_000, len(layout.centre), generator=torch.Generator().manual_seed(0))
    drawn = layout.scale(layout.sample(ours.expand(len(many), -1), many))
    costs = layout.loss(others.expand(len(many), -1), drawn) - layout.loss(ours.expand(len(many), -1), drawn)
    assert float(layout.divergence(ours, others)) == pytest.approx(float(costs.mean()), rel=0.1)

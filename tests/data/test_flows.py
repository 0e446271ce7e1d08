"""The optical flow of a recording: the right one for each row, and found once."""

import numpy as np
import pytest
import torch

import worldsim.data.flows
from worldsim.data.flows import Flows
from worldsim.model.optical_flow import optical_flow


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """A soft picture that slides by 1, 2, 3 ... pixels a frame, uint8 (7, 32, 48, 3)."""
    torch.manual_seed(0)
    wide = torch.nn.functional.interpolate(torch.rand(1, 3, 4, 10), (32, 80), mode="bicubic").clamp(0, 1)
    picture = (255 * wide[0]).byte().permute(1, 2, 0).numpy()
    return np.stack([picture[:, left : left + 48] for left in np.cumsum(np.arange(7))])


def test_each_row_has_its_own(frames: np.ndarray) -> None:
    true = optical_flow(frames)
    found = Flows(frames).of(np.array([[4, 5, 6], [1, 2, 3]]))
    assert found.shape == (2, 3, 8, 12, 2)
    assert found.dtype == torch.float32
    assert not found[:, 0].any(), "the frame before the first is not asked for"
    np.testing.assert_allclose(found[0, 1:], true[4:6], atol=5e-3)
    np.testing.assert_allclose(found[1, 1:], true[1:3], atol=5e-3)


def test_a_row_that_comes_again_has_not_moved(frames: np.ndarray) -> None:
    found = Flows(frames).of(np.array([[4, 5, 5, 5]]))
    assert found[0, 1].any()
    assert not found[0, 2:].any()


def test_rows_with_gaps_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match="rows that follow each other"):
        Flows(frames).of(np.array([[1, 3]]))


def test_it_is_found_once(frames: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = 0

    def counted(pair: np.ndarray) -> np.ndarray:
        nonlocal pairs
        pairs += 1
        return optical_flow(pair)

    monkeypatch.setattr(worldsim.data.flows, "optical_flow", counted)
    flows = Flows(frames)
    first = flows.of(np.array([[2, 3, 4], [2, 3, 4]]))
    assert pairs == 2
    np.testing.assert_array_equal(flows.of(np.array([[3, 4, 5]]))[0, 1], first[0, 2])
    assert pairs == 3

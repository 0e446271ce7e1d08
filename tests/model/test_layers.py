"""The layers while stepping: other kernels than in training, the same results, and none depends on its neighbours."""

from __future__ import annotations

import copy

import pytest
import torch

from worldsim.model.layers import (
    Linear,
    Projection,
    attend,
    rms_norm,
    rotary_angles,
    rotate,
    rotation_in_space,
    rotation_in_time,
)

ROWS = [1, 2, 16, 17, 40, 42, 80, 84, 210, 252, 640, 672]


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("wide", "out"), [(256, 768), (1024, 256), (576, 256), (768, 64), (20, 40)])
def test_a_row_does_not_depend_on_how_many_there_are(wide: int, out: int, dtype: torch.dtype, prepared: bool) -> None:
    layer = Linear(wide, out).to(dtype).requires_grad_(False)
    if prepared:
        layer.prepare()
    x = torch.randn(max(ROWS), wide).to(dtype)
    with torch.no_grad():
        whole = layer(x)
        for rows in ROWS:
            for first in {0, len(x) - rows}:
                assert torch.equal(layer(x[first : first + rows]), whole[first : first + rows])
    exact = x.double() @ layer.weight.double().T + layer.bias.double()
    assert (whole.double() - exact).abs().max() < (0.04 if dtype == torch.bfloat16 else 1e-4)


def test_a_prepared_layer_can_be_copied_and_prepared_again() -> None:
    layer = Linear(32, 8, bias=False).to(torch.bfloat16).requires_grad_(False)
    layer.prepare()
    x = torch.randn(3, 32).bfloat16()
    with torch.no_grad():
        before = layer(x)
        assert torch.equal(copy.deepcopy(layer)(x), before)
        layer.weight.mul_(2)
        layer.prepare()
        assert torch.equal(layer(x), 2 * before)
        assert layer.float()(x.float()).dtype == torch.float32


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.06)])
def test_stepping_computes_what_was_trained(dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    x, gain = torch.randn(2, 4, 6, 16).to(dtype), torch.rand(16).to(dtype)

    def compute() -> list[torch.Tensor]:
        few = attend(x[:, :, :2], x + 1, x - 1, torch.tensor([True] * 5 + [False]))
        return [rms_norm(x, gain), attend(x, x + 1, x - 1), few]

    trained = compute()
    with torch.no_grad():
        stepped = compute()
    for one, other in zip(trained, stepped, strict=True):
        assert torch.allclose(one, other, atol=tolerance)
    assert torch.allclose(stepped[0], torch.nn.functional.rms_norm(x, (16,), gain, 1e-6), atol=tolerance)


def test_a_rotation_turns_pairs_of_channels_as_complex_numbers() -> None:
    x, positions = torch.randn(2, 4, 5, 16), torch.arange(5)
    pairs = torch.complex(x[..., :8], x[..., 8:])
    turned = pairs * torch.polar(torch.ones(5, 8), rotary_angles(positions, 8, 1000.0).float())
    expected = torch.cat([turned.real, turned.imag], -1)
    assert torch.allclose(rotate(x, rotation_in_time(positions, 16)), expected, atol=1e-5)
    apart = x.movedim(1, 2).contiguous().movedim(1, 2)  # the same numbers, elsewhere in memory
    assert torch.allclose(rotate(apart, rotation_in_time(positions, 16)), expected, atol=1e-5)


@pytest.mark.parametrize("gradients", [False, True])
def test_a_projection_turns_what_it_norms(gradients: bool) -> None:
    projection = Projection(32, heads=2, parts=3, normed=2)
    x, rotation = torch.randn(1, 6, 32), rotation_in_space(2, 3, 16)
    with torch.set_grad_enabled(gradients):
        plain, turned = projection(x), projection(x, rotation)
        for part in (0, 1):
            assert torch.allclose(turned[part], rotate(plain[part], rotation), atol=1e-6)
    assert torch.equal(turned[2], plain[2])

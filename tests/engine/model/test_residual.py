"""The end of a layer's half: torch's own operations, and derivatives both ways against differences."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from smartcli.engine.model.dropout import scaled_mask
from smartcli.engine.model.residual import add_and_norm, sum_and_norm
from smartcli.engine.streams import stream

ROWS, WIDTH = 4, 5


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=stream(seed, "test")).requires_grad_(True)


def made(dtype: torch.dtype = torch.float64, *, biased: bool = True) -> nn.LayerNorm:
    norm = nn.LayerNorm(WIDTH, eps=1e-12, dtype=dtype, bias=biased)
    norm.weight.data.copy_(drawn(WIDTH, seed=2))
    if biased:
        norm.bias.data.copy_(drawn(WIDTH, seed=3))
    return norm


def mask_of(dropped: bool) -> Tensor | None:
    return scaled_mask((ROWS, WIDTH), 0.4, stream(0, "dropout"), torch.device("cpu")) if dropped else None


@pytest.mark.parametrize("dropped", [False, True])
def test_it_is_the_layer_norm_of_the_sum(dropped: bool) -> None:
    x, rows, norm, mask = drawn(ROWS, WIDTH), drawn(ROWS, WIDTH, seed=1), made(), mask_of(dropped)
    wanted = [x, rows, norm.weight, norm.bias]
    found, read = add_and_norm(x, mask, rows, norm)
    assert read is found
    expected = F.layer_norm(rows + (x if mask is None else x * mask), [WIDTH], norm.weight, norm.bias, 1e-12)
    assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(
        torch.autograd.grad(found.square().sum(), wanted),
        torch.autograd.grad(expected.square().sum(), wanted),
        strict=True,
    ):
        assert_close(mine, theirs, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("dropped", [False, True])
def test_its_derivatives_are_finite_differences(dropped: bool) -> None:
    norm, mask = made().requires_grad_(False), mask_of(dropped)
    inputs = (drawn(ROWS, WIDTH), drawn(ROWS, WIDTH, seed=1))
    assert torch.autograd.gradcheck(lambda x, rows: add_and_norm(x, mask, rows, norm)[0], inputs, check_forward_ad=True)
    # The embeddings' places carry no tangent.
    still = inputs[1].detach()
    assert torch.autograd.gradcheck(lambda x: add_and_norm(x, mask, still, norm)[0], inputs[:1], check_forward_ad=True)


def test_of_a_bf16_part_the_sum_is_taken_in_fp32() -> None:
    x = drawn(ROWS, WIDTH).detach().bfloat16().requires_grad_(True)
    rows, norm, mask = drawn(ROWS, WIDTH, seed=1).detach().float(), made(torch.float32), mask_of(True)
    assert mask is not None
    found, read = add_and_norm(x, mask, rows, norm)
    assert read is found
    expected = F.layer_norm(rows + x.detach().float() * mask, [WIDTH], norm.weight, norm.bias, 1e-12)
    assert_close(found, expected, rtol=1e-6, atol=1e-6)
    (gradient,) = torch.autograd.grad(found.square().sum(), x)
    assert gradient.dtype == torch.bfloat16


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dropped", [False, True])
def test_the_sum_comes_with_its_norm_and_both_have_gradients(dropped: bool, biased: bool) -> None:
    x, rows, norm, mask = drawn(ROWS, WIDTH), drawn(ROWS, WIDTH, seed=1), made(biased=biased), mask_of(dropped)
    wanted = [x, rows, *norm.parameters()]
    total, normed = sum_and_norm(x, mask, rows, norm)
    expected = rows + (x if mask is None else x * mask)
    assert_close(total, expected, rtol=1e-14, atol=1e-14)
    bias: Tensor | None = norm.bias
    theirs_normed = F.layer_norm(expected, [WIDTH], norm.weight, bias, 1e-12)
    assert_close(normed, theirs_normed, rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(
        torch.autograd.grad(total.sin().sum() + normed.square().sum(), wanted),
        torch.autograd.grad(expected.sin().sum() + theirs_normed.square().sum(), wanted),
        strict=True,
    ):
        assert_close(mine, theirs, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("dropped", [False, True])
def test_derivatives_of_the_sum_and_its_norm_are_finite_differences(dropped: bool) -> None:
    norm, mask = made(biased=False).requires_grad_(False), mask_of(dropped)
    inputs = (drawn(ROWS, WIDTH), drawn(ROWS, WIDTH, seed=1))
    assert torch.autograd.gradcheck(lambda x, rows: sum_and_norm(x, mask, rows, norm), inputs, check_forward_ad=True)
    assert torch.autograd.gradcheck(lambda x, rows: add_and_norm(x, mask, rows, norm)[0], inputs, check_forward_ad=True)

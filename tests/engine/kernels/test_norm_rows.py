"""Dropout, sum and LayerNorm in one kernel: value, backward and tangent against plain torch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

pytest.importorskip("triton", reason="needs Triton, which comes with torch's builds for GPUs")
from smartcli.engine.kernels import norm_rows as rows

EPS = 1e-5


def drawn(device: torch.device, width: int, masked: bool) -> tuple[list[Tensor], Tensor | None]:
    torch.manual_seed(0)
    sizes = [(7, width), (7, width), (width,), (width,)]
    inputs = [torch.randn(*size, device=device).requires_grad_() for size in sizes]
    mask = (torch.rand(7, width, device=device) > 0.3).float() / 0.7 if masked else None
    return inputs, mask


def plain(x: Tensor, r: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
    return F.layer_norm(r + (x if mask is None else x * mask), [x.shape[1]], weight, bias, EPS)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("width", [24, 64, 384])
def test_value_gradients_and_tangent_are_plain_torchs(device: torch.device, width: int, masked: bool) -> None:
    inputs, mask = drawn(device, width, masked)
    x, r, weight, bias = (t.detach() for t in inputs)
    expected = plain(*inputs, mask)
    total, out, twin, mean, scale = rows.forward(x, mask, r, weight, bias, EPS, torch.bfloat16)
    assert_close(out, expected.detach(), rtol=1e-5, atol=1e-5)
    assert twin is not None
    assert_close(twin, out.to(torch.bfloat16), rtol=1e-2, atol=1e-2)
    by_out, by_twin = torch.randn_like(out), torch.randn_like(out).to(torch.bfloat16)
    wanted = torch.autograd.grad(expected, inputs, by_out + by_twin.float())
    found = rows.backward(by_out, by_twin, total, mean, scale, weight, mask, torch.float32, weights=True)
    for one, other in zip(found, wanted, strict=True):
        assert one is not None
        assert_close(one, other, rtol=1e-4, atol=1e-5)
    by_x, by_rows, *none = rows.backward(by_out, None, total, mean, scale, weight, mask, torch.float32, weights=False)
    wanted = torch.autograd.grad(plain(*inputs, mask), inputs[:2], by_out)
    assert none == [None, None]
    assert_close((by_x, by_rows), wanted, rtol=1e-4, atol=1e-5)
    moved = torch.randn_like(x), torch.randn_like(r)
    _, expected_tangent = torch.func.jvp(lambda x, r: plain(x, r, weight, bias, mask), (x, r), moved)
    tangent, twin = rows.tangent(moved[0], mask, moved[1], total, mean, scale, weight, None)
    assert twin is None
    assert_close(tangent, expected_tangent, rtol=1e-4, atol=1e-5)

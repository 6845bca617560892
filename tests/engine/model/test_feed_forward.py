"""The feed-forward part: torch's own operations, hand-worked numbers of the gate, derivatives both ways."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from smartcli.engine.model.dual_linear import DualLinear
from smartcli.engine.model.feed_forward import activation, feed_forward, gated, gated_feed_forward
from smartcli.engine.model.half_weights import HalfWeights
from smartcli.engine.streams import stream

ACTIVATIONS = ("gelu", "gelu_new", "relu")
ROWS, WIDTH, WIDE = 3, 4, 5


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=stream(seed, "test")).requires_grad_(True)


def test_the_gate_multiplies_the_first_halfs_activation() -> None:
    x = torch.tensor([[1.0, -2.0, 3.0, 5.0]], dtype=torch.float64)
    assert gated("relu", x).tolist() == [[3.0, 0.0]]
    # gelu(1) = 1 · Φ(1) = 0.8413447, gelu(−2) = −2 · Φ(−2) = −0.0455003.
    assert_close(gated("gelu", x), torch.tensor([[2.5240342, -0.2275013]], dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("function", [activation, gated])
def test_derivatives_are_finite_differences(function: object, act: str) -> None:
    assert callable(function)
    assert torch.autograd.gradcheck(lambda x: function(act, x), (drawn(ROWS, 2 * WIDE),), check_forward_ad=True)


@pytest.mark.parametrize("biased", [False, True])
def test_both_forms_are_torchs_own_operations(biased: bool) -> None:
    x, out = drawn(ROWS, WIDTH), drawn(WIDTH, WIDE, seed=2)
    bias_out = drawn(WIDTH, seed=4) if biased else None
    for wide, function in ((WIDE, feed_forward), (2 * WIDE, gated_feed_forward)):
        into, bias_in = drawn(wide, WIDTH, seed=1), drawn(wide, seed=3) if biased else None
        inner = F.linear(x, into, bias_in)
        active = F.gelu(inner) if wide == WIDE else F.gelu(inner[:, :WIDE]) * inner[:, WIDE:]
        found, expected = function(x, into, bias_in, out, bias_out, "gelu"), F.linear(active, out, bias_out)
        assert_close(found, expected, rtol=1e-13, atol=1e-13)
        wanted = [t for t in (x, into, bias_in, out, bias_out) if t is not None]
        for mine, theirs in zip(
            torch.autograd.grad(found.square().sum(), wanted),
            torch.autograd.grad(expected.square().sum(), wanted),
            strict=True,
        ):
            assert_close(mine, theirs, rtol=1e-11, atol=1e-12)
        assert torch.autograd.gradcheck(
            lambda x, w=into, b=bias_in, f=function: f(x, w.detach(), None if b is None else b.detach(), out.detach(),
                                                       None, "gelu"),
            (x,), check_forward_ad=True, check_backward_ad=False,
        )  # fmt: skip


def test_a_layer_without_a_bias_has_no_bf16_copy_of_one() -> None:
    module = nn.ModuleList([DualLinear(2, 3), DualLinear(3, 2, bias=False)])
    copies = HalfWeights(module)
    assert len(copies.full) == 3
    with torch.autocast("cpu", torch.bfloat16):
        x = module[1](module[0](torch.ones(1, 2)))
    x.float().sum().backward()
    copies.collect()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in module.parameters())

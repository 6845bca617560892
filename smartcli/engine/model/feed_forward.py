"""A layer's feed-forward part, plain or gated, with derivatives both ways.

The gated one is GeGLU: half of the wider layer's outputs, through the activation, times the other half (Shazeer 2020,
arXiv 2002.05202, equation 5). Axes: T tokens, D width, F feed-forward size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from smartcli.engine.model.dual_linear import dual_linear

FeedForward = Callable[[Tensor, Tensor, Tensor | None, Tensor, Tensor | None, str], Tensor]
"""Of `x` (T, D), weight and bias of the first and the second layer, and the activation's name: (T, D)."""


def activation(name: str, x: Tensor) -> Tensor:
    """Apply `gelu`, `gelu_new` (tanh form), `relu` or `tanh`; a tangent of `x` gets no graph."""
    value, tangent = forward_ad.unpack_dual(x)  # type: ignore[no-untyped-call]
    out = _activate(name, value)
    if tangent is None:
        return out
    # torch would record the tangent's graph, which nobody reads; without it a tangent pass keeps no activation.
    with torch.no_grad():
        moved = _move(name, value, tangent)
    return _dual(out, moved)


def gated(name: str, x: Tensor) -> Tensor:
    """Return (T, F) of `x` (T, 2F): the first half's activation times the second; a tangent gets no graph."""
    value, tangent = forward_ad.unpack_dual(x)  # type: ignore[no-untyped-call]
    inner, gate = value.chunk(2, dim=-1)
    active = _activate(name, inner)
    out: Tensor = active * gate
    if tangent is None:
        return out
    with torch.no_grad():
        moved_inner, moved_gate = tangent.chunk(2, dim=-1)
        moved = torch.addcmul(_move(name, inner, moved_inner) * gate, active, moved_gate)
    return _dual(out, moved)


def _activate(name: str, x: Tensor) -> Tensor:
    if name == "tanh":
        return torch.tanh(x)
    form = "tanh" if name == "gelu_new" else "none"
    out: Tensor = F.relu(x) if name == "relu" else F.gelu(x, approximate=form)
    return out


def _move(name: str, x: Tensor, tangent: Tensor) -> Tensor:
    """Return the tangent of the activation's output."""
    if name == "relu":
        return tangent * (x > 0)
    if name == "tanh":
        return tangent * (1.0 - torch.tanh(x).square())
    form = "tanh" if name == "gelu_new" else "none"
    # GELU acts on each number alone, so that its backward is its forward-mode derivative too.
    return cast(Tensor, torch.ops.aten.gelu_backward(tangent, x, approximate=form))


def _dual(value: Tensor, tangent: Tensor) -> Tensor:
    return cast(Tensor, forward_ad.make_dual(value, tangent))  # type: ignore[no-untyped-call]


def feed_forward(
    x: Tensor, weight_in: Tensor, bias_in: Tensor | None, weight_out: Tensor, bias_out: Tensor | None, act: str
) -> Tensor:
    """Return the feed-forward part's output (T, D) for `x` (T, D), through width F."""
    return dual_linear(activation(act, dual_linear(x, weight_in, bias_in)), weight_out, bias_out)


def gated_feed_forward(
    x: Tensor, weight_in: Tensor, bias_in: Tensor | None, weight_out: Tensor, bias_out: Tensor | None, act: str
) -> Tensor:
    """Return the gated part's output (T, D) for `x` (T, D); the first layer has 2F outputs."""
    return dual_linear(gated(act, dual_linear(x, weight_in, bias_in)), weight_out, bias_out)

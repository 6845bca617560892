"""Distinct rows of a tensor picked, with deterministic derivatives both ways, or spread over a larger one.

torch's own indexing adds in its backward, in an order that depends on the threads. Axes: n rows, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor


def spread(x: Tensor, slots: Tensor, size: int) -> Tensor:
    """Return zeros (size, D) with the rows of `x` (n, D) at the distinct `slots` (n,)."""
    # index_copy_ and not index_add_: with distinct slots nothing is added, so that no order of threads can matter.
    return x.new_zeros((size, *x.shape[1:])).index_copy_(0, slots, x)


class _Pick(torch.autograd.Function):
    """Distinct rows `slots` of x; backward spreads them, with no row added to twice."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, slots: Tensor) -> Tensor:
        ctx.save_for_backward(slots)
        ctx.save_for_forward(slots)
        ctx.size = x.shape[0]  # type: ignore[attr-defined]
        return x.index_select(0, slots)

    @staticmethod
    def jvp(ctx: torch.autograd.function.FunctionCtx, *tangents: Tensor | None) -> Tensor:
        (slots,) = ctx.saved_tensors  # type: ignore[attr-defined]
        assert tangents[0] is not None
        return tangents[0].index_select(0, slots)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        (slots,) = ctx.saved_tensors  # type: ignore[attr-defined]
        grad = grads[0]
        size: int = ctx.size  # type: ignore[attr-defined]
        return spread(grad, slots, size), None


class _ReadGrid(torch.autograd.Function):
    """Rows `source` of x; backward reads the gradient at `slots`, where each row of x went."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, source: Tensor, slots: Tensor) -> Tensor:
        ctx.save_for_backward(source, slots)
        ctx.save_for_forward(source, slots)
        return x.index_select(0, source)

    @staticmethod
    def jvp(ctx: torch.autograd.function.FunctionCtx, *tangents: Tensor | None) -> Tensor:
        source, _ = ctx.saved_tensors  # type: ignore[attr-defined]
        assert tangents[0] is not None
        return tangents[0].index_select(0, source)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None]:
        _, slots = ctx.saved_tensors  # type: ignore[attr-defined]
        return grads[0].index_select(0, slots), None, None


def read_grid(x: Tensor, source: Tensor, slots: Tensor) -> Tensor:
    """Return the rows of `x` (n, D) at the grid's `source` (rows,); `slots` (n,) says at which of them each row is.

    Rows of the grid that hold padding must have no gradient: they repeat a row of `x`, which is not added to twice.
    """
    out: Tensor = _ReadGrid.apply(x, source, slots)  # type: ignore[no-untyped-call]
    return out


def pick(x: Tensor, slots: Tensor) -> Tensor:
    """Return rows (n, D) of `x` at the distinct `slots` (n,), with a deterministic backward."""
    out: Tensor = _Pick.apply(x, slots)  # type: ignore[no-untyped-call]
    return out

"""LayerNorm(rows + dropped x), the end of both halves of a layer, and the embeddings, as one autograd function.

In single operations it would keep and read again the dropped x and the sum. Pre-norm layers go on from the sum, and
read its norm: `sum_and_norm` gives both. A LayerNorm without a bias adds nothing. Axes: R rows, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from smartcli.engine.kernels import usable


def add_and_norm(
    x: Tensor, mask: Tensor | None, rows: Tensor, norm: nn.LayerNorm, *, read: bool = False
) -> tuple[Tensor, Tensor]:
    """Return LayerNorm(rows + x · mask), (R, D), of the type of `rows`, and as linear layers read it; `mask` None is 1.

    The second is the first, or with `read` under autocast on a GPU the same in bf16, which then costs no cast.
    """
    if usable(rows) and rows.dtype == torch.float32:
        half = read and torch.is_autocast_enabled(rows.device.type)
        found, twin = _InOneKernel.apply(x, rows, norm.weight, norm.bias, mask, norm.eps, half)  # type: ignore[no-untyped-call]
        return found, twin if half else found
    out: Tensor = _AddAndNorm.apply(x, rows, norm.weight, norm.bias, mask, norm.eps)  # type: ignore[no-untyped-call]
    return out, out


def sum_and_norm(x: Tensor, mask: Tensor | None, rows: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """Return rows + x · mask, (R, D), of the type of `rows`, and its LayerNorm; `mask` None is 1."""
    total, out = _SumAndNorm.apply(x, rows, norm.weight, norm.bias, mask, norm.eps)  # type: ignore[no-untyped-call]
    return total, out


class _InOneKernel(torch.autograd.Function):
    """The same in Triton (kernels/norm_rows.py), with the result in bf16 as a second output where `half` says so."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, rows: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor | None, eps: float,
        half: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        from smartcli.engine.kernels import norm_rows as kernel

        ctx.biased = bias is not None
        bias = torch.zeros_like(weight) if bias is None else bias

        ctx.twin = torch.bfloat16 if half else None
        total, out, twin, mean, scale = kernel.forward(
            x.contiguous(), mask, rows.contiguous(), weight, bias, eps, ctx.twin
        )
        ctx.mask, ctx.type = mask, x.dtype
        ctx.save_for_backward(total, mean, scale, weight)
        ctx.save_for_forward(total, mean, scale, weight)
        return out, total[:0] if twin is None else twin

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        from smartcli.engine.kernels import norm_rows as kernel

        total, mean, scale, weight = ctx.saved_tensors
        twin = None if ctx.twin is None else grads[1].contiguous()
        by_x, by_rows, by_weight, by_bias = kernel.backward(
            grads[0].contiguous(), twin, total, mean, scale, weight, ctx.mask, ctx.type,
            weights=ctx.needs_input_grad[2],
        )  # fmt: skip
        return by_x, by_rows, by_weight, by_bias if ctx.biased else None, None, None, None

    @staticmethod
    @torch.no_grad()
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor, Tensor]:
        from smartcli.engine.kernels import norm_rows as kernel

        total, mean, scale, weight = ctx.saved_tensors
        x, rows = tangents[:2]
        out, twin = kernel.tangent(x.contiguous(), ctx.mask, rows.contiguous(), total, mean, scale, weight, ctx.twin)
        return out, total[:0] if twin is None else twin


class _AddAndNorm(torch.autograd.Function):
    """Backward by x, rows, weight and bias; forward-mode by x and rows."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, rows: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor | None, eps: float
    ) -> Tensor:
        total = _sum(x, mask, rows)
        # The native form also gives mean and 1/σ, which backward would have to make again.
        out, mean, scale = torch.native_layer_norm(total, [total.shape[1]], weight, bias, eps)
        ctx.mask, ctx.type = mask, x.dtype
        ctx.save_for_backward(total, mean, scale, weight, bias)
        ctx.save_for_forward(total, mean, scale, weight, bias)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        by_total, by_weight, by_bias = _norm_backward(ctx, grads[0])
        by_x = by_total if ctx.mask is None else by_total * ctx.mask
        return by_x.to(ctx.type), by_total, by_weight, by_bias, None, None

    @staticmethod
    @torch.no_grad()
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        x, rows = tangents[:2]
        return _norm_tangent(ctx, rows + (x if ctx.mask is None else x * ctx.mask))


class _SumAndNorm(torch.autograd.Function):
    """The sum as a first output, its LayerNorm as a second."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, rows: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor]:
        total = _sum(x, mask, rows)
        out, mean, scale = torch.native_layer_norm(total, [total.shape[1]], weight, bias, eps)
        ctx.mask, ctx.type = mask, x.dtype
        ctx.save_for_backward(total, mean, scale, weight, bias)
        ctx.save_for_forward(total, mean, scale, weight, bias)
        return total, out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        by_norm, by_weight, by_bias = _norm_backward(ctx, grads[1])
        by_total = grads[0] + by_norm
        by_x = by_total if ctx.mask is None else by_total * ctx.mask
        return by_x.to(ctx.type), by_total, by_weight, by_bias, None, None

    @staticmethod
    @torch.no_grad()
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor, Tensor]:
        x, rows = tangents[:2]
        moved = rows + (x if ctx.mask is None else x * ctx.mask)
        return moved, _norm_tangent(ctx, moved)


def _sum(x: Tensor, mask: Tensor | None, rows: Tensor) -> Tensor:
    # addcmul: the product is never stored, and the sum is as wide as `rows` (fp32 also where x is bf16).
    return rows + x if mask is None else torch.addcmul(rows, x.to(rows.dtype), mask.to(rows.dtype))


def _norm_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return LayerNorm's gradients by its input, weight and bias."""
    total, mean, scale, weight, bias = ctx.saved_tensors
    wanted = [True, ctx.needs_input_grad[2], ctx.needs_input_grad[3]]
    # What torch's own LayerNorm calls in its backward, unchanged in every torch that pyproject.toml allows.
    found: tuple[Tensor, Tensor | None, Tensor | None] = torch.ops.aten.native_layer_norm_backward(
        grad, total, [total.shape[1]], mean, scale, weight, bias, wanted
    )
    return found


def _norm_tangent(ctx: Any, moved: Tensor) -> Tensor:
    """Return the tangent of LayerNorm's output from its input's."""
    total, mean, scale, weight, _ = ctx.saved_tensors
    # Without its weight LayerNorm's derivative is symmetric, so its backward is its forward-mode too.
    found = torch.ops.aten.native_layer_norm_backward(
        moved, total, [total.shape[1]], mean, scale, None, None, [True, False, False]
    )
    out: Tensor = found[0] * weight
    return out

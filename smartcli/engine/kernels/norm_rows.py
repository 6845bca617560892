"""LayerNorm(rows + x · mask) as one kernel, its backward as one, its forward-mode derivative as one.

Each program has whole rows in registers. Axes: R rows, D width, P programs.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

PROGRAMS = 264
"""Of the backward: twice the multiprocessors of an H100; each adds up its rows' part of the weights' gradients."""


@triton.jit
def _norm_forward(
    X,
    MASK,
    ROWS,
    W,
    B,
    TOTAL,
    OUT,
    TWIN,
    MEAN,
    SCALE,
    D,
    eps,
    MASKED: tl.constexpr,
    TWINS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    inside = col < D
    at = row * D + col
    x = tl.load(X + at, mask=inside, other=0.0).to(tl.float32)
    if MASKED:
        x = x * tl.load(MASK + at, mask=inside, other=0.0)
    total = tl.load(ROWS + at, mask=inside, other=0.0) + x
    mean = tl.sum(total, axis=0) / D
    centred = tl.where(inside, total - mean, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, axis=0) / D + eps)
    out = centred * scale * tl.load(W + col, mask=inside, other=0.0) + tl.load(B + col, mask=inside, other=0.0)
    tl.store(TOTAL + at, total, mask=inside)
    tl.store(OUT + at, out, mask=inside)
    if TWINS:
        tl.store(TWIN + at, out.to(TWIN.dtype.element_ty), mask=inside)
    tl.store(MEAN + row, mean)
    tl.store(SCALE + row, scale)


@triton.jit
def _norm_backward(
    G,
    TWIN_G,
    TOTAL,
    MEAN,
    SCALE,
    W,
    MASK,
    BY_ROWS,
    BY_X,
    PARTS,
    R,
    D,
    MASKED: tl.constexpr,
    TWINS: tl.constexpr,
    WEIGHTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    program, programs = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK)
    inside = col < D
    weight = tl.load(W + col, mask=inside, other=0.0)
    by_weight = tl.zeros([BLOCK], dtype=tl.float32)
    by_bias = tl.zeros([BLOCK], dtype=tl.float32)
    for row in range(program, R, programs):
        at = row * D + col
        g = tl.load(G + at, mask=inside, other=0.0)
        if TWINS:
            g += tl.load(TWIN_G + at, mask=inside, other=0.0).to(tl.float32)
        scale = tl.load(SCALE + row)
        normed = (tl.load(TOTAL + at, mask=inside, other=0.0) - tl.load(MEAN + row)) * scale
        normed = tl.where(inside, normed, 0.0)
        if WEIGHTS:
            by_weight += g * normed
            by_bias += g
        g = g * weight
        by_rows = (g - tl.sum(g, axis=0) / D - normed * (tl.sum(g * normed, axis=0) / D)) * scale
        tl.store(BY_ROWS + at, by_rows, mask=inside)
        by_x = by_rows
        if MASKED:
            by_x = by_rows * tl.load(MASK + at, mask=inside, other=0.0)
        tl.store(BY_X + at, by_x.to(BY_X.dtype.element_ty), mask=inside)
    if WEIGHTS:
        tl.store(PARTS + program * 2 * D + col, by_weight, mask=inside)
        tl.store(PARTS + program * 2 * D + D + col, by_bias, mask=inside)


@triton.jit
def _norm_tangent(
    X, MASK, ROWS, TOTAL, MEAN, SCALE, W, OUT, TWIN, D, MASKED: tl.constexpr, TWINS: tl.constexpr, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    inside = col < D
    at = row * D + col
    x = tl.load(X + at, mask=inside, other=0.0).to(tl.float32)
    if MASKED:
        x = x * tl.load(MASK + at, mask=inside, other=0.0)
    moved = tl.load(ROWS + at, mask=inside, other=0.0) + x
    scale = tl.load(SCALE + row)
    normed = tl.where(inside, (tl.load(TOTAL + at, mask=inside, other=0.0) - tl.load(MEAN + row)) * scale, 0.0)
    moved = (moved - tl.sum(moved, axis=0) / D - normed * (tl.sum(moved * normed, axis=0) / D)) * scale
    moved = moved * tl.load(W + col, mask=inside, other=0.0)
    tl.store(OUT + at, moved, mask=inside)
    if TWINS:
        tl.store(TWIN + at, moved.to(TWIN.dtype.element_ty), mask=inside)


def _shape(width: int) -> dict[str, int]:
    return {"BLOCK": triton.next_power_of_2(width), "num_warps": 4}


def forward(
    x: Tensor, mask: Tensor | None, rows: Tensor, weight: Tensor, bias: Tensor, eps: float, twin: torch.dtype | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor]:
    """Return sum and LayerNorm (R, D), the latter again in the type `twin`, mean and 1/σ (R,)."""
    total, out = torch.empty_like(rows), torch.empty_like(rows)
    other = None if twin is None else torch.empty_like(rows, dtype=twin)
    mean, scale = rows.new_empty(rows.shape[0]), rows.new_empty(rows.shape[0])
    given = x if mask is None else mask
    _norm_forward[(rows.shape[0],)](
        x, given, rows, weight, bias, total, out, out if other is None else other, mean, scale, rows.shape[1], eps,
        MASKED=mask is not None, TWINS=other is not None, **_shape(rows.shape[1]),
    )  # fmt: skip
    return total, out, other, mean, scale


def backward(
    grad: Tensor, twin_grad: Tensor | None, total: Tensor, mean: Tensor, scale: Tensor, weight: Tensor,
    mask: Tensor | None, like: torch.dtype, *, weights: bool,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:  # fmt: skip
    """Return the gradients by x (of the type `like`), rows, and with `weights` by weight and bias (D,)."""
    count, width = total.shape
    by_rows, by_x = torch.empty_like(total), torch.empty_like(total, dtype=like)
    programs = min(PROGRAMS, count)
    parts = total.new_empty((programs, 2, width) if weights else (1,))
    _norm_backward[(programs,)](
        grad, grad if twin_grad is None else twin_grad, total, mean, scale, weight, total if mask is None else mask,
        by_rows, by_x, parts, count, width,
        MASKED=mask is not None, TWINS=twin_grad is not None, WEIGHTS=weights, **_shape(width),
    )  # fmt: skip
    if not weights:
        return by_x, by_rows, None, None
    by_weight, by_bias = parts.sum(dim=0)
    return by_x, by_rows, by_weight, by_bias


def tangent(
    x: Tensor, mask: Tensor | None, rows: Tensor, total: Tensor, mean: Tensor, scale: Tensor, weight: Tensor,
    twin: torch.dtype | None,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """Return the tangent (R, D) of LayerNorm's output from those of x and rows, also in the type `twin`."""
    out = torch.empty_like(rows)
    other = None if twin is None else torch.empty_like(rows, dtype=twin)
    _norm_tangent[(rows.shape[0],)](
        x, x if mask is None else mask, rows, total, mean, scale, weight, out, out if other is None else other,
        rows.shape[1], MASKED=mask is not None, TWINS=other is not None, **_shape(rows.shape[1]),
    )  # fmt: skip
    return out, other

"""Attention of one sentence and head a program, from packed rows: scores and shares never leave the registers.

Backward and forward-mode make them again, which costs less than to store them. Matrices in fp32 are rounded to tf32.
Axes: T tokens, S sentences, H heads, d width of a head, L longest sentence; `packed` has query, key and value side by
side, (T, 3·H·d), or key and value alone where one row a sentence asks (`query`, (S, H·d)). Dropout masks are
(S, H, L or 1, L).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

LONGEST = 128
"""Longest sentence whose scores fit in the registers."""


@triton.jit
def _rows(P, first, part, head, row, col, there, D, W, d):
    """Load (BLOCK, d) of one part and head of the rows of a sentence."""
    return tl.load(P + (first + row)[:, None] * W + part * D + head * d + col[None, :], mask=there[:, None], other=0.0)


@triton.jit
def _shares(q, k, there, scale, FIRST: tl.constexpr, PRECISION: tl.constexpr):
    """Return softmax(q·kᵀ·scale) in fp32: (BLOCK, BLOCK), or with FIRST (BLOCK,) of the one row that asks."""
    if FIRST:
        scores = tl.sum(q[None, :].to(tl.float32) * k.to(tl.float32), axis=1) * scale
        scores = tl.where(there, scores, float("-inf"))
        weight = tl.exp(scores - tl.max(scores, axis=0))
        return weight / tl.sum(weight, axis=0)
    else:
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
        scores = tl.where(there[None, :], scores, float("-inf"))
        weight = tl.exp(scores - tl.max(scores, axis=1)[:, None])
        return weight / tl.sum(weight, axis=1)[:, None]


@triton.jit
def _drop(M, sentence, head, row, there, heads, L, FIRST: tl.constexpr, MASKED: tl.constexpr, BLOCK: tl.constexpr):
    """Return the dropout mask of a sentence's head, shaped as its shares."""
    base = (sentence * heads + head) * L
    if FIRST:
        return tl.load(M + base + row, mask=there, other=0.0) if MASKED else tl.full([BLOCK], 1.0, tl.float32)
    else:
        both = there[:, None] & there[None, :]
        if MASKED:
            return tl.load(M + base * L + row[:, None] * L + row[None, :], mask=both, other=0.0)
        return tl.full([BLOCK, BLOCK], 1.0, tl.float32)


@triton.jit
def _attention_forward(
    P,
    Q,
    M,
    OUT,
    STARTS,
    LENGTHS,
    heads,
    L,
    scale,
    W,
    D,
    d: tl.constexpr,
    FIRST: tl.constexpr,
    MASKED: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK: tl.constexpr,
):
    sentence, head = tl.program_id(0), tl.program_id(1)
    first, length = tl.load(STARTS + sentence), tl.load(LENGTHS + sentence)
    row, col = tl.arange(0, BLOCK), tl.arange(0, d)
    there = row < length
    skip: tl.constexpr = 0 if FIRST else 1
    k = _rows(P, first, skip, head, row, col, there, D, W, d)
    v = _rows(P, first, skip + 1, head, row, col, there, D, W, d)
    drop = _drop(M, sentence, head, row, there, heads, L, FIRST, MASKED, BLOCK)
    if FIRST:
        q = tl.load(Q + sentence * D + head * d + col)
        kept = (_shares(q, k, there, scale, FIRST, PRECISION) * drop).to(v.dtype).to(tl.float32)
        out = tl.sum(kept[:, None] * v.to(tl.float32), axis=0)
        tl.store(OUT + sentence * D + head * d + col, out.to(OUT.dtype.element_ty))
    else:
        q = _rows(P, first, 0, head, row, col, there, D, W, d)
        kept = (_shares(q, k, there, scale, FIRST, PRECISION) * drop).to(v.dtype)
        out = tl.dot(kept, v, input_precision=PRECISION)
        place = (first + row)[:, None] * D + head * d + col[None, :]
        tl.store(OUT + place, out.to(OUT.dtype.element_ty), mask=there[:, None])


@triton.jit
def _attention_backward(
    P,
    Q,
    M,
    G,
    BY_P,
    BY_Q,
    STARTS,
    LENGTHS,
    heads,
    L,
    scale,
    W,
    D,
    d: tl.constexpr,
    FIRST: tl.constexpr,
    MASKED: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK: tl.constexpr,
):
    sentence, head = tl.program_id(0), tl.program_id(1)
    first, length = tl.load(STARTS + sentence), tl.load(LENGTHS + sentence)
    row, col = tl.arange(0, BLOCK), tl.arange(0, d)
    there = row < length
    skip: tl.constexpr = 0 if FIRST else 1
    k = _rows(P, first, skip, head, row, col, there, D, W, d)
    v = _rows(P, first, skip + 1, head, row, col, there, D, W, d)
    drop = _drop(M, sentence, head, row, there, heads, L, FIRST, MASKED, BLOCK)
    place = (first + row)[:, None] * W + head * d + col[None, :]
    if FIRST:
        q = tl.load(Q + sentence * D + head * d + col)
        g = tl.load(G + sentence * D + head * d + col)
        shares = _shares(q, k, there, scale, FIRST, PRECISION)
        kept = (shares * drop).to(v.dtype).to(tl.float32)
        by_v = kept[:, None] * g[None, :].to(tl.float32)
        by_share = tl.sum(v.to(tl.float32) * g[None, :].to(tl.float32), axis=1) * drop
        by_score = shares * (by_share - tl.sum(shares * by_share, axis=0)) * scale
        by_score = by_score.to(k.dtype).to(tl.float32)
        by_k = by_score[:, None] * q[None, :].to(tl.float32)
        by_q = tl.sum(by_score[:, None] * k.to(tl.float32), axis=0)
        tl.store(BY_Q + sentence * D + head * d + col, by_q.to(BY_Q.dtype.element_ty))
    else:
        q = _rows(P, first, 0, head, row, col, there, D, W, d)
        g = tl.load(G + (first + row)[:, None] * D + head * d + col[None, :], mask=there[:, None], other=0.0)
        # Rows that ask and are padding have softmax of real keys, but no gradient: g is 0 there.
        shares = _shares(q, k, there, scale, FIRST, PRECISION)
        kept = (shares * drop).to(v.dtype)
        by_v = tl.dot(tl.trans(kept), g, input_precision=PRECISION)
        by_share = tl.dot(g, tl.trans(v), input_precision=PRECISION) * drop
        by_score = shares * (by_share - tl.sum(shares * by_share, axis=1)[:, None]) * scale
        by_score = by_score.to(k.dtype)
        by_k = tl.dot(tl.trans(by_score), q, input_precision=PRECISION)
        by_q = tl.dot(by_score, k, input_precision=PRECISION)
        tl.store(BY_P + place, by_q.to(BY_P.dtype.element_ty), mask=there[:, None])
    tl.store(BY_P + place + skip * D, by_k.to(BY_P.dtype.element_ty), mask=there[:, None])
    tl.store(BY_P + place + (skip + 1) * D, by_v.to(BY_P.dtype.element_ty), mask=there[:, None])


@triton.jit
def _attention_tangent(
    P,
    Q,
    M,
    PT,
    QT,
    OUT,
    STARTS,
    LENGTHS,
    heads,
    L,
    scale,
    W,
    D,
    d: tl.constexpr,
    FIRST: tl.constexpr,
    MASKED: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK: tl.constexpr,
):
    sentence, head = tl.program_id(0), tl.program_id(1)
    first, length = tl.load(STARTS + sentence), tl.load(LENGTHS + sentence)
    row, col = tl.arange(0, BLOCK), tl.arange(0, d)
    there = row < length
    skip: tl.constexpr = 0 if FIRST else 1
    k = _rows(P, first, skip, head, row, col, there, D, W, d)
    v = _rows(P, first, skip + 1, head, row, col, there, D, W, d)
    moved_k = _rows(PT, first, skip, head, row, col, there, D, W, d)
    moved_v = _rows(PT, first, skip + 1, head, row, col, there, D, W, d)
    drop = _drop(M, sentence, head, row, there, heads, L, FIRST, MASKED, BLOCK)
    if FIRST:
        q = tl.load(Q + sentence * D + head * d + col).to(tl.float32)
        moved_q = tl.load(QT + sentence * D + head * d + col).to(tl.float32)
        shares = _shares(q, k, there, scale, FIRST, PRECISION)
        moved = tl.sum(moved_q[None, :] * k.to(tl.float32) + q[None, :] * moved_k.to(tl.float32), axis=1) * scale
        moved = shares * (moved - tl.sum(shares * moved, axis=0)) * drop
        out = tl.sum(moved[:, None] * v.to(tl.float32) + (shares * drop)[:, None] * moved_v.to(tl.float32), axis=0)
        tl.store(OUT + sentence * D + head * d + col, out.to(OUT.dtype.element_ty))
    else:
        q = _rows(P, first, 0, head, row, col, there, D, W, d)
        moved_q = _rows(PT, first, 0, head, row, col, there, D, W, d)
        shares = _shares(q, k, there, scale, FIRST, PRECISION)
        moved = tl.dot(moved_q, tl.trans(k), input_precision=PRECISION)
        moved += tl.dot(q, tl.trans(moved_k), input_precision=PRECISION)
        moved = moved * scale
        moved = shares * (moved - tl.sum(shares * moved, axis=1)[:, None]) * drop
        out = tl.dot(moved.to(v.dtype), v, input_precision=PRECISION)
        out += tl.dot((shares * drop).to(v.dtype), moved_v, input_precision=PRECISION)
        place = (first + row)[:, None] * D + head * d + col[None, :]
        tl.store(OUT + place, out.to(OUT.dtype.element_ty), mask=there[:, None])


def fits(width: int, longest: int) -> bool:
    """Return whether heads of this width and sentences of this length have a kernel."""
    return longest <= LONGEST and width in (16, 32, 64, 128)


def _shape(packed: Tensor, query: Tensor | None, mask: Tensor | None, heads: int, longest: int) -> dict[str, object]:
    width = packed.shape[1] // ((2 if query is not None else 3) * heads)
    block = max(16, triton.next_power_of_2(longest))
    return {
        "heads": heads, "L": longest, "scale": width**-0.5, "W": packed.shape[1], "D": heads * width, "d": width,
        "FIRST": query is not None, "MASKED": mask is not None, "PRECISION": "tf32", "BLOCK": block,
        "num_warps": 8 if block >= 128 else 4,
    }  # fmt: skip


def forward(
    packed: Tensor, query: Tensor | None, mask: Tensor | None, starts: Tensor, lengths: Tensor, heads: int, longest: int
) -> Tensor:
    """Return the attention output, (T, H·d) or (S, H·d), 0 for tokens of no sentence."""
    shape = _shape(packed, query, mask, heads, longest)
    # Zeros: padding tokens belong to no sentence, and what they have must be finite.
    out = packed.new_zeros(packed.shape[0] if query is None else query.shape[0], heads * shape["d"])  # type: ignore[operator]
    _attention_forward[(len(starts), heads)](
        packed, packed if query is None else query, packed if mask is None else mask, out, starts, lengths, **shape
    )
    return out


def backward(
    grad: Tensor, packed: Tensor, query: Tensor | None, mask: Tensor | None, starts: Tensor, lengths: Tensor,
    heads: int, longest: int,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """Return the gradients by `packed` and by `query`, of their shapes."""
    by_packed = torch.zeros_like(packed)
    by_query = None if query is None else torch.empty_like(query)
    _attention_backward[(len(starts), heads)](
        packed, packed if query is None else query, packed if mask is None else mask, grad, by_packed,
        by_packed if by_query is None else by_query, starts, lengths, **_shape(packed, query, mask, heads, longest),
    )  # fmt: skip
    return by_packed, by_query


def tangent(
    moved: Tensor, moved_query: Tensor | None, packed: Tensor, query: Tensor | None, mask: Tensor | None,
    starts: Tensor, lengths: Tensor, heads: int, longest: int,
) -> Tensor:  # fmt: skip
    """Return the tangent of the output from those of `packed` and `query`."""
    shape = _shape(packed, query, mask, heads, longest)
    out = packed.new_zeros(packed.shape[0] if query is None else query.shape[0], heads * shape["d"])  # type: ignore[operator]
    _attention_tangent[(len(starts), heads)](
        packed, packed if query is None else query, packed if mask is None else mask, moved,
        moved if moved_query is None else moved_query, out, starts, lengths, **shape,
    )  # fmt: skip
    return out

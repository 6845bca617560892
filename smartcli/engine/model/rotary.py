"""Rotary positions: queries and keys turned by an angle that grows with the token's place in its sentence.

Of each head's d numbers the i-th and the (i + d/2)-th are a point in a plane, which is turned by m·b^(−2i/d) at place m
for the base b (Su et al. 2021, arXiv 2104.09864, equation 34, with the pairing that public weights use). So a score
depends on the distance of two tokens alone. Axes: T tokens, H heads, d = D / H, P places.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from smartcli.engine.model.packing import PackedBatch


@lru_cache(maxsize=64)
def rotary_table(places: int, width: int, base: float, device: torch.device | None = None) -> Tensor:
    """Return cosine and sine of each place's angles, (2, P, d/2) in fp32, for heads of `width` d; never written to."""
    # Kept, since a captured step must not copy from the CPU; and never a tensor of inference mode, since training uses
    # the same.
    with torch.inference_mode(False):
        # In fp32 step by step, as the weights' own pre-training had it: exact angles of far places would be others.
        rate = 1.0 / base ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
        angle = torch.arange(places, dtype=torch.float32)[:, None] * rate
        return torch.stack([angle.cos(), angle.sin()]).to(device)


def turns(batch: PackedBatch, width: int, base: float) -> Tensor:
    """Return cosine and sine of each token's angles, (2, T, 1, 1, d/2), for heads of `width` d."""
    longest = max((group.width for group in batch.groups), default=1)
    # A power of two: few tables, whatever the lengths.
    table = rotary_table(1 << (longest - 1).bit_length(), width, base, batch.ids.device)
    return table.index_select(1, batch.positions)[:, :, None, None]


def rotate(packed: Tensor, turn: Tensor, *, heads: int, parts: int) -> Tensor:
    """Return `packed` (T, parts · D) with all parts but the last turned by `turn` (2, T, 1, 1, d/2).

    The last part holds the values; before it stand query and key, or the key alone.
    """
    out: Tensor = _Rotate.apply(packed, turn, heads, parts)  # type: ignore[no-untyped-call]
    return out


def _turned(x: Tensor, turn: Tensor, heads: int, parts: int, *, back: bool = False) -> Tensor:
    rows = x.reshape(x.shape[0], parts, heads, 2, turn.shape[-1])
    out = torch.empty_like(rows)
    first, second = rows[:, :-1, :, 0], rows[:, :-1, :, 1]
    cos, sin = turn[0], -turn[1] if back else turn[1]
    # In the wider type of the two: bf16 rows are turned in fp32 and rounded once.
    out[:, :-1, :, 0] = first * cos - second * sin
    out[:, :-1, :, 1] = second * cos + first * sin
    out[:, -1] = rows[:, -1]
    return out.view(x.shape)


class _Rotate(torch.autograd.Function):
    """A turn is linear, and its transpose is the turn back."""

    @staticmethod
    def forward(ctx: Any, packed: Tensor, turn: Tensor, heads: int, parts: int) -> Tensor:
        ctx.save_for_backward(turn)
        ctx.save_for_forward(turn)
        ctx.heads, ctx.parts = heads, parts
        return _turned(packed, turn, heads, parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (turn,) = ctx.saved_tensors
        return _turned(grads[0], turn, ctx.heads, ctx.parts, back=True), None, None, None

    @staticmethod
    @torch.no_grad()
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (turn,) = ctx.saved_tensors
        return _turned(tangents[0], turn, ctx.heads, ctx.parts)

"""Self-attention over a packed batch: only here are sentences padded, group by group of like length.

One autograd function with its derivatives written out, both ways: a tenth of the kernel calls that the same in
single operations makes. Axes: T tokens, S sentences, n sentences of a group, L its longest, R rows that ask
(L, or 1), H heads, d = D / H.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from smartcli.engine.kernels import usable
from smartcli.engine.model.distinct_rows import spread
from smartcli.engine.model.dropout import Dropout
from smartcli.engine.model.packing import Group, PackedBatch


@lru_cache(maxsize=64)
def relative_buckets(width: int, buckets: int, distance: int, device: torch.device | None = None) -> Tensor:
    """Return the (width, width) bucket of each (query, key) offset, as T5 and MPNet define it; never written to.

    Half the buckets are for keys after the query; half of each half are exact offsets, the rest grow
    logarithmically up to `distance`.
    """
    # Kept, since a captured step must not copy from the CPU; and never a tensor of inference mode, since training uses
    # the same.
    with torch.inference_mode(False):
        return _buckets(width, buckets, distance).to(device)


def _buckets(width: int, buckets: int, distance: int) -> Tensor:
    place = torch.arange(width)
    offset = place[:, None] - place[None, :]
    half = buckets // 2
    after = (offset < 0).long() * half
    offset = offset.abs()
    exact = half // 2
    grown = exact + (torch.log(offset.float() / exact) / math.log(distance / exact) * (half - exact)).long()
    return after + torch.where(offset < exact, offset, torch.clamp(grown, max=half - 1))


def attend(
    packed: Tensor,
    query: Tensor | None,
    batch: PackedBatch,
    *,
    heads: int,
    bias: Tensor | None,
    dropout: Dropout,
    p: float,
    place: str,
) -> Tensor:
    """Return the attention output (T, D), or (S, D) where `query` (S, D) holds what each sentence's first token asks.

    `packed` holds each token's query, key and value side by side (T, 3D), without the query (T, 2D) where that is
    given apart. `bias` (H, W, W), with W at least the longest sentence, is added to the scores.
    """
    masks = attention_masks(packed, query, batch, heads, dropout, p, place)
    if bias is None and len(batch.groups) == 1 and _in_tiles(packed, query, heads, batch.groups[0].width):
        tiles = _Tiles(batch.starts, batch.lengths, heads, batch.groups[0].width)
        return _TiledAttention.apply(packed, query, masks[0], tiles)  # type: ignore[no-untyped-call, no-any-return]
    out: Tensor = _Attention.apply(packed, query, bias, Shape(batch, heads, query is not None), *masks)  # type: ignore[no-untyped-call]
    return out


def attention_masks(
    packed: Tensor, query: Tensor | None, batch: PackedBatch, heads: int, dropout: Dropout, p: float, place: str
) -> tuple[Tensor | None, ...]:
    """Return each group's mask (n, H, R, L) of shares, None where nothing is dropped."""
    # Drawn in the order of the groups, and outside: a generator is no argument of an autograd function, and a replayed
    # pass must find each group's mask by its name.
    return tuple(
        dropout.mask(
            (len(group), heads, group.width if query is None else 1, group.width),
            packed.device,
            p,
            f"attention{group.key}",
            f"{place}.group{group.key}",
        )
        for group in batch.groups
    )


def _in_tiles(packed: Tensor, query: Tensor | None, heads: int, longest: int) -> bool:
    # fp32 without tf32 would leave the tensor cores idle: there separate operations are faster.
    if not usable(packed) or not (
        packed.dtype == torch.bfloat16 or (packed.dtype == torch.float32 and torch.backends.cuda.matmul.allow_tf32)
    ):
        return False
    from smartcli.engine.kernels import attention_tiles

    return attention_tiles.fits(packed.shape[1] // (heads * (3 if query is None else 2)), longest)


class _Tiles(NamedTuple):
    """Where the sentences start (S,) and how long they are (S,), the heads, and the longest sentence."""

    starts: Tensor
    lengths: Tensor
    heads: int
    longest: int


class _TiledAttention(torch.autograd.Function):
    """`_Attention` of one group without a bias, in Triton (kernels/attention_tiles.py)."""

    @staticmethod
    def forward(ctx: Any, packed: Tensor, query: Tensor | None, mask: Tensor | None, tiles: _Tiles) -> Tensor:
        from smartcli.engine.kernels import attention_tiles as kernel

        packed, query = packed.contiguous(), None if query is None else query.contiguous()
        ctx.mask, ctx.tiles = mask, tiles
        ctx.save_for_backward(packed, query)
        ctx.save_for_forward(packed, query)
        return kernel.forward(packed, query, mask, *tiles)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        from smartcli.engine.kernels import attention_tiles as kernel

        packed, query = ctx.saved_tensors
        by_packed, by_query = kernel.backward(grads[0].contiguous(), packed, query, ctx.mask, *ctx.tiles)
        return by_packed, by_query, None, None

    @staticmethod
    @torch.no_grad()
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        from smartcli.engine.kernels import attention_tiles as kernel

        packed, query = ctx.saved_tensors
        moved, moved_query = tangents[0].contiguous(), None if query is None else tangents[1].contiguous()
        return kernel.tangent(moved, moved_query, packed, query, ctx.mask, *ctx.tiles)


@dataclass(frozen=True)
class Shape:
    """How rows of tokens and heads of padded sentences lie."""

    batch: PackedBatch
    heads: int
    first_only: bool

    def by_head(self, x: Tensor, group: Group, parts: int) -> Tensor:
        """Return a group's rows of a padded grid (·, parts · D) as (parts, n · H, L, d)."""
        n, width, d = len(group), group.width, x.shape[1] // (parts * self.heads)
        rows = x[group.row : group.row + n * width].view(n, width, parts, self.heads, d)
        # One copy puts all parts head by head, so that each is a plain stack of matrices for bmm.
        return rows.permute(2, 0, 3, 1, 4).reshape(parts, n * self.heads, width, d)

    def by_token(self, x: Tensor, group: Group, out: Tensor) -> None:
        """Write (parts, n · H, L, d) to a group's rows of a padded grid (·, parts · D)."""
        parts, _, width, d = x.shape
        n = len(group)
        rows = out[group.row : group.row + n * width].view(n, width, parts, self.heads, d)
        rows.copy_(x.view(parts, n, self.heads, width, d).permute(1, 3, 0, 2, 4))

    def grid(self, x: Tensor) -> Tensor:
        """Return (T, ·) as the padded grid; at padding zero, or with a fixed shape what padding tokens have."""
        if self.batch.padding is not None:
            # In one read: padding tokens may have any finite value, and their gradients are 0.
            return x.index_select(0, self.batch.padding.source)
        return spread(x, self.batch.slots, self.batch.grid_rows)

    def asking(self, query: Tensor | None, parts: Tensor, group: Group) -> Tensor:
        """Return what asks, (n · H, R, d): the first of `parts`, or the group's rows of `query`."""
        if query is None:
            return parts[0]
        n, width = len(group), query.shape[1]
        return query[group.start : group.stop].reshape(n * self.heads, 1, width // self.heads)

    def answers(self, found: list[Tensor], like: Tensor) -> Tensor:
        """Return the groups' (n · H, R, d) as (T, D), or (S, D) where one row a sentence asks."""
        d = like.shape[1] // self.parts
        if self.first_only:
            # Groups are slices of the sentences in order, so end to end they are (S, D); no group at all is a batch
            # without sentences, which a process of several may have.
            rows = [x.view(len(g), d) for x, g in zip(found, self.batch.groups, strict=True)]
            return rows[0] if len(rows) == 1 else torch.cat([like.new_empty(0, d), *rows])
        out = like.new_empty((self.batch.grid_rows, d))
        for x, group in zip(found, self.batch.groups, strict=True):
            self.by_token(x[None], group, out)
        return out.index_select(0, self.batch.slots)

    def by_row(self, x: Tensor, group: Group) -> Tensor:
        """Return (n · H, R, L) as (n, H, R, L)."""
        return x.view(len(group), self.heads, x.shape[1], group.width)

    @property
    def parts(self) -> int:
        return 2 if self.first_only else 3


def wide(x: Tensor) -> Tensor:
    """Return `x` in fp32 or wider."""
    # Not .float() for all: tests differentiate in float64, which must stay.
    return x.float() if x.element_size() < 4 else x


class _Attention(torch.autograd.Function):
    """softmax(q·kᵀ/√d + mask + bias), dropped, times v; backward, and forward-mode by packed and query."""

    @staticmethod
    def forward(
        ctx: Any, packed: Tensor, query: Tensor | None, bias: Tensor | None, shape: Shape, *masks: Any
    ) -> Tensor:
        grid, found, saved = shape.grid(packed), [], []
        for group, dropped in zip(shape.batch.groups, masks, strict=True):
            parts = shape.by_head(grid, group, shape.parts)
            q, k, v = shape.asking(query, parts, group), parts[-2], parts[-1]
            scores = shape.by_row(torch.bmm(q, k.transpose(1, 2)), group)
            # The scale rides along with the mask's addition, and a bf16 score becomes fp32 in the same operation.
            scores = torch.add(group.mask.to(wide(scores[:0]).dtype), scores, alpha=1.0 / math.sqrt(q.shape[2]))
            if bias is not None:
                scores += bias[:, : q.shape[1], : group.width]
            shares = torch.softmax(scores, dim=-1)
            kept = (shares if dropped is None else shares * dropped).to(v.dtype).view(len(q), q.shape[1], group.width)
            found.append(torch.bmm(kept, v))
            # Five tensors a group, which backward and jvp take apart by position: autograd keeps only a flat list.
            # `kept` could be made again from `shares`, but a multiply of that size costs more than its memory.
            saved += [q, k, v, shares, kept]
        ctx.shape, ctx.masks, ctx.bias = shape, masks, None if bias is None else bias.shape
        ctx.save_for_backward(*saved)
        # The same list: jvp runs inside the forward pass, where what is saved for backward is not there yet.
        ctx.save_for_forward(*saved)
        return shape.answers(found, packed)

    @staticmethod
    # Second derivatives are never asked for: SMART's ascent takes its gradient by plain backward passes.
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        shape: Shape = ctx.shape
        grad, saved = grads[0], ctx.saved_tensors
        grad_grid = grad if shape.first_only else shape.grid(grad)
        out = grad.new_empty((shape.batch.grid_rows, shape.parts * grad.shape[1]))
        grad_query = torch.empty_like(grad) if shape.first_only else None
        # In the shares' number format; a batch without a row has no shares.
        grad_bias = wide(grad[:0]).new_zeros(ctx.bias) if ctx.needs_input_grad[2] else None
        for at, (group, dropped) in enumerate(zip(shape.batch.groups, ctx.masks, strict=True)):
            q, k, v, shares, kept = saved[5 * at : 5 * at + 5]
            above = shape.asking(grad, k, group) if shape.first_only else shape.by_head(grad_grid, group, 1)[0]
            # Written in place, in the order in which the forward pass took them apart: (query,) key, value.
            parts = k.new_empty((shape.parts, *k.shape))
            torch.bmm(kept.transpose(1, 2), above, out=parts[-1])
            by_share = shape.by_row(torch.bmm(above, v.transpose(1, 2)), group)
            by_share = by_share * dropped if dropped is not None else wide(by_share)
            # Private, and the same in every torch that pyproject.toml allows (tests compare it with autograd's own);
            # in single operations softmax's backward is three passes over the scores.
            by_score = torch.ops.aten._softmax_backward_data(by_share, shares, -1, shares.dtype)
            if grad_bias is not None:
                grad_bias[:, : q.shape[1], : group.width] += by_score.sum(dim=0)
            scaled = (by_score * (1.0 / math.sqrt(q.shape[2]))).to(k.dtype).view(kept.shape)
            torch.bmm(scaled.transpose(1, 2), q, out=parts[-2])
            if grad_query is None:
                torch.bmm(scaled, k, out=parts[0])
            else:
                grad_query[group.start : group.stop] = torch.bmm(scaled, k).view(len(group), grad.shape[1])
            shape.by_token(parts, group, out)
        return (out.index_select(0, shape.batch.slots), grad_query, grad_bias, None, *(None for _ in ctx.masks))

    @staticmethod
    @torch.no_grad()
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        shape: Shape = ctx.shape
        packed, query = tangents[:2]
        saved, grid, found = ctx.saved_tensors, shape.grid(packed), []
        for at, (group, dropped) in enumerate(zip(shape.batch.groups, ctx.masks, strict=True)):
            q, k, v, shares, kept = saved[5 * at : 5 * at + 5]
            parts = shape.by_head(grid, group, shape.parts)
            moved_q, moved_k, moved_v = shape.asking(query, parts, group), parts[-2], parts[-1]
            moved = torch.baddbmm(torch.bmm(moved_q, k.transpose(1, 2)), q, moved_k.transpose(1, 2))
            moved = shares * (shape.by_row(moved, group) * (1.0 / math.sqrt(q.shape[2])))
            # The derivative of softmax: shares · (moved − Σ shares · moved), where `moved` has its shares already.
            moved = moved - shares * moved.sum(dim=-1, keepdim=True)
            moved = (moved if dropped is None else moved * dropped).to(v.dtype).view(kept.shape)
            found.append(torch.baddbmm(torch.bmm(moved, v), kept, moved_v))
        return shape.answers(found, packed)

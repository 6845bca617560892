"""Disentangled attention: scores of content and relative position apart, over a packed batch.

He et al. 2021, "DeBERTa" (arXiv 2006.03654), section 3.1, and its v2 code: with δ(i, j) the row of distance i − j,
score(i, j) = (qᵢ·kⱼ + qᵢ·Kʳ_δ(i,j) + Qʳ_δ(i,j)·kⱼ) / √(d · terms), where Kʳ and Qʳ are projections of one table of
relative positions that all layers share. The products with the table are taken once for each distance and not for each
pair of tokens: row i of q·Kʳᵀ by distance is row i of the scores moved by i places, which strides alone can say.
Axes: T tokens, S sentences, n sentences of a group, L its longest, W the batch's, R rows that ask (L, or 1), H heads,
d = D / H, M = 2L − 1 distances, from −(L − 1) on.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from smartcli.engine.model.attention import Shape, attention_masks, wide
from smartcli.engine.model.dropout import Dropout
from smartcli.engine.model.dual_linear import DualLinear
from smartcli.engine.model.packing import Group, PackedBatch
from smartcli.engine.model.relative_table import Distances
from smartcli.families.spec import EncoderSpec
from smartcli.families.spec_parts import TERMS, Disentangled


class DisentangledAttention(nn.Module):
    """A layer's attention; with projections of relative positions of its own, where they are not those of contents."""

    def __init__(self, spec: EncoderSpec, part: Disentangled) -> None:
        super().__init__()
        self.heads, self.terms = spec.heads, part.terms
        width = spec.hidden_size
        self.project = None if part.shared else DualLinear(width, len(part.terms) * width)

    def forward(
        self,
        packed: Tensor,
        query: Tensor | None,
        batch: PackedBatch,
        distances: Distances,
        contents: tuple[Tensor, Tensor | None],
        *,
        dropout: Dropout,
        p: float,
        attention_p: float,
        place: str,
    ) -> Tensor:
        """Return the attention output (T, D) or (S, D); `packed` and `query` as attention.attend has them.

        `contents` are weight (3D, D) and bias (3D,) of query, key and value, `p` is dropped of the table.
        """
        weight, bias = self.weights(*contents)
        near = distances.projected(weight, bias, dropout, p, place)
        masks = attention_masks(packed, query, batch, self.heads, dropout, attention_p, f"{place}.attention")
        shape = _ByHead(batch, self.heads, query is not None)
        out: Tensor = _Attention.apply(packed, query, near, shape, self.terms, *masks)  # type: ignore[no-untyped-call]
        return out

    def weights(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias of the table's projection, its own or those rows of contents' (3D, D), (3D,)."""
        if self.project is not None:
            return self.project.used()
        # Contents' query and key lie in the order of the terms that they serve.
        width = weight.shape[1]
        rows = slice(width * TERMS.index(self.terms[0]), width * (TERMS.index(self.terms[-1]) + 1))
        return weight[rows], None if bias is None else bias[rows]


class _ByHead(Shape):
    """Heads before sentences, so that one product with a head's table serves all sentences."""

    def by_head(self, x: Tensor, group: Group, parts: int) -> Tensor:
        """Return a group's rows of a padded grid (·, parts · D) as (parts, H · n, L, d)."""
        n, width, d = len(group), group.width, x.shape[1] // (parts * self.heads)
        rows = x[group.row : group.row + n * width].view(n, width, parts, self.heads, d)
        return rows.permute(2, 3, 0, 1, 4).reshape(parts, self.heads * n, width, d)

    def by_token(self, x: Tensor, group: Group, out: Tensor) -> None:
        """Write (parts, H · n, L, d) to a group's rows of a padded grid (·, parts · D)."""
        parts, _, width, d = x.shape
        n = len(group)
        rows = out[group.row : group.row + n * width].view(n, width, parts, self.heads, d)
        rows.copy_(x.view(parts, self.heads, n, width, d).permute(2, 3, 0, 1, 4))

    def asking(self, query: Tensor | None, parts: Tensor, group: Group) -> Tensor:
        """Return what asks, (H · n, R, d): the first of `parts`, or the group's rows of `query`."""
        if query is None:
            return parts[0]
        n, width = len(group), query.shape[1]
        rows = query[group.start : group.stop].view(n, self.heads, width // self.heads)
        return rows.transpose(0, 1).reshape(self.heads * n, 1, width // self.heads)

    def by_sentence(self, x: Tensor, group: Group) -> Tensor:
        """Return (H · n, 1, d) as (n, D)."""
        n, d = len(group), x.shape[2]
        return x.view(self.heads, n, d).transpose(0, 1).reshape(n, self.heads * d)

    def answers(self, found: list[Tensor], like: Tensor) -> Tensor:
        """Return the groups' (H · n, R, d) as (T, D), or (S, D) where one row a sentence asks."""
        if self.first_only:
            rows = [self.by_sentence(x, g) for x, g in zip(found, self.batch.groups, strict=True)]
            return torch.cat([like.new_empty(0, like.shape[1] // self.parts), *rows])
        return super().answers(found, like)

    def by_row(self, x: Tensor, group: Group) -> Tensor:
        """Return (H · n, R, L) as (H, n, R, L)."""
        return x.view(self.heads, len(group), x.shape[1], group.width)

    def table(self, near: Tensor, group: Group, terms: int) -> Tensor:
        """Return the group's distances (terms, H, M, d) of all, `near` (2W − 1, terms · D)."""
        rows = near[_middle(near, group)]
        return rows.view(len(rows), terms, self.heads, -1).permute(1, 2, 0, 3)

    def by_group(self, x: Tensor, group: Group) -> Tensor:
        """Return (H · n, R, d) as (H, n, R, d), a view."""
        return x.view(self.heads, len(group), *x.shape[1:])


def _middle(near: Tensor, group: Group) -> slice:
    widest = (near.shape[0] + 1) // 2
    return slice(widest - group.width, widest + group.width - 1)


def _moved(x: Tensor) -> Tensor:
    """Return a view of (…, L, M), of which row i begins at column L − 1 − i, as (…, L, L); its memory is contiguous."""
    length, most = x.shape[-2:]
    return x.as_strided((*x.shape[:-1], length), (*x.stride()[:-2], most - 1, 1), x.storage_offset() + length - 1)


class _Relative:
    """The terms' part in a group's scores, linear in q and k, and its derivatives; `rows` (terms, H, M, d)."""

    def __init__(self, rows: Tensor, terms: tuple[str, ...], first_only: bool) -> None:
        parts = dict(zip(terms, rows, strict=True))
        length = (rows.shape[2] + 1) // 2
        # Row i of the scores meets distances i, i − 1, … with keys 0, 1, …: Kʳ by falling distance. Column j of them
        # meets −j, 1 − j, … with queries 0, 1, …: Qʳ by rising distance. Query 0 alone meets 0, −1, …
        self.c2p, self.p2c = parts.get("c2p"), parts.get("p2c")
        self.c2p = None if self.c2p is None else self.c2p.flip(1)[:, length - 1 if first_only else 0 :]
        if self.p2c is not None and first_only:
            self.p2c = self.p2c[:, :length].flip(1)
        self.first_only, self.length = first_only, length

    def scores(self, q: Tensor, k: Tensor) -> list[Tensor]:
        """Return what to add to q·kᵀ, each (H, n, R, L), of `q` (H, n, R, d) and `k` (H, n, L, d)."""
        out = []
        if self.c2p is not None:
            by_distance = _times(q, self.c2p.transpose(1, 2))
            out.append(by_distance if self.first_only else _moved(by_distance))
        if self.p2c is not None and self.first_only:
            out.append((wide(k) * wide(self.p2c)[:, None]).sum(dim=3)[:, :, None])
        elif self.p2c is not None:
            out.append(_moved(_times(k, self.p2c.transpose(1, 2))).transpose(2, 3))
        return out

    def backward(self, by_score: Tensor, q: Tensor, k: Tensor, by_q: Tensor, by_k: Tensor) -> Tensor:
        """Add to the gradients by q and k in place, all shaped as for `scores`; return that by `rows`, M first."""
        out: dict[str, Tensor] = {}
        if self.c2p is not None:
            by_distance = by_score if self.first_only else self._spread(by_score)
            _flat(by_q).baddbmm_(_flat(by_distance), self.c2p)
            found = torch.bmm(_flat(by_distance).transpose(1, 2), _flat(q))
            out["c2p"] = F.pad(found, (0, 0, self.length - 1 if self.first_only else 0, 0)).flip(1)
        if self.p2c is not None and self.first_only:
            weight = wide(by_score[:, :, 0, :, None])
            by_k += weight * wide(self.p2c)[:, None]
            found = (weight * wide(k)).sum(dim=1).to(k.dtype)
            out["p2c"] = F.pad(found.flip(1), (0, 0, 0, self.length - 1))
        elif self.p2c is not None:
            by_distance = self._spread(by_score.transpose(2, 3))
            _flat(by_k).baddbmm_(_flat(by_distance), self.p2c)
            out["p2c"] = torch.bmm(_flat(by_distance).transpose(1, 2), _flat(k))
        return torch.stack([out[term] for term in TERMS if term in out]).permute(2, 0, 1, 3)

    def _spread(self, by_score: Tensor) -> Tensor:
        """Return (H, n, L, M) that has `by_score` where `_moved` looks, and 0 elsewhere."""
        out = by_score.new_zeros((*by_score.shape[:3], 2 * self.length - 1))
        _moved(out).copy_(by_score)
        return out


def _flat(x: Tensor) -> Tensor:
    """Return (H, n, R, ·) as (H, n · R, ·), a view."""
    return x.view(x.shape[0], x.shape[1] * x.shape[2], x.shape[3])


def _times(x: Tensor, table: Tensor) -> Tensor:
    """Return `x` (H, n, R, d) times each head's `table` (H, d, ·)."""
    return torch.bmm(_flat(x), table).view(*x.shape[:3], table.shape[2])


class _Attention(torch.autograd.Function):
    """As attention's own, with the terms; backward by all three inputs, forward-mode by packed and query."""

    @staticmethod
    def forward(
        ctx: Any,
        packed: Tensor,
        query: Tensor | None,
        near: Tensor,
        shape: _ByHead,
        terms: tuple[str, ...],
        *masks: Any,
    ) -> Tensor:
        grid, found, saved = shape.grid(packed), [], [near]
        for group, dropped in zip(shape.batch.groups, masks, strict=True):
            parts = shape.by_head(grid, group, shape.parts)
            q, k, v = shape.asking(query, parts, group), parts[-2], parts[-1]
            scale = 1.0 / math.sqrt(q.shape[2] * (1 + len(terms)))
            scores = shape.by_row(torch.bmm(q, k.transpose(1, 2)), group)
            hidden = group.mask.to(wide(scores[:0]).dtype).transpose(0, 1)
            scores = torch.add(hidden, scores, alpha=scale)
            relative = _Relative(shape.table(near, group, len(terms)), terms, shape.first_only)
            for each in relative.scores(shape.by_group(q, group), shape.by_group(k, group)):
                scores.add_(each, alpha=scale)
            shares = torch.softmax(scores, dim=-1)
            kept = shares if dropped is None else shares * dropped.transpose(0, 1)
            kept = kept.to(v.dtype).reshape(len(q), q.shape[1], group.width)
            found.append(torch.bmm(kept, v))
            saved += [q, k, v, shares, kept]
        ctx.shape, ctx.masks, ctx.terms = shape, masks, terms
        ctx.save_for_backward(*saved)
        ctx.save_for_forward(*saved)
        return shape.answers(found, packed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        shape: _ByHead = ctx.shape
        grad, near, saved = grads[0], ctx.saved_tensors[0], ctx.saved_tensors[1:]
        grad_grid = grad if shape.first_only else shape.grid(grad)
        out = grad.new_empty((shape.batch.grid_rows, shape.parts * grad.shape[1]))
        grad_query = torch.empty_like(grad) if shape.first_only else None
        grad_near = torch.zeros_like(near)
        for at, (group, dropped) in enumerate(zip(shape.batch.groups, ctx.masks, strict=True)):
            q, k, v, shares, kept = saved[5 * at : 5 * at + 5]
            above = shape.asking(grad, k, group) if shape.first_only else shape.by_head(grad_grid, group, 1)[0]
            parts = k.new_empty((shape.parts, *k.shape))
            torch.bmm(kept.transpose(1, 2), above, out=parts[-1])
            by_share = shape.by_row(torch.bmm(above, v.transpose(1, 2)), group)
            by_share = wide(by_share) if dropped is None else by_share * dropped.transpose(0, 1)
            by_score = torch.ops.aten._softmax_backward_data(by_share, shares, -1, shares.dtype)
            scale = 1.0 / math.sqrt(q.shape[2] * (1 + len(ctx.terms)))
            by_score = (by_score * scale).to(k.dtype).contiguous()
            scaled = by_score.view(kept.shape)
            torch.bmm(scaled.transpose(1, 2), q, out=parts[-2])
            by_q = torch.bmm(scaled, k)
            relative = _Relative(shape.table(near, group, len(ctx.terms)), ctx.terms, shape.first_only)
            places = (shape.by_group(x, group) for x in (q, k, by_q, parts[-2]))
            by_rows = relative.backward(by_score, *places)
            grad_near[_middle(near, group)] += by_rows.reshape(by_rows.shape[0], -1)
            if grad_query is None:
                parts[0] = by_q
            else:
                grad_query[group.start : group.stop] = shape.by_sentence(by_q, group)
            shape.by_token(parts, group, out)
        by_packed = out.index_select(0, shape.batch.slots)
        return (by_packed, grad_query, grad_near, None, None, *(None for _ in ctx.masks))

    @staticmethod
    @torch.no_grad()
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        shape: _ByHead = ctx.shape
        packed, query = tangents[:2]
        near, saved = ctx.saved_tensors[0], ctx.saved_tensors[1:]
        grid, found = shape.grid(packed), []
        for at, (group, dropped) in enumerate(zip(shape.batch.groups, ctx.masks, strict=True)):
            q, k, v, shares, kept = saved[5 * at : 5 * at + 5]
            parts = shape.by_head(grid, group, shape.parts)
            moved_q, moved_k, moved_v = shape.asking(query, parts, group), parts[-2], parts[-1]
            moved = torch.baddbmm(torch.bmm(moved_q, k.transpose(1, 2)), q, moved_k.transpose(1, 2))
            moved = wide(shape.by_row(moved, group))
            relative = _Relative(shape.table(near, group, len(ctx.terms)), ctx.terms, shape.first_only)
            for each in relative.scores(shape.by_group(moved_q, group), shape.by_group(moved_k, group)):
                moved += each
            moved = shares * (moved * (1.0 / math.sqrt(q.shape[2] * (1 + len(ctx.terms)))))
            moved = moved - shares * moved.sum(dim=-1, keepdim=True)
            moved = (moved if dropped is None else moved * dropped.transpose(0, 1)).to(v.dtype).reshape(kept.shape)
            found.append(torch.baddbmm(torch.bmm(moved, v), kept, moved_v))
        return shape.answers(found, packed)

"""Self-attention over a packed batch: only here are sentences padded, group by group of like length.

Axes: T tokens, S sentences, n sentences of a group, L its longest, H heads, d = D / H.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from smartcli.engine.dropout import Dropout
from smartcli.engine.packing import Group, PackedBatch
from smartcli.engine.rows import pick, spread


def relative_buckets(width: int, buckets: int, distance: int) -> Tensor:
    """Return the (width, width) bucket of each (query, key) offset, as T5 and MPNet define it.

    Half the buckets are for keys after the query; half of each half are exact offsets, the rest grow
    logarithmically up to `distance`.
    """
    place = torch.arange(width)
    offset = place[:, None] - place[None, :]
    half = buckets // 2
    after = (offset < 0).long() * half
    offset = offset.abs()
    exact = half // 2
    grown = exact + (torch.log(offset.float() / exact) / math.log(distance / exact) * (half - exact)).long()
    return after + torch.where(offset < exact, offset, torch.clamp(grown, max=half - 1))


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    batch: PackedBatch,
    *,
    heads: int,
    first_only: bool,
    bias: Tensor | None,
    dropout: Dropout,
    p: float,
    place: str,
) -> Tensor:
    """Return the attention output (T, D), or with `first_only` (S, D): `query` then holds each sentence's first row.

    `key` and `value` are (T, D), `bias` (H, W, W) with W at least the longest sentence.
    """
    parts = []
    for group in batch.groups:
        rows = slice(group.start, group.stop) if first_only else slice(group.first, group.last)
        tokens = slice(group.first, group.last)
        parts.append(
            _attend_group(
                query[rows],
                key[tokens],
                value[tokens],
                group,
                heads=heads,
                first_only=first_only,
                bias=bias,
                dropout=dropout,
                p=p,
                place=f"{place}.group{group.key}",
            )
        )
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _grid(x: Tensor, group: Group, heads: int) -> Tensor:
    """Return (tokens, D) as (n · H, L, d), zero at padding."""
    padded = spread(x, group.slots, len(group) * group.width)
    by_head = padded.view(len(group), group.width, heads, x.shape[1] // heads).transpose(1, 2)
    return by_head.reshape(len(group) * heads, group.width, x.shape[1] // heads)


def _attend_group(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    group: Group,
    *,
    heads: int,
    first_only: bool,
    bias: Tensor | None,
    dropout: Dropout,
    p: float,
    place: str,
) -> Tensor:
    n, width, d = len(group), group.width, key.shape[1] // heads
    k, v = _grid(key, group, heads), _grid(value, group, heads)
    q = query.reshape(n * heads, 1, d) if first_only else _grid(query, group, heads)
    scores = torch.bmm(q, k.transpose(1, 2)).view(n, heads, q.shape[1], width)
    scores = scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores
    scores = scores * (1.0 / math.sqrt(d)) + group.mask.to(scores.dtype)
    if bias is not None:
        scores = scores + bias[:, : q.shape[1], :width].to(scores.dtype)
    shares = dropout(torch.softmax(scores, dim=-1), p, f"attention{group.key}", place)
    out = torch.bmm(shares.view(n * heads, q.shape[1], width).to(v.dtype), v)
    if first_only:
        return out.reshape(n, heads * d)
    by_token = out.view(n, heads, width, d).transpose(1, 2).reshape(n * width, heads * d)
    return pick(by_token, group.slots)

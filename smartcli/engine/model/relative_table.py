"""The table of relative positions that all layers of disentangled attention share, and the row of each distance.

He et al. 2021, "DeBERTa" (arXiv 2006.03654), equation 3, and the logarithmic buckets of its v2 code. Axes: D width,
W longest sentence of the batch, B rows of the table that it uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smartcli.engine.model.dropout import WHOLE, Dropout
from smartcli.engine.model.dual_linear import dual_linear
from smartcli.engine.model.packing import PackedBatch
from smartcli.families.spec import EncoderSpec
from smartcli.families.spec_parts import Disentangled


def distance_rows(distance: Tensor, part: Disentangled) -> Tensor:
    """Return the row of the table for each distance (query − key); the numbers are those of the v2 code.

    With buckets, distances up to half their number have a row each, and farther ones share rows that grow
    logarithmically up to `reach`.
    """
    if part.buckets:
        middle, size = part.span // 2, distance.abs()
        size = torch.where(size < middle, middle - 1, size)
        grown = torch.log(size / middle) / torch.log(torch.tensor((part.reach - 1) / middle)) * (middle - 1)
        grown = torch.ceil(grown) + middle
        distance = torch.where(size <= middle, distance.to(grown.dtype), grown * distance.sign()).long()
    return torch.clamp(distance + part.span, 0, 2 * part.span - 1)


@lru_cache(maxsize=64)
def _used_rows(longest: int, part: Disentangled, device: torch.device) -> tuple[int, int, Tensor | None]:
    """Return the first and last row, exclusive, that distances of `longest` tokens use, and which of them each does.

    The third is None where each of the 2 · longest − 1 distances has a row of its own.
    """
    # Kept, and no tensor of inference mode, for the reasons of attention.relative_buckets.
    with torch.inference_mode(False):
        rows = distance_rows(torch.arange(1 - longest, longest), part)
        first, last = int(rows[0]), int(rows[-1]) + 1
        return first, last, None if torch.equal(rows, torch.arange(first, last)) else (rows - first).to(device)


class RelativeTable(nn.Module):
    """The table of relative positions (2 · span, D) that all layers share, with its LayerNorm."""

    def __init__(self, spec: EncoderSpec, part: Disentangled, table: nn.Embedding) -> None:
        super().__init__()
        self.part = part
        self.rows = table
        self.norm = nn.LayerNorm(spec.hidden_size, eps=spec.layer_norm_eps) if part.normed else None

    def forward(self, batch: PackedBatch) -> Distances:
        """Return what the layers need of the table for a batch."""
        return self.distances(max((group.width for group in batch.groups), default=1))

    def distances(self, longest: int) -> Distances:
        """Return the same for sentences of up to `longest` tokens."""
        first, last, index = _used_rows(longest, self.part, self.rows.weight.device)
        rows = self.rows.weight[first:last]
        return Distances(rows if self.norm is None else self.norm(rows), first, 2 * self.part.span, index)


@dataclass(frozen=True)
class Distances:
    """The rows of the table that a batch uses, normed, and how distances find them."""

    rows: Tensor
    """(B, D)"""
    first: int
    """Which row of the table the first of them is."""
    size: int
    """Rows of the whole table."""
    index: Tensor | None
    """(2W − 1,) the row of each distance; None where they are the rows in order."""

    def projected(self, weight: Tensor, bias: Tensor | None, dropout: Dropout, p: float, place: str) -> Tensor:
        """Return the projection of each distance, (2W − 1, outputs)."""
        rows = self.rows
        # Drawn for the whole table, however long this batch's sentences are: parts and sub-batches need the same masks.
        mask = dropout.mask((self.size, rows.shape[1]), rows.device, p, WHOLE, f"{place}.distances")
        if mask is not None:
            rows = rows * mask[self.first : self.first + len(rows)]
        out = dual_linear(rows, weight, bias)
        return out if self.index is None else F.embedding(self.index, out)

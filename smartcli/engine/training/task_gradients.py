"""The gradients of several tasks apart, each in a flat row that stays where it is, for surgery without host reads.

Axes: n tasks, P numbers of the shared parameters; the word table's stand last, with a spare row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from smartcli.engine.device import exact_multiplies
from smartcli.engine.model.half_weights import HalfWeights
from smartcli.engine.model.packing import PackedBatch
from smartcli.engine.training.gradients import Gradients, table_rows

CHUNK = 4096
"""Products that are summed in fp32 before float64 takes over: a cosine near 0 decides what is projected."""


class TaskGradients:
    """Rows (n, P), and each head's gradients beside them; the merged gradient is what `.grad` holds."""

    def __init__(
        self,
        gradients: Gradients,
        shared: Sequence[nn.Parameter],
        own: Mapping[str, Sequence[nn.Parameter]],
        halves: HalfWeights | None = None,
    ) -> None:
        """Make zero rows for the tasks of `own`; `halves` are what a pass reads in place of some parameters."""
        self.shared, self.own, self.table = list(shared), [list(part) for part in own.values()], gradients.table
        like = gradients.dense[0] if gradients.dense else gradients.table
        assert like is not None
        sizes = [p.numel() for p in self.shared]
        width = 0 if self.table is None else self.table.shape[1]
        spare = 0 if self.table is None else len(self.table) + 1
        self.rows = like.new_zeros(len(self.own), sum(sizes) + spare * width)
        self._dense = [
            [part.view_as(p) for part, p in zip(row[: sum(sizes)].split(sizes), self.shared, strict=True)]
            for row in self.rows
        ]
        self._tables = [row[sum(sizes) :].view(spare, width) for row in self.rows]
        self._heads = [[torch.zeros_like(p) for p in part] for part in self.own]
        # What backward leaves the gradient at.
        self._read = [p if halves is None else halves.stand_in(p) for p in self.shared]
        gradients.release()

    def take(self, task: int, total: Tensor, words: Tensor, batch: PackedBatch) -> Tensor | None:
        """Keep the gradient of `total` by the shared parameters and the task's head, return that by `words` (T, E)."""
        wanted = [*self._read, *self.own[task], *([words] if words.requires_grad else [])]
        found = torch.autograd.grad(total, wanted, allow_unused=True) if wanted else []
        full = [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, found, strict=True)]
        kept = [*self._dense[task], *self._heads[task]]
        if kept:
            torch._foreach_copy_(kept, full[: len(kept)])
        if words.requires_grad:
            self._tables[task].zero_()
            self._tables[task].index_copy_(0, batch.vocabulary, table_rows(full[-1], batch).to(self.rows.dtype))
        return full[-1] if words.requires_grad else None

    def gram(self, tasks: Sequence[int]) -> Tensor:
        """Return the inner products (n, n) of the rows of `tasks`, in float64."""
        rows = self.rows if len(tasks) == len(self.rows) else torch.stack([self.rows[task] for task in tasks])
        whole = rows.shape[1] // CHUNK * CHUNK
        with exact_multiplies():
            chunks = rows[:, :whole].reshape(len(rows), -1, CHUNK).transpose(0, 1)
            parts = torch.bmm(chunks, chunks.transpose(1, 2)).double().sum(dim=0)
        rest = rows[:, whole:].double()
        return parts + rest @ rest.T

    def merge(self, tasks: Sequence[int], weights: Tensor) -> Tensor:
        """Set `.grad` to Σ weights[j] · g_j, written over the first task's row; return the norm of all gradients."""
        first, *others = tasks
        # A scalar tensor for each weight: its value is not read.
        self.rows[first].mul_(weights[0].to(self.rows.dtype))
        for at, task in enumerate(others, 1):
            self.rows[first].addcmul_(self.rows[task], weights[at].to(self.rows.dtype))
        for parameter, part in zip(self.shared, self._dense[first], strict=True):
            parameter.grad = part
        if self.table is not None:
            self.table.grad = self._tables[first][: len(self.table)]
        merged = [self.rows[first], *(g for task in tasks for g in self._heads[task])]
        for task in tasks:
            for parameter, part in zip(self.own[task], self._heads[task], strict=True):
                parameter.grad = part
        norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(merged)))
        return norm

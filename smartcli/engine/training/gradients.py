"""Gradients of one step: where they are kept, their norm, clipping, and the embedding table's few rows.

The table's gradient touches only the words of a batch. It stays in one dense buffer that is zero
elsewhere, so that no step fills tens of megabytes with zeros, and every number is that of plain autograd.
Axes: T tokens, E embedding size, U distinct words of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from smartcli.engine.model.packing import PackedBatch


def table_rows(gradient: Tensor, batch: PackedBatch) -> Tensor:
    """Return the gradient (U, E) of the words of a batch from that of its tokens (T, E), deterministically."""
    # What nn.Embedding's backward calls, here over the batch's own words only. index_add_ would add in any order.
    # It holds for every torch that pyproject.toml allows; a test compares it with autograd's.
    rows: Tensor = torch.ops.aten.embedding_dense_backward(gradient, batch.word, batch.vocabulary.shape[0], -1, False)
    return rows


def spread_rows(rows: Tensor, words: Tensor, vocabulary: Tensor) -> Tensor:
    """Return `rows` (U', E) of the words `words` (U',) among zeros, for all the words of `vocabulary` (U, E)."""
    out = torch.zeros(len(vocabulary), rows.shape[1], dtype=rows.dtype, device=rows.device)
    return out.index_copy_(0, torch.searchsorted(vocabulary, words), rows)


def clip_scale(norm: Tensor, clip_norm: float) -> Tensor:
    """Return what gradients of this norm are multiplied by, so that it is at most `clip_norm`; a scalar."""
    # 1e-6 as in torch's clip_grad_norm_, so that clipped steps have its bits.
    return torch.clamp(clip_norm / (norm + 1e-6), max=1.0)


class Gradients:
    """The `.grad` of a phase's parameters; the word table's is written by rows and cleared by rows."""

    def __init__(self, parameters: Sequence[nn.Parameter], table: nn.Parameter, *, spare_row: bool = False) -> None:
        self.table = table if table.requires_grad else None
        self.dense = [p for p in parameters if p is not table and p.requires_grad]
        # Made once and cleared by rows: AdamW reads a dense gradient, and filling it anew takes longer than a layer.
        if self.table is not None:
            # The spare row behind it takes what a batch of fixed shape has as padding of its word list.
            self._buffer = self.table.new_zeros(len(self.table) + spare_row, self.table.shape[1])
            self.table.grad = self._buffer[: len(self.table)]
        self._rows: Tensor | None = None
        self._written: Tensor | None = None

    def release(self) -> None:
        """Give up the table's buffer: something else holds its gradient from now on."""
        if self.table is not None:
            self.table.grad = None
            self._buffer = self.table.new_zeros(0, self.table.shape[1])

    def collect(self, words: Tensor, batch: PackedBatch) -> None:
        """Take over the gradient that backward left at `words` (T, E); those of an update's batches are summed."""
        if self.table is None or words.grad is None:
            return
        rows, vocabulary = table_rows(words.grad, batch), batch.vocabulary
        if batch.part is not None and batch.part.update is not None:
            rows, vocabulary = spread_rows(rows, vocabulary, batch.whole_vocabulary), batch.whole_vocabulary
            rows = rows if self._rows is None else self._rows.add_(rows)
        self.set_rows(rows, vocabulary)

    def set_rows(self, rows: Tensor, vocabulary: Tensor) -> None:
        """Set the table's gradient to `rows` (U, E) at the words `vocabulary` (U,)."""
        self._rows, self._written = rows, vocabulary

    def parts(self) -> list[Tensor]:
        """Return every gradient tensor that is not known to be zero."""
        out = [p.grad for p in self.dense if p.grad is not None]
        return out if self._rows is None else [*out, self._rows]

    def widened(self, vocabulary: Tensor) -> list[Tensor]:
        """Return every gradient, zeros where there is none; the table's last, at the words `vocabulary` (U,)."""
        out = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.dense]
        return out if self.table is None else [*out, self._rows_at(vocabulary)]

    def replace(self, gradients: Sequence[Tensor], vocabulary: Tensor) -> None:
        """Take what `widened` returned, summed over processes, as the step's gradients."""
        for p, gradient in zip(self.dense, gradients, strict=False):
            p.grad = gradient
        if self.table is not None:
            self.set_rows(gradients[-1], vocabulary)

    def _rows_at(self, vocabulary: Tensor) -> Tensor:
        assert self.table is not None
        if self._rows is None or self._written is None:
            return self.table.new_zeros(len(vocabulary), self.table.shape[1])
        return spread_rows(self._rows, self._written, vocabulary)

    def norm(self) -> Tensor:
        """Return the 2-norm of all gradients together, a scalar; NaN or inf where any entry is."""
        # As torch's clip_grad_norm_, but with the table's few rows in place of its mostly empty gradient.
        parts = self.parts()
        norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(parts)))
        return norm

    def finish(self, norm: Tensor, clip_norm: float) -> None:
        """Scale all gradients so that their norm is at most `clip_norm` (0: no clipping); write the table's."""
        if clip_norm > 0:
            torch._foreach_mul_(self.parts(), clip_scale(norm, clip_norm))
        if self._rows is not None and self.table is not None:
            assert self._written is not None
            self._buffer.index_copy_(0, self._written, self._rows.to(self.table.dtype))

    def clear(self) -> None:
        """Drop the step's gradients; the table's buffer is zero again."""
        # None and not zeros: the next backward then writes its gradients instead of adding them.
        for p in self.dense:
            p.grad = None
        if self._written is not None and self.table is not None:
            self._buffer.index_fill_(0, self._written, 0.0)
        self._rows = self._written = None

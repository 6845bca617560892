"""Dropout as a function of a generator: fresh masks, the same masks again, or none.

torch's dropout takes no generator, so its draws would depend on every other draw in the process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from smartcli.engine.model.packing import PackedBatch
    from smartcli.engine.model.part import Part

Axis = str
"""token, sentence, example:TASK, attentionG for group G, or `WHOLE`."""
WHOLE = "whole"
"""The axis of what does not belong to the batch: every part and sub-batch has all of it."""


class Dropout:
    """Drops entries; `axis` says what the first dimension counts, `key` names the place."""

    def mask(self, shape: Sequence[int], device: torch.device, p: float, axis: Axis, key: str) -> Tensor | None:
        """Return what entries of this `shape` are multiplied by, None for 1: nothing is dropped."""
        return None

    def __call__(self, x: Tensor, p: float, axis: Axis, key: str) -> Tensor:
        """Return `x` with its mask applied."""
        mask = self.mask(x.shape, x.device, p, axis, key)
        return x if mask is None else x * mask


no_dropout = Dropout()
"""Nothing is dropped (evaluation, teacher, `--smart-dropout off`)."""


def scaled_mask(
    shape: Sequence[int], p: float, generator: torch.Generator, device: torch.device, rows: Tensor | None = None
) -> Tensor:
    """Return a float mask: 0 with probability p, else 1/(1 − p), p rounded to a multiple of 2⁻¹⁶.

    With `rows` these rows of it alone, after the same draws.
    Sixteen random bits an entry, four entries a 64-bit draw: five times as fast on a CPU as `bernoulli_`, and
    a float mask multiplies a hundred times as fast as a bool one.
    """
    count = math.prod(shape)
    cut = min(round(p * 65536), 65535)
    draws = torch.empty((count + 3) // 4, dtype=torch.int64, device=device)
    # From −2⁶³ without an upper limit: all 64 bits of a draw are used, and with them four numbers of 16 bits.
    draws.random_(-(2**63), None, generator=generator)
    bits = draws.view(torch.int16)[:count].view(*shape)
    # The rows are picked after the draw of the whole mask, so that each process uses up the same random numbers.
    if rows is not None:
        bits = bits.index_select(0, rows)
    if device.type != "cpu":
        # One pass over memory in place of three.
        return torch.where(bits >= cut - 32768, 65536 / (65536 - cut), 0.0)
    return bits.float().ge_(float(cut - 32768)).mul_(65536 / (65536 - cut))


class FreshDropout(Dropout):
    """Draws a new mask at each place; with `record` the masks stay for a `ReplayDropout`.

    Where a batch is `part` of one that processes share, its masks are those that its rows have in the whole.
    """

    def __init__(self, generator: torch.Generator, *, record: bool = False, part: Part | None = None) -> None:
        self.generator, self.part = generator, part
        self.masks: dict[str, tuple[Axis, Tensor]] | None = {} if record else None

    def mask(self, shape: Sequence[int], device: torch.device, p: float, axis: Axis, key: str) -> Tensor | None:
        if p == 0.0:
            return None  # Without a draw: `--dropout 0` and no dropout use the same random numbers.
        if self.part is None or not self.part.rows or axis == WHOLE:
            mask = scaled_mask(shape, p, self.generator, device)
        else:
            whole = (self.part.sizes[axis], *shape[1:])
            mask = scaled_mask(whole, p, self.generator, device, self.part.rows[axis])
        if self.masks is not None:
            self.masks[key] = (axis, mask)
        return mask


BLOCK = 1 << 22
"""Entries that `BlockDropout` draws at once: sixteen masks of 700 tokens of width 384."""


class BlockDropout(FreshDropout):
    """Fresh masks cut from large draws: on a GPU a mask of its own would cost four launches at each place."""

    def __init__(self, generator: torch.Generator, *, record: bool = False) -> None:
        super().__init__(generator, record=record)
        self._blocks: dict[float, Tensor] = {}
        """By p: what is left of the last draw."""

    def mask(self, shape: Sequence[int], device: torch.device, p: float, axis: Axis, key: str) -> Tensor | None:
        if p == 0.0:
            return None
        count = math.prod(shape)
        block = self._blocks.get(p)
        if block is None or block.shape[0] < count:
            block = scaled_mask((max(BLOCK, count),), p, self.generator, device)
        mask, self._blocks[p] = block[:count].view(*shape), block[count:]
        if self.masks is not None:
            self.masks[key] = (axis, mask)
        return mask


def fresh_dropout(generator: torch.Generator, batch: PackedBatch, *, record: bool = False) -> FreshDropout:
    """Return fresh masks for a pass over `batch`; with `record` they stay for a `ReplayDropout`."""
    if batch.padding is not None and batch.part is None:
        return BlockDropout(generator, record=record)
    return FreshDropout(generator, record=record, part=batch.part)


class ReplayDropout(Dropout):
    """Applies recorded masks again; `rows` picks, for each axis, the entries that the new batch holds."""

    def __init__(self, masks: dict[str, tuple[Axis, Tensor]], rows: dict[str, Tensor] | None = None) -> None:
        self.masks = masks
        self.rows = rows

    def mask(self, shape: Sequence[int], device: torch.device, p: float, axis: Axis, key: str) -> Tensor | None:
        if p == 0.0:
            return None
        _, mask = self.masks[key]
        if self.rows is not None and axis in self.rows:
            mask = mask.index_select(0, self.rows[axis])
        return mask

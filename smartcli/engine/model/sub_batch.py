"""The batch of some tasks or some sentences of another, and where its rows stand in that.

Axes: T' tokens, S' sentences of the sub-batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smartcli.engine.model.packing import PackedBatch, make_batch, make_group


@dataclass(frozen=True)
class SubBatch:
    """The batch of some tasks of another, and where its tokens (T',) and sentences (S',) stand in that."""

    batch: PackedBatch
    tokens: Tensor
    sentences: Tensor
    group_rows: Mapping[int, Tensor]
    """For each group key, the kept rows of the parent's group."""

    @property
    def rows(self) -> dict[str, Tensor]:
        """Return the kept rows of the parent by dropout axis; those of examples are kept whole."""
        groups = {f"attention{key}": index for key, index in self.group_rows.items()}
        return {"token": self.tokens, "sentence": self.sentences, **groups}

    def to(self, device: torch.device, batch: PackedBatch | None = None) -> SubBatch:
        """Return the sub-batch on `device`; `batch` is its batch where that is there already."""
        if device.type == "cpu":
            return self
        rows = {key: index.to(device) for key, index in self.group_rows.items()}
        moved = self.batch.to(device) if batch is None else batch
        return SubBatch(moved, self.tokens.to(device), self.sentences.to(device), rows)


def select(batch: PackedBatch, tasks: Sequence[str]) -> SubBatch:
    """Return the sub-batch of `tasks`, with the parent's groups and padding, so that masks fit again.

    Where `tasks` are all of the batch's, the sub-batch is the batch itself.
    """
    if set(tasks) == set(batch.outputs):
        rows = {group.key: torch.arange(len(group)) for group in batch.groups}
        return SubBatch(batch, torch.arange(batch.tokens), torch.arange(batch.sentences), rows)
    return keep(batch, {task: batch.outputs[task] for task in tasks})


def keep(batch: PackedBatch, outputs: Mapping[str, tuple[Tensor, ...]], *, empty_groups: bool = False) -> SubBatch:
    """Return the sub-batch of the sentences that `outputs` name, with the parent's groups and padding.

    With `empty_groups` a group stays that no sentence is left of.
    """
    kept = np.zeros(batch.sentences, bool)
    for sides in outputs.values():
        for side in sides:
            kept[side.numpy()] = True
    keep_tokens = kept[batch.sentence.numpy()]
    lengths = batch.lengths.numpy()[kept]
    groups, group_rows, at, row = [], {}, 0, 0
    for group in batch.groups:
        inside = np.flatnonzero(kept[group.start : group.stop])
        group_rows[group.key] = torch.from_numpy(inside)
        if len(inside) or empty_groups:
            groups.append(make_group(at, at + len(inside), lengths, group.width, group.key, row))
            at, row = at + len(inside), row + len(inside) * group.width
    rank = np.cumsum(kept) - 1
    renumbered = {t: tuple(torch.from_numpy(rank[side.numpy()]) for side in sides) for t, sides in outputs.items()}
    sub = make_batch(
        batch.ids.numpy()[keep_tokens],
        batch.types.numpy()[keep_tokens],
        batch.positions.numpy()[keep_tokens],
        lengths,
        tuple(groups),
        renumbered,
    )
    return SubBatch(
        sub, torch.from_numpy(np.flatnonzero(keep_tokens)), torch.from_numpy(np.flatnonzero(kept)), group_rows
    )

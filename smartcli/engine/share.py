"""The part of a step that one of several processes takes, and where its rows stand in the whole.

What is drawn by row (masks, noise) is drawn for the whole step in every process, and each takes its rows: so no
number depends on how many processes there are, up to the order of sums. Axes: T tokens, S sentences, n examples.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smartcli.engine.packing import PackedBatch, Selection, keep, select

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Share:
    """For each dropout axis the `rows` of this process's batch among the `sizes` of the whole."""

    sizes: Mapping[str, int]
    rows: Mapping[str, Tensor]
    vocabulary: Tensor
    """(U,) the whole's distinct ids, ascending."""

    def count(self, task: str) -> int:
        """Return the number of examples of `task` in the whole."""
        return self.sizes[f"example:{task}"]

    def to(self, device: torch.device) -> Share:
        """Return the share on `device`."""
        if device.type == "cpu":
            return self
        rows = {axis: index.to(device) for axis, index in self.rows.items()}
        return replace(self, rows=rows, vocabulary=self.vocabulary.to(device))


def split_by_tokens(tokens: Mapping[str, Ints], size: int) -> list[dict[str, Ints]]:
    """Return for each of `size` processes the examples of each task, so that all have about as many tokens.

    `tokens` has the tokens of each example, (n,). The longest goes first, to the process with the fewest so far.
    """
    longest_first = sorted(((-int(n), task, at) for task, each in tokens.items() for at, n in enumerate(each)))
    loads = [(0, number) for number in range(size)]
    parts: list[dict[str, list[int]]] = [{task: [] for task in tokens} for _ in range(size)]
    for minus, task, at in longest_first:
        load, number = loads[0]
        parts[number][task].append(at)
        heapq.heapreplace(loads, (load - minus, number))
    return [{task: np.array(sorted(rows), np.int64) for task, rows in part.items()} for part in parts]


def take_share(batch: PackedBatch, examples: Mapping[str, Ints]) -> tuple[PackedBatch, Share]:
    """Return the sub-batch (n,) of `examples` of each task, maybe none, and where its rows stand in `batch`."""
    index = {task: torch.from_numpy(rows) for task, rows in examples.items()}
    outputs = {task: tuple(side[rows] for side in batch.outputs[task]) for task, rows in index.items()}
    # A group of which nothing is left stays: its masks are drawn all the same.
    found = keep(batch, outputs, empty_groups=True)
    sizes = {"token": batch.tokens, "sentence": batch.sentences}
    rows = {"token": found.tokens, "sentence": found.sentences}
    for group in batch.groups:
        axis = f"attention{group.key}"
        sizes[axis], rows[axis] = len(group), found.group_rows[group.key]
    for task, each in index.items():
        axis = f"example:{task}"
        sizes[axis], rows[axis] = batch.outputs[task][0].shape[0], each
    return found.batch, Share(sizes, rows, batch.vocabulary)


def select_share(
    own: PackedBatch, whole: PackedBatch, tasks: list[str], examples: Mapping[str, Ints]
) -> tuple[Selection, Share]:
    """Return the sub-batch of `tasks` of the `own` part of `whole`, and where its rows stand in the whole's."""
    batch, share = take_share(select(whole, tasks).batch, {task: examples[task] for task in tasks})
    return replace(select(own, tasks), batch=batch), share

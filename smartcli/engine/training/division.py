"""A step divided among processes: which examples each takes, and the batch that they make.

Axes: T tokens, S sentences, n examples.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from smartcli.engine.distributed import ALONE, Processes
from smartcli.engine.model.packing import PackedBatch
from smartcli.engine.model.part import Part
from smartcli.engine.model.sub_batch import SubBatch, keep, select

Ints = NDArray[np.int64]


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


def take_part(whole: PackedBatch, examples: Mapping[str, Ints], processes: Processes = ALONE) -> PackedBatch:
    """Return the sub-batch (n,) of `examples` of each task, maybe none, which knows where its rows stand in `whole`."""
    index = {task: torch.from_numpy(rows) for task, rows in examples.items()}
    outputs = {task: tuple(side[rows] for side in whole.outputs[task]) for task, rows in index.items()}
    # A group of which nothing is left stays: its masks are drawn all the same.
    found = keep(whole, outputs, empty_groups=True)
    sizes = {"token": whole.tokens, "sentence": whole.sentences}
    rows = {"token": found.tokens, "sentence": found.sentences}
    for group in whole.groups:
        axis = f"attention{group.key}"
        sizes[axis], rows[axis] = len(group), found.group_rows[group.key]
    for task, each in index.items():
        axis = f"example:{task}"
        sizes[axis], rows[axis] = whole.outputs[task][0].shape[0], each
    return replace(found.batch, part=Part(sizes, rows, whole.vocabulary, processes))


def select_part(own: PackedBatch, whole: PackedBatch, tasks: Sequence[str], examples: Mapping[str, Ints]) -> SubBatch:
    """Return the sub-batch of `tasks` of the `own` part of `whole`; it is part of the sub-batch of the whole."""
    assert own.part is not None
    batch = take_part(select(whole, tasks).batch, {task: examples[task] for task in tasks}, own.part.processes)
    return replace(select(own, tasks), batch=batch)

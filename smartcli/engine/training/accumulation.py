"""Gradient accumulation, `--accumulate N`: one update from N batches, in the memory of one.

An update takes the rows that a batch N times as large would, so epochs, steps, warm-up and averages count updates.
They are cut into batches of `--batch-size` rows a task. Each batch's losses are divided by the update's counts, so the
sums of losses and gradients are those of the large batch, also where a task's last batches have fewer rows or none.
What follows (surgery, clipping, AdamW, the sum over processes) happens once an update. SMART's start noise is the
large batch's. Dropout masks are drawn batch by batch, so with dropout the masks differ, not their distribution; the
whole update's, drawn in each batch, would take time by the square of N. Axes: T tokens, n examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from smartcli.engine.distributed import Processes
from smartcli.engine.model.packing import PackedBatch
from smartcli.engine.model.part import DrawnOnce, Part, Update
from smartcli.engine.model.sub_batch import SubBatch, keep, select
from smartcli.engine.training.division import split_by_tokens, take_part
from smartcli.engine.training.objective import StepLoss
from smartcli.engine.training.outcome import Key

Ints = NDArray[np.int64]
Rows = dict[str, Ints]


def cut(counts: Mapping[str, int], most: Mapping[str, int]) -> list[Rows]:
    """Return the examples of each task in each batch, from the `counts` of an update, at most `most` in a batch.

    As many batches as the task that needs the most of them has; others have none left in the last.
    """
    needed = max(-(-count // most[task]) for task, count in counts.items())
    return [
        {task: np.arange(min(at * most[task], n), min((at + 1) * most[task], n))
         for task, n in counts.items()}
        for at in range(needed)
    ]  # fmt: skip


def batches_of_update(
    whole: PackedBatch,
    subsets: Iterable[tuple[str, ...]],
    tokens: Mapping[str, Ints],
    most: Mapping[str, int],
    processes: Processes,
) -> Iterator[tuple[PackedBatch, Rows, dict[tuple[str, ...], SubBatch]]]:
    """Yield the batches of the update `whole`: this process's part of each, its examples, its sub-batch of each subset.

    `tokens` has the tokens (n,) of each task's examples, by which batches are divided among processes.
    """
    batches = cut({task: len(each) for task, each in tokens.items()}, most)
    wholes = {own: select(whole, own).batch for own in subsets}
    noise = {own: DrawnOnce(len(batches)) for own in (tuple(tokens), *wholes)}
    for rows in batches:
        share = None
        if processes.several:
            own_tokens = {task: tokens[task][own] for task, own in rows.items()}
            share = split_by_tokens(own_tokens, processes.size)[processes.rank]
        batch = _take(whole, rows, share, processes, noise[tuple(tokens)])
        chosen = {}
        for own, sub in wholes.items():
            chosen[own] = select(batch, own)
            if set(own) != set(tokens):
                of_own = {task: rows[task] for task in own}
                chosen[own] = replace(chosen[own], batch=_take(sub, of_own, share, processes, noise[own]))
        mine = rows if share is None else {task: rows[task][own] for task, own in share.items()}
        yield batch, mine, chosen


def _take(
    whole: PackedBatch,
    rows: Mapping[str, Ints],
    share: Mapping[str, Ints] | None,
    processes: Processes,
    noise: DrawnOnce,
) -> PackedBatch:
    """Return the examples `rows` of the update `whole`, of several processes this one's `share` (n,) of them."""
    index = {task: torch.from_numpy(own) for task, own in rows.items()}
    found = keep(whole, {task: tuple(side[own] for side in whole.outputs[task]) for task, own in index.items()})
    batch, tokens = found.batch, found.tokens
    part = Part({"token": batch.tokens, "sentence": batch.sentences}, {}, whole.vocabulary)
    if share is not None:
        batch = take_part(batch, {task: share[task] for task in rows}, processes)
        assert batch.part is not None
        part, tokens = replace(batch.part, vocabulary=whole.vocabulary), tokens[batch.part.rows["token"]]
    sizes = {"token": whole.tokens, "sentence": whole.sentences}
    sizes |= {f"example:{task}": count for task, count in whole.examples.items()}
    return replace(batch, part=replace(part, update=Update(sizes, tokens, noise)))


def summed(losses: Sequence[StepLoss]) -> StepLoss:
    """Return the loss of an update from those of its batches, without graph: every number is their sum.

    Where a batch left a term out, `skipped` says so, and the term's numbers are those of the other batches.
    """
    numbers: dict[Key, torch.Tensor] = {}
    for loss in losses:
        for name, value in loss.numbers().items():
            numbers[name] = numbers[name] + value if name in numbers else value
    # The one that measured most stands for all: every number has a place in it.
    out = max(losses, key=lambda loss: len(loss.numbers()))
    for term, found in out.found.items():
        found.skipped = found.skipped or any(loss.found[term].skipped is True for loss in losses)
    out.replace(numbers)
    return out

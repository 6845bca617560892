"""The phases of a run, and which rows each of their steps trains on.

Phases: one for simultaneous training, one a task for sequential training. Steps are plain generators, a function of
seed, sizes and batch sizes alone (and with `--sampling balanced` of the labels).

A run resumes by skipping the steps it has done; nothing about the position needs to be stored but its number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from smartcli.config import Settings
from smartcli.engine.streams import shuffled
from smartcli.engine.training.sampling import Groups, balanced_order
from smartcli.engine.training.task_sampling import ALL, drawn_tasks
from smartcli.tasks import TaskTable

NOTHING: Groups = MappingProxyType({})


@dataclass(frozen=True)
class Step:
    """Rows of each task in one update; `number` and `epoch` count from 1, `ends_epoch` marks the last."""

    number: int
    epoch: int
    rows: Mapping[str, NDArray[np.int64]]
    ends_epoch: bool


def update_sizes(settings: Settings, tasks: Sequence[str]) -> dict[str, int]:
    """Return the most examples of each task in an update: those of `--accumulate` batches."""
    return {task: settings.batch_size[task] * settings.accumulate for task in tasks}


def batches_of(rows: int, batch_size: int) -> int:
    """Return how many batches one pass takes; the last one may be smaller."""
    return math.ceil(rows / batch_size)


def total_steps(sizes: Mapping[str, int], batch_sizes: Mapping[str, int], tasks: Sequence[str], epochs: int) -> int:
    """Return the number of updates of `epochs` passes over the first task."""
    return epochs * batches_of(sizes[tasks[0]], batch_sizes[tasks[0]])


def _one_pass(
    seed: int, task: str, passage: str, rows: int, batch_size: int, groups: Groups
) -> Iterator[NDArray[np.int64]]:
    if task in groups:
        order = balanced_order(seed, task, passage, groups[task])
    else:
        order = shuffled(seed, task, passage, rows).numpy()
    for start in range(0, rows, batch_size):
        yield order[start : start + batch_size]


def _cycle(
    seed: int, task: str, prefix: str, rows: int, batch_size: int, groups: Groups
) -> Iterator[NDArray[np.int64]]:
    passage = 0
    while True:
        yield from _one_pass(seed, task, f"{prefix}{passage}", rows, batch_size, groups)
        passage += 1


def steps(
    seed: int,
    sizes: Mapping[str, int],
    batch_sizes: Mapping[str, int],
    tasks: Sequence[str],
    epochs: int,
    groups: Groups = NOTHING,
) -> Iterator[Step]:
    """Yield the steps of simultaneous training; with one task this is plain single-task training.

    An epoch is one pass over the first task. A task with fewer batches starts afresh in each epoch,
    reshuffled, and repeats; one with more goes on where it stopped, reshuffled when it ends. A pass over a task that
    has `groups` draws each of them equally often (sampling.py), and is as long as ever.
    """
    first = tasks[0]
    per_epoch = batches_of(sizes[first], batch_sizes[first])
    onward = {
        task: _cycle(seed, task, "pass", sizes[task], batch_sizes[task], groups)
        for task in tasks[1:]
        if batches_of(sizes[task], batch_sizes[task]) > per_epoch
    }
    number = 0
    for epoch in range(1, epochs + 1):
        sources = {
            task: onward.get(task) or _cycle(seed, task, f"epoch{epoch}.", sizes[task], batch_sizes[task], groups)
            for task in tasks
        }
        for at in range(per_epoch):
            number += 1
            yield Step(number, epoch, {task: next(sources[task]) for task in tasks}, at == per_epoch - 1)


def sampled_steps(
    seed: int,
    sizes: Mapping[str, int],
    batch_sizes: Mapping[str, int],
    tasks: Sequence[str],
    epochs: int,
    way: str,
    groups: Groups = NOTHING,
) -> Iterator[Step]:
    """Yield steps of one task each, drawn as `way` of `--task-sampling` says (task_sampling.py).

    An epoch has as many steps as all tasks' passes together. Each task's pass goes on where it stopped, reshuffled when
    it ends.
    """
    per_epoch = sum(batches_of(sizes[task], batch_sizes[task]) for task in tasks)
    onward = {task: _cycle(seed, task, "pass", sizes[task], batch_sizes[task], groups) for task in tasks}
    in_batches = [sizes[task] / batch_sizes[task] for task in tasks]
    number = 0
    for epoch in range(1, epochs + 1):
        for at, drawn in enumerate(drawn_tasks(seed, way, in_batches, per_epoch, epoch, epochs)):
            number += 1
            yield Step(number, epoch, {tasks[drawn]: next(onward[tasks[drawn]])}, at == per_epoch - 1)


def draws_tasks(settings: Settings, tasks: Sequence[str]) -> bool:
    """Return whether a phase of `tasks` trains one of them in each step, drawn by size."""
    return settings.task_sampling != ALL and len(tasks) > 1


def epoch_steps(settings: Settings, tasks: Sequence[str], sizes: Mapping[str, int]) -> int:
    """Return the updates in an epoch of a phase of `tasks`, whose rows `sizes` counts."""
    at_once = update_sizes(settings, tasks)
    counted = tasks if draws_tasks(settings, tasks) else tasks[:1]
    return sum(batches_of(sizes[task], at_once[task]) for task in counted)


def phase_steps(settings: Settings, phase: Phase, sizes: Mapping[str, int], groups: Groups = NOTHING) -> Iterator[Step]:
    """Yield the steps of a phase."""
    at_once = update_sizes(settings, phase.tasks)
    if draws_tasks(settings, phase.tasks):
        way = settings.task_sampling
        found = sampled_steps(settings.seed, sizes, at_once, phase.tasks, phase.epochs, way, groups)
    else:
        found = steps(settings.seed, sizes, at_once, phase.tasks, phase.epochs, groups)
    return islice(found, phase.steps)


def learning_rate(step: int, steps: int, *, peak: float, warmup: float, decay: str) -> float:
    """Return the learning rate of update `step` (from 1) of `steps`.

    It rises linearly over the first `warmup` share of the steps, then stays, or falls linearly so that
    the update after the last one would have 0.
    """
    rising = math.floor(warmup * steps + 1e-9)  # .29 · 100 is 28.999…
    if step <= rising:
        return peak * step / rising
    if decay == "constant":
        return peak
    return peak * (steps - step + 1) / max(1, steps - rising)


@dataclass(frozen=True)
class Phase:
    """Tasks trained together with one optimizer; `key` names its random streams, `steps` counts its updates."""

    tasks: tuple[str, ...]
    epochs: int
    steps: int
    full_steps: int
    """Updates without `--max-steps`."""

    @property
    def key(self) -> str:
        return "+".join(self.tasks)


def plan(tasks: TaskTable, settings: Settings, sizes: Mapping[str, int]) -> list[Phase]:
    """Return the phases in order; sequential goes from the table's second task to its last, then its first.

    `--max-steps` counts over the whole run; a phase that it leaves no step is left out.
    """
    names = tasks.names
    if settings.schedule == "sequential":
        groups: list[tuple[str, ...]] = [(name,) for name in (*names[1:], names[0])]
    else:
        groups = [names]
    left = settings.max_steps
    out = []
    for group in groups:
        epochs = settings.epochs[group[0]]
        full = epochs * epoch_steps(settings, group, sizes)
        steps = full if left is None else min(full, left)
        if left is not None:
            left -= steps
        if steps:
            out.append(Phase(group, epochs, steps, full))
    return out

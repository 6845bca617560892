"""From row numbers to packed batches on the device, on a thread of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smartcli.config import Settings
from smartcli.data.joining import Sequences, sequences_of
from smartcli.data.ragged import Ragged
from smartcli.engine.distributed import ALONE, Processes
from smartcli.engine.model.fixed_shape import PassShape, lay_out, pass_shape
from smartcli.engine.model.heads import joins_pairs
from smartcli.engine.model.packing import PackedBatch, pack
from smartcli.engine.model.sub_batch import SubBatch, select
from smartcli.engine.terms.base import TrainingBatch
from smartcli.engine.terms.term_table import active_tasks
from smartcli.engine.training.accumulation import batches_of_update
from smartcli.engine.training.division import select_part, split_by_tokens, take_part
from smartcli.engine.training.pair_order import drawn_swaps, exchanged
from smartcli.engine.training.schedule import Step

if TYPE_CHECKING:
    from smartcli.families.template import JoinTemplate

JOINED_AT_ONCE = 16
"""Steps."""
Item = TypeVar("Item")
Ready = TypeVar("Ready")


@dataclass(frozen=True)
class Split:
    """One task's rows of one split: token ids a side, labels (n,) as floats, or (n, C), or None, and row ids.

    The last `unlabelled` rows have NaN as their label. `teacher` (n, K) is what a teacher says of each row
    (terms/distilled.py), or None.
    """

    sides: Sequence[Ragged]
    labels: NDArray[np.float64] | None
    row_id: Callable[[int], str]
    teacher: NDArray[np.float64] | None = None
    unlabelled: int = 0

    def targets(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what the loss of these rows is taken against: their labels, and what the teacher says beside them."""
        assert self.labels is not None, "rows that are trained on have labels"
        labels = self.labels[rows]
        return labels if self.teacher is None else np.column_stack([labels, self.teacher[rows]])

    def __len__(self) -> int:
        return len(self.sides[0])


@dataclass(frozen=True)
class Prepared:
    """A step with its packed batches: one for all tasks, or with surgery one a task; laid out flat for fixed shapes."""

    step: Step
    batches: tuple[TrainingBatch, ...]
    truncated: int
    sums: tuple[int, ...] = ()
    """With `--accumulate`: of how many batches in a row each gradient is the sum; else each batch has its own."""
    passes: tuple[tuple[PassShape, Tensor], ...] = ()
    """In place of `batches`: the bucket of each, and its numbers."""
    whole_tokens: int = 0
    """Their tokens, without padding."""

    @property
    def gradients(self) -> list[tuple[TrainingBatch, ...]]:
        """The batches of each gradient."""
        if not self.sums:
            return [(given,) for given in self.batches]
        left = iter(self.batches)
        return [tuple(islice(left, count)) for count in self.sums]

    @property
    def count(self) -> int:
        """Examples in the step."""
        return sum(len(rows) for rows in self.step.rows.values())

    @property
    def tokens(self) -> int:
        """Tokens in the step, those of other processes included."""
        return self.whole_tokens + sum(given.batch.whole_tokens for given in self.batches)


@dataclass(frozen=True)
class Batcher:
    """Builds the packed batches of a step from stored tokens; of several processes each its own part of them.

    With `vocabulary`, the number of words in the encoder's table, they have fixed shapes.
    """

    train: Mapping[str, Split]
    template: JoinTemplate
    settings: Settings
    max_length: int
    device: torch.device
    processes: Processes = ALONE
    vocabulary: int | None = None

    def __call__(self, step: Step) -> Prepared:
        """Return `step` packed; with surgery each task is a pass of its own."""
        return next(self.over([step]))

    def over(self, steps: Iterable[Step]) -> Iterator[Prepared]:
        """Yield each of `steps` packed; the sequences of several are joined at once, which costs as much as of one."""
        for chunk in _chunks(steps):
            for step, sequences in zip(chunk, self._join(chunk), strict=True):
                yield self._pack(step, sequences)

    def _join(self, steps: Sequence[Step]) -> list[dict[str, list[Sequences]]]:
        """Return the sequences of each step by task, a side each."""
        out: list[dict[str, list[Sequences]]] = [{} for _ in steps]
        for task in dict.fromkeys(task for step in steps for task in step.rows):
            own = [number for number, step in enumerate(steps) if task in step.rows]
            of_task, rows = self._sides([steps[number] for number in own], task)
            sides = sequences_of(
                self.template,
                of_task,
                rows,
                join=joins_pairs(self.settings.pair_mode),
                max_length=self.max_length,
            )
            counts = [len(steps[number].rows[task]) for number in own]
            for number, found in zip(own, zip(*(side.split(counts) for side in sides), strict=True), strict=True):
                out[number][task] = list(found)
        return out

    def _sides(self, steps: Sequence[Step], task: str) -> tuple[Sequence[Ragged], NDArray[np.int64]]:
        """Return a task's sides, and the rows of them that `steps` take: with `--swap-pairs` those rows alone."""
        sides, rows = self.train[task].sides, np.concatenate([step.rows[task] for step in steps])
        chance = self.settings.swap_pairs[task]
        if len(sides) < 2 or chance == 0:
            return sides, rows
        seed = self.settings.seed
        swapped = [drawn_swaps(seed, task, step.number, len(step.rows[task]), chance) for step in steps]
        return exchanged(sides, rows, np.concatenate(swapped)), np.arange(len(rows))

    def _pack(self, step: Step, sequences: Mapping[str, list[Sequences]]) -> Prepared:
        apart = self.settings.surgery != "none" and len(step.rows) > 1
        groups = [(task,) for task in step.rows] if apart else [tuple(step.rows)]
        truncated = tokens = 0
        batches, sums, passes = [], [], []
        for tasks in groups:
            parts = {task: sequences[task] for task in tasks}
            truncated += sum(part.truncated for sides in parts.values() for part in sides)
            if self.settings.accumulate > 1:
                summed = self._batches(tasks, step, parts)
                batches.extend(summed)
                sums.append(len(summed))
            elif self.vocabulary is None:
                batches.append(self._batch(tasks, step, parts))
            else:
                passes.append(self._flat(tasks, step, parts, self.vocabulary))
                tokens += sum(int(side.lengths.sum()) for sides in parts.values() for side in sides)
        return Prepared(step, tuple(batches), truncated, tuple(sums), tuple(passes), tokens)

    def _flat(
        self, tasks: Sequence[str], step: Step, parts: Mapping[str, Sequence[Sequences]], vocabulary: int
    ) -> tuple[PassShape, Tensor]:
        """Return the bucket of a batch and its numbers, in memory that a GPU copies from without waiting."""
        whole = pack(parts, most_groups=0)
        active = active_tasks(self.settings, tasks)
        some = {own for own in active.values() if set(own) != set(tasks)}
        most = {task: self.settings.batch_size[task] for task in tasks}
        labels = {}
        for task in tasks:
            labels[task] = self.train[task].targets(step.rows[task])
        several = {task: own.shape[1] for task, own in labels.items() if own.ndim == 2}
        batch, wholes = whole, None
        if self.processes.several:
            mine = split_by_tokens(_tokens(parts), self.processes.size)[self.processes.rank]
            batch = take_part(whole, mine, self.processes)
            labels = {task: labels[task][rows] for task, rows in mine.items()}
            chosen = {own: select_part(batch, whole, own, mine) for own in some}
            wholes = {tuple(tasks): whole, **{own: select(whole, own).batch for own in some}}
        else:
            chosen = {own: select(whole, own) for own in some}
        shape = pass_shape(batch, chosen, active, most, wholes, several)
        flat = torch.from_numpy(lay_out(batch, labels, chosen, shape, vocabulary))
        return shape, flat.pin_memory() if self.device.type == "cuda" else flat

    def _batch(self, tasks: Sequence[str], step: Step, parts: Mapping[str, Sequence[Sequences]]) -> TrainingBatch:
        whole, labels = pack(parts), self._labels(tasks, step)
        active = active_tasks(self.settings, tasks)
        if not self.processes.several:
            return self._on_device(whole, labels, {own: select(whole, own) for own in set(active.values())}, active)
        mine = split_by_tokens(_tokens(parts), self.processes.size)[self.processes.rank]
        part = take_part(whole, mine, self.processes)
        chosen = {own: select_part(part, whole, own, mine) for own in set(active.values())}
        return self._on_device(part, _rows(labels, mine), chosen, active)

    def _batches(
        self, tasks: Sequence[str], step: Step, parts: Mapping[str, Sequence[Sequences]]
    ) -> list[TrainingBatch]:
        """Return the batches whose gradients are summed, each with at most `--batch-size` examples of a task."""
        labels, active = self._labels(tasks, step), active_tasks(self.settings, tasks)
        most = {task: self.settings.batch_size[task] for task in tasks}
        found = batches_of_update(pack(parts), set(active.values()), _tokens(parts), most, self.processes)
        return [self._on_device(batch, _rows(labels, rows), chosen, active) for batch, rows, chosen in found]

    def _labels(self, tasks: Sequence[str], step: Step) -> dict[str, Tensor]:
        """Return the labels of a step's rows (n,), or (n, C), on the device."""
        out = {}
        for task in tasks:
            out[task] = torch.from_numpy(self.train[task].targets(step.rows[task]).astype(np.float32)).to(self.device)
        return out

    def _on_device(
        self,
        batch: PackedBatch,
        labels: Mapping[str, Tensor],
        chosen: Mapping[tuple[str, ...], SubBatch],
        active: Mapping[str, tuple[str, ...]],
    ) -> TrainingBatch:
        """Return the batch with each term's sub-batch; terms of the same tasks share one, that of all tasks is it."""
        moved = batch.to(self.device)
        there = {
            tasks: sub.to(self.device, batch=moved if sub.batch is batch else None) for tasks, sub in chosen.items()
        }
        return TrainingBatch(moved, labels, {name: there[tasks] for name, tasks in active.items()})


def _tokens(parts: Mapping[str, Sequence[Sequences]]) -> dict[str, NDArray[np.int64]]:
    """Return the tokens (n,) of each task's examples."""
    return {task: np.sum([side.lengths for side in sides], axis=0) for task, sides in parts.items()}


def _rows(labels: Mapping[str, Tensor], rows: Mapping[str, NDArray[np.int64]]) -> dict[str, Tensor]:
    return {task: labels[task][torch.from_numpy(own).to(labels[task].device)] for task, own in rows.items()}


def _chunks(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """Yield steps in lists of `JOINED_AT_ONCE`, the first alone: nobody waits longer for it than needs be."""
    left = iter(steps)
    size = 1
    while chunk := list(islice(left, size)):
        yield chunk
        size = JOINED_AT_ONCE


class _End:
    """What the thread puts last: nothing, or the error that ended it."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Iterable[Item], make: Callable[[Item], Ready], depth: int = 2) -> Generator[Ready]:
    """Yield `make(item)` for each item, in order, made up to `depth` ahead on a thread.

    The thread ends when the consumer stops early, and an error in it is raised to the consumer.
    """
    out: queue.Queue[Ready | _End] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def put(value: Ready | _End) -> bool:
        while not stopped.is_set():
            try:
                out.put(value, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(make(item)):
                    return
            put(_End(None))
        except BaseException as error:
            put(_End(error))

    thread = threading.Thread(target=work, name="packing", daemon=True)
    thread.start()
    try:
        while True:
            value = out.get()
            if isinstance(value, _End):
                if value.error is not None:
                    raise value.error
                return
            yield value
    finally:
        stopped.set()
        thread.join()

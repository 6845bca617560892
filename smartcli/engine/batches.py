"""From row numbers to packed examples on the device, on a thread of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smartcli.config import Settings
from smartcli.data.joining import Sequences, sequences_of, within
from smartcli.data.ragged import Ragged
from smartcli.engine.distributed import ALONE, Processes
from smartcli.engine.heads import joins_pairs
from smartcli.engine.packing import PackedBatch, pack, select
from smartcli.engine.schedule import Step
from smartcli.engine.share import select_share, split_by_tokens, take_share
from smartcli.engine.step import Example

if TYPE_CHECKING:
    from smartcli.families.template import JoinTemplate

Item = TypeVar("Item")
Ready = TypeVar("Ready")


@dataclass(frozen=True)
class Split:
    """One task's rows of one split: token ids a side, labels (n,) as floats or None, and row ids."""

    sides: Sequence[Ragged]
    labels: NDArray[np.float64] | None
    row_id: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.sides[0])


def take(split: Split, rows: NDArray[np.int64]) -> Split:
    """Return the given rows of a split, their tokens copied."""
    sides = []
    for side in split.sides:
        starts, lengths = side.offsets[rows], side.lengths[rows]
        source = np.repeat(starts, lengths) + within(lengths)
        sides.append(Ragged(side.ids[source], np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])))
    labels = None if split.labels is None else split.labels[rows]
    return Split(sides, labels, lambda row: split.row_id(int(rows[row])))


@dataclass(frozen=True)
class Prepared:
    """A step with its packed examples: one for all tasks, or with surgery one a task."""

    step: Step
    examples: tuple[Example, ...]
    truncated: int

    @property
    def count(self) -> int:
        """Examples in the step."""
        return sum(len(rows) for rows in self.step.rows.values())

    @property
    def tokens(self) -> int:
        """Tokens in the step, those of other processes included."""
        return sum(example.tokens for example in self.examples)


@dataclass(frozen=True)
class Batcher:
    """Builds the packed examples of a step from stored tokens; of several processes each its own part of them."""

    train: Mapping[str, Split]
    template: JoinTemplate
    settings: Settings
    max_length: int
    device: torch.device
    processes: Processes = ALONE

    def __call__(self, step: Step) -> Prepared:
        """Return `step` packed; with surgery each task is a pass of its own."""
        apart = self.settings.surgery != "none" and len(step.rows) > 1
        groups = [(task,) for task in step.rows] if apart else [tuple(step.rows)]
        truncated = 0
        examples = []
        for tasks in groups:
            parts = {}
            for task in tasks:
                parts[task] = sequences_of(
                    self.template,
                    self.train[task].sides,
                    step.rows[task],
                    join=joins_pairs(self.settings.pair_mode),
                    max_length=self.max_length,
                )
                truncated += sum(part.truncated for part in parts[task])
            examples.append(self._example(tasks, step, parts))
        return Prepared(step, tuple(examples), truncated)

    def _example(self, tasks: Sequence[str], step: Step, parts: Mapping[str, Sequence[Sequences]]) -> Example:
        batch = pack(parts)
        labels = {}
        for task in tasks:
            stored = self.train[task].labels
            assert stored is not None
            labels[task] = torch.from_numpy(stored[step.rows[task]].astype(np.float32)).to(self.device)
        smart = [task for task in tasks if self.settings.lam[task] > 0]
        bregman = [task for task in tasks if self.settings.mu[task] > 0]
        if self.processes.several:
            tokens = {task: np.sum([side.lengths for side in sides], axis=0) for task, sides in parts.items()}
            return self._own_part(batch, labels, smart, bregman, tokens)
        return Example(
            batch.to(self.device),
            labels,
            select(batch, smart).to(self.device) if smart else None,
            select(batch, bregman).to(self.device) if bregman else None,
        )

    def _own_part(
        self,
        whole: PackedBatch,
        labels: Mapping[str, Tensor],
        smart: list[str],
        bregman: list[str],
        tokens: Mapping[str, NDArray[np.int64]],
    ) -> Example:
        """Return this process's part of a packed batch, of whose examples `tokens` has the lengths."""
        mine = split_by_tokens(tokens, self.processes.size)[self.processes.rank]
        own, share = take_share(whole, mine)
        own_labels = {task: labels[task][torch.from_numpy(rows).to(self.device)] for task, rows in mine.items()}
        smart_part, smart_share = select_share(own, whole, smart, mine) if smart else (None, None)
        bregman_part = select_share(own, whole, bregman, mine)[0] if bregman else None
        return Example(
            own.to(self.device),
            own_labels,
            smart_part.to(self.device) if smart_part is not None else None,
            bregman_part.to(self.device) if bregman_part is not None else None,
            share.to(self.device),
            smart_share.to(self.device) if smart_share is not None else None,
        )


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

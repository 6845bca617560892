"""Reads every split of a table of tasks into a sink, gathering all that is wrong before it stops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from smartcli.data.accept import Skipped, SplitReader, SplitSource
from smartcli.data.label_sets import label_reader
from smartcli.data.labels import LabelReader, WrongLabel
from smartcli.data.readers import Problems
from smartcli.data.rows import Label
from smartcli.data.saving import RowSink
from smartcli.tasks import Task, TaskTable


@dataclass
class Reading:
    """What came of reading: the table with its classes known, skipped rows, warnings."""

    tasks: TaskTable
    skipped: list[Skipped] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was done that a reader must know, such as how one file was divided."""


def read_splits(
    table: TaskTable,
    sources: Iterable[SplitSource],
    sink: RowSink,
    *,
    strict: bool = False,
    scales: Mapping[str, float] | None = None,
) -> Reading:
    """Read the sources, in order, into `sink`; one UserError lists what is wrong in any of them.

    `scales` gives a task's scores another factor than the table's. Training splits come before the others
    of their task, since undeclared classes are learnt from them.
    """
    problems = Problems()
    reading = Reading(table)
    readers = {task.name: label_reader(task, (scales or {}).get(task.name)) for task in table}
    learnt: dict[str, Task] = {}
    unknown: set[str] = set()
    for source in sources:
        task = source.task
        labels = readers[task.name]
        before = problems.count
        _read_one(source, labels, sink, problems, reading, strict)
        if labels.learning and task.name not in unknown:
            if problems.count > before:
                # What a file that cannot be read has as labels is unknown: nothing is said of them in this run.
                unknown.add(task.name)
                continue
            try:
                learnt[task.name] = task.with_labels(labels.finish_learning())
            except WrongLabel as error:
                problems.add(f'{source.paths[0]}: task "{task.name}", {source.split} split: {error}')
                unknown.add(task.name)
                labels.learning = True
                continue
            reading.warnings += [f'{source.paths[0]}: task "{task.name}": {alike}' for alike in labels.alike()]
            if source.split in sink.splits.get(task.name, {}) and list(labels.renumbered) != sorted(labels.renumbered):
                renumber(sink, task.name, source.split, labels.renumbered)
    problems.raise_if_any()
    reading.tasks = TaskTable(tuple(learnt.get(task.name, task) for task in table))
    return reading


def _read_one(
    source: SplitSource, labels: LabelReader, sink: RowSink, problems: Problems, reading: Reading, strict: bool
) -> None:
    before = problems.count
    reader = SplitReader(source, labels, problems, strict)
    rows = reader.rows()
    first = next(rows, None)
    task, split = source.task, source.split
    if first is None:
        if problems.count == before:
            why = f"every row was skipped ({len(reader.skipped):,})" if reader.skipped else "there is none"
            problems.add(f'{source.paths[0]}:1: task "{task.name}", {split} split: expected at least one row; {why}')
        return
    labelled = first[2] is not None
    sink.write(task.name, split, chain([first], rows), len(task.text), labelled)
    reading.skipped += reader.skipped
    if task.kind == "multilabel" and split != "train" and labelled and reader.highest == 0:
        # A column that is there and empty: nobody has labelled these rows.
        labelled = False
        written = sink.take_back(task.name, split)
        bare = ((name, texts, None) for name, texts, _ in written.all())
        sink.write(task.name, split, bare, written.sides, labelled)
        if split == "test":
            reading.notes.append(
                f'task "{task.name}": no row of the test split has a label, so it counts as unlabelled'
            )
    if not labelled and split == "dev":
        reading.warnings.append(
            f'task "{task.name}": the dev split has no labels (all are -1 or empty), so it cannot be scored'
        )
    if split == "train" and task.range is not None and _counts_to_one(task.range[1], labels.scale, reader.highest):
        low, high = task.range
        reading.warnings.append(
            f'{source.paths[0]}: every "{source.label}" of task "{task.name}" is at most 1, while its range is '
            f'{low:g} to {high:g}; if the file counts from 0 to 1, declare "scale"'
        )


def renumber(sink: RowSink, task: str, split: str, numbers: Sequence[float]) -> None:
    """Write a split again with `numbers[i]` as the label of rows that have i."""
    rows = sink.take_back(task, split)

    def new(label: Label | None) -> Label | None:
        if isinstance(label, tuple):
            return tuple(sorted(int(numbers[number]) for number in label))
        return None if label is None else numbers[int(label)]

    again = ((name, texts, new(label)) for name, texts, label in rows.all())
    sink.write(task, split, again, rows.sides)


def _counts_to_one(high: float, scale: float, highest: float | None) -> bool:
    return scale == 1 and high > 1 and highest is not None and highest <= 1

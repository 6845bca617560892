"""`smart check`: looks a data folder over before anything is stored or trained."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smartcli.counts import counted
from smartcli.data.cs224n import looks_like_course, read_course
from smartcli.data.inspection import (
    Conflicts,
    Lengths,
    Measure,
    balance,
    count_duplicates,
    find_conflicts,
    findings_on_balance,
    lengths,
)
from smartcli.data.leaks import count_leaks, count_shared
from smartcli.data.own import TABLE, read_own
from smartcli.data.paper import paper
from smartcli.data.rows import SplitRows
from smartcli.data.saving import RowSink
from smartcli.errors import UserError
from smartcli.tasks import SPLITS, Task
from smartcli.workflows.preparing.preparation import guessed_table
from smartcli.workflows.preparing.tokenise import FoundTokenizer, find_tokenizer

CHUNK = 4_096


@dataclass(frozen=True)
class SplitCheck:
    """What was found in one split."""

    split: str
    rows: int
    balance: dict[str, Any] | None
    lengths: Lengths
    duplicates: int
    also_in_train: int
    also_in_dev: int
    without_labels: int | None = None
    """Rows of a multilabel task that have none of the labels; None for other tasks."""

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "lengths": self.lengths.to_json()}


@dataclass(frozen=True)
class TaskCheck:
    """What was found in one task."""

    task: Task
    splits: tuple[SplitCheck, ...]
    conflicts: Conflicts

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.task.name,
            "kind": self.task.kind,
            "splits": {check.split: check.to_json() for check in self.splits},
            "conflicts": self.conflicts.to_json(),
        }


@dataclass(frozen=True)
class CheckReport:
    """What `smart check` found; `findings` are the points that deserve a look, in words."""

    folder: Path
    unit: str
    """What lengths count: tokens of the encoder named, or words where none is at hand."""
    max_length: int
    tasks: tuple[TaskCheck, ...]
    skipped: tuple[str, ...]
    findings: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "lengths_in": self.unit,
            "max_length": self.max_length,
            "tasks": [task.to_json() for task in self.tasks],
            "skipped": list(self.skipped),
            "findings": list(self.findings),
        }


def check(
    folder: Path, *, encoder: str | None = None, max_length: int = 128, say: Callable[[str], None] = lambda line: None
) -> CheckReport:
    """Read a folder with a tasks.toml (or the course's files), or a file, and look its rows over; nothing is stored.

    A file is read by the guess of `smart prepare FILE`, which `say` is told. UserError where the files are wrong, by
    file and line.
    """
    table = guessed_table([folder], say).table() if folder.is_file() else None
    folder = folder.parent if table is not None else folder
    if not folder.is_dir():
        raise UserError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}; expected a data folder")
    course = table is None and not (folder / TABLE).exists() and looks_like_course(folder)
    wanted = encoder or os.environ.get("SMART_ENCODER") or paper().encoders["hub"]
    found = find_tokenizer(wanted, named=encoder is not None)
    if found.tokenizer is None and encoder is None:
        found = find_tokenizer("minilm", named=False)
    unit = f"tokens of {found.encoder}" if found.tokenizer else "words"
    with tempfile.TemporaryDirectory(prefix="smart-check-") as temp:
        sink = RowSink(Path(temp))
        reading = read_course(folder, sink, False) if course else read_own(folder, sink, False, table)
        findings = list(reading.warnings)
        tasks = tuple(_check_task(task, sink, found, max_length, findings) for task in reading.tasks)
    if reading.skipped:
        lack = counted(len(reading.skipped), "row lacks", "rows lack")
        findings.append(f"{lack} a sentence or label and would be skipped")
    return CheckReport(folder, unit, max_length, tasks, tuple(map(str, reading.skipped)), tuple(findings))


def _check_task(task: Task, sink: RowSink, found: FoundTokenizer, limit: int, findings: list[str]) -> TaskCheck:
    rows: dict[str, SplitRows] = {
        split: sink.open(task.name, split, task.classes) for split in SPLITS if split in sink.splits[task.name]
    }
    leaks = dict(count_leaks(rows, rows.__getitem__))
    in_dev = count_shared(rows["test"], rows["dev"]) if {"dev", "test"} <= rows.keys() else 0
    measure, extra = _measure(found, task)
    checks = []
    for split, own in rows.items():
        check = SplitCheck(
            split=split,
            rows=len(own),
            balance=balance(task, own.labels),
            lengths=lengths(own, measure, extra, limit),
            duplicates=count_duplicates(own),
            also_in_train=leaks.get(split, 0),
            also_in_dev=in_dev if split == "test" else 0,
            without_labels=_without_labels(own),
        )
        checks.append(check)
        findings += findings_on_balance(task, split, check.balance, check.rows)
        findings += _findings(task, check, limit, bool(found.tokenizer))
    if in_dev:
        rows_in_dev = counted(in_dev, "row")
        findings.append(f'task "{task.name}", test: the text of {rows_in_dev} stands in dev too')
    conflicts = find_conflicts(task, rows)
    if conflicts.texts:
        findings.append(
            f'task "{task.name}": {counted(conflicts.texts, "text stands", "texts stand")} with different labels '
            f"({counted(conflicts.rows, 'row')}), such as {conflicts.examples[0]}"
        )
    return TaskCheck(task, tuple(checks), conflicts)


def _findings(task: Task, check: SplitCheck, limit: int, in_tokens: bool) -> list[str]:
    where = f'task "{task.name}", {check.split}'
    out = []
    if check.also_in_train:
        out.append(f"{where}: the text of {counted(check.also_in_train, 'row')} stands in train too")
    if check.duplicates:
        out.append(f"{where}: {counted(check.duplicates, 'row repeats', 'rows repeat')} the text of an earlier row")
    if check.without_labels:
        none = counted(check.without_labels, "row has", "rows have")
        out.append(f"{where}: {none} none of the labels; where that means unknown, take the row out of the file")
    cut = check.lengths.truncated
    if cut:
        unit = "tokens" if in_tokens else "words"
        part = "" if check.lengths.measured == check.rows else f"of {check.lengths.measured:,} measured "
        are = counted(cut, f"{part}row is", f"{part}rows are")
        out.append(f"{where}: {are} longer than {limit} {unit} and would be truncated (--max-length)")
    return out


def _without_labels(rows: SplitRows) -> int | None:
    return int((~rows.labels.any(axis=1)).sum()) if rows.labels is not None and rows.labels.ndim == 2 else None


def _measure(found: FoundTokenizer, task: Task) -> tuple[Measure, int]:
    tokenizer = found.tokenizer
    if tokenizer is None:
        return (lambda texts: [len(text.split()) for text in texts]), 0

    def measure(texts: Sequence[str]) -> list[int]:
        chunks = (texts[at : at + CHUNK] for at in range(0, len(texts), CHUNK))
        return [len(ids) for chunk in chunks for ids in tokenizer.encode(chunk)]

    return measure, tokenizer.template.pair_extra if task.pair else tokenizer.template.single_extra

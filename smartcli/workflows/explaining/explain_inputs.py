"""Which row `smart explain` explains: one of a data set, or texts given on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smartcli.counts import counted
from smartcli.errors import UserError, suggest
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.tasks import SPLITS, Task
from smartcli.workflows.scoring.sources import shared_tasks, subject_of

if TYPE_CHECKING:
    from smartcli.data.rows import SplitRows
    from smartcli.data.store import DataSet

NEAR_IDS = 20_000
"""Ids that are compared with a mistyped one at most: it takes a second or so."""


@dataclass(frozen=True)
class Place:
    """Where a row stands: split and row number (from 0) of a data set."""

    data: str
    fingerprint: str
    split: str
    id: str
    number: int


@dataclass(frozen=True)
class Row:
    """The one or two texts to explain; `label` (class number or score) and `place` where it is of a data set."""

    texts: tuple[str, ...]
    label: float | None = None
    place: Place | None = None


def check_text(value: str, option: str) -> str:
    """Return an option's text; UserError where its bytes were no UTF-8, which Python marks by lone surrogates."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(f"{option}: expected UTF-8 text, found other bytes; use a terminal in UTF-8") from None
    return value


def given_row(task: Task, text: str | None, text2: str | None) -> Row:
    """Return the row of `--text` and `--text2`; UserError where they are not what the task needs, or empty."""
    columns = " and ".join(f'"{column}"' for column in task.text)
    if text is None:
        raise UserError(f"--text2 alone: the task {task.name} needs --text for its {columns}")
    if task.pair and text2 is None:
        raise UserError(f"--text2 is needed: the task {task.name} is on pairs, {columns}; found --text alone")
    if not task.pair and text2 is not None:
        raise UserError(f"--text2 has no place here: the task {task.name} has one text, {columns}; leave it out")
    texts = (text,) if text2 is None else (text, text2)
    for option, value in zip(("--text", "--text2"), texts, strict=False):
        if not check_text(value, option).strip():
            raise UserError(f"{option}: expected a text, found nothing but blanks")
    return Row(texts)


def check_split(split: str) -> str:
    """Return a split's name; a UserError lists them."""
    if split not in SPLITS:
        raise UserError(f'--split must be one of {", ".join(SPLITS)}; found "{split}"{suggest(split, SPLITS)}')
    return split


def data_of(home: Home, checkpoint: Checkpoint, task: Task, data: str | None) -> DataSet:
    """Return the data set of `--data`, else the checkpoint's own; UserError where it lacks the task or is not here."""
    subject = subject_of(home, [checkpoint], data)
    where = f'data set "{subject.name}"'
    if task.name not in {shared.name for shared in shared_tasks(checkpoint, subject.tasks, where)}:
        raise UserError(f"--task {task.name}: the {where} has no such task; it has {', '.join(subject.tasks.names)}")
    return subject.require()


def find_row(data_set: DataSet, task: Task, row_id: str, split: str) -> Row:
    """Return the row with that id; a UserError says in which other split it stands, or suggests a near id."""
    rows = data_set.rows(task.name, check_split(split))
    number = _number(rows, check_text(row_id, "--row"))
    if number < 0:
        others = [
            s for s in data_set.splits(task.name) if s != split and _number(data_set.rows(task.name, s), row_id) >= 0
        ]
        hint = f"; it stands in {others[0]}: give --split {others[0]}" if others else _near(rows, row_id)
        raise UserError(
            f'--row: there is no row "{row_id}" in the {split} split of {task.name} ("{data_set.name}", '
            f"{counted(len(rows), 'row')}, the first is {rows.id(0)}){hint}"
        )
    texts = tuple(rows.text(side, number) for side in range(rows.sides))
    label = None if rows.labels is None else float(rows.labels[number])
    return Row(texts, label, Place(data_set.name, data_set.fingerprint, split, rows.id(number), number))


def _number(rows: SplitRows, row_id: str) -> int:
    import pyarrow.compute as pc

    return int(pc.index(rows.ids, row_id).as_py())


def _near(rows: SplitRows, row_id: str) -> str:
    ids = rows.id_list()
    folded = row_id.strip().casefold()
    same = [one for one in ids if one.casefold() == folded]
    alike = [one for one in ids if abs(len(one) - len(row_id)) <= 2] if len(ids) > NEAR_IDS else ids
    return suggest(row_id.strip(), same or alike[:NEAR_IDS])


def check_kind(task: Task) -> None:
    """Raise a UserError for a task of several labels, whose rows have no one probability to explain."""
    if task.kind == "multilabel":
        raise UserError(
            f"--task {task.name}: a multilabel row has several labels, and explain follows the probability of one; "
            "`smart predict --probabilities` shows each label's"
        )


def check_swaps(swaps: Mapping[str, str]) -> None:
    """Raise a UserError for a term that is no text."""
    for term in (*swaps, *swaps.values()):
        check_text(term, "--swap")


def label_name(task: Task, value: float) -> str:
    """Return a class's name, or a score with two decimals."""
    return f"{value:.2f}" if task.kind == "regression" else task.labels[int(value)]

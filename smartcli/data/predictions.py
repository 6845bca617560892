"""A model's predictions on one split, and the one CSV form in which they are stored."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from smartcli.data.safe_csv import csv_text
from smartcli.errors import SmartCliError

CELL_LIMIT = 2**31 - 1
FIRST_COLUMNS = ("task", "id", "label", "prediction")
SETS = "|"
"""Stands between the 0 and 1 of several labels in one cell."""


@dataclass(frozen=True)
class TaskPredictions:
    """One task's rows in split order.

    `labels` is (n,) or None where the split has none; `predictions` is (n,): class numbers or scores;
    `probabilities` is (n, C) for classification, (n, 2) for binary, None for regression. Of a multilabel task
    labels and predictions are (n, C), 1 for each label that a row has, else 0.
    """

    task: str
    ids: list[str]
    labels: np.ndarray | None
    predictions: np.ndarray
    probabilities: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.ids)
        shape = self.predictions.shape
        assert shape[:1] == (n,), (shape, n)
        assert len(shape) <= 2, shape
        assert self.labels is None or self.labels.shape == shape, (self.labels.shape, shape)
        assert self.probabilities is None or self.probabilities.shape[0] == n, n

    def __len__(self) -> int:
        return len(self.ids)


Predictions = dict[str, TaskPredictions]


def write_predictions(predictions: Predictions) -> bytes:
    """Return `task,id,label,prediction,p0,p1,…` as UTF-8 CSV; floats by repr, class numbers as whole numbers.

    Several labels stand as a 0 or 1 for each class, such as 0|1|1.
    """
    width = max((p.probabilities.shape[1] for p in predictions.values() if p.probabilities is not None), default=0)
    lines = [[*FIRST_COLUMNS, *(f"p{i}" for i in range(width))]]
    for task, rows in predictions.items():
        whole = rows.probabilities is not None
        labels = [""] * len(rows) if rows.labels is None else _cells(rows.labels, whole)
        values = _cells(rows.predictions, whole)
        probabilities = [] if rows.probabilities is None else rows.probabilities.astype(np.float64).tolist()
        for i, row_id in enumerate(rows.ids):
            shares = [repr(p) for p in probabilities[i]] if whole else []
            lines.append([task, row_id, labels[i], values[i], *shares, *[""] * (width - len(shares))])
    return csv_text(lines).encode("utf-8")


def _cells(values: np.ndarray, whole: bool) -> list[str]:
    if values.ndim == 2:
        return [SETS.join("1" if value else "0" for value in row) for row in values.tolist()]
    numbers = values.astype(np.float64).tolist()
    return [str(int(v)) if whole and v == int(v) else repr(v) for v in numbers]


Value = float | tuple[float, ...]
"""A class number or a score, or a 0 or 1 for each class."""


@dataclass
class _Lists:
    ids: list[str] = field(default_factory=list)
    labels: list[Value] = field(default_factory=list)
    predictions: list[Value] = field(default_factory=list)
    probabilities: list[list[float]] = field(default_factory=list)


def read_predictions(raw: bytes, where: str) -> Predictions:
    """Read what `write_predictions` wrote; a SmartCliError names `where` and the line of anything else."""
    try:
        csv.field_size_limit(CELL_LIMIT)
        reader = csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), strict=True)
        header = next(reader, [])
        width = len(header) - len(FIRST_COLUMNS)
        if header != [*FIRST_COLUMNS, *(f"p{i}" for i in range(width))]:
            raise ValueError(f"expected the columns {','.join(FIRST_COLUMNS)},p0,p1,…; found {','.join(header)}")
        tasks: dict[str, _Lists] = {}
        for row in reader:
            try:
                if len(row) != len(header):
                    raise ValueError(f"expected {len(header)} fields, found {len(row)}")
                _add(tasks.setdefault(row[0], _Lists()), row)
            except ValueError as error:
                raise ValueError(f"line {reader.line_num}: {error}") from None
        return {task: _arrays(task, lists) for task, lists in tasks.items()}
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise SmartCliError(f"{where}: not a predictions file: {error}; make it again") from error


def _add(lists: _Lists, row: Sequence[str]) -> None:
    lists.ids.append(row[1])
    if row[2]:
        lists.labels.append(_value(row[2]))
    lists.predictions.append(_value(row[3]))
    shares = [_finite(cell) for cell in row[4:] if cell]
    if shares:
        lists.probabilities.append(shares)


def _value(cell: str) -> Value:
    if SETS not in cell:
        return _finite(cell)
    parts = cell.split(SETS)
    if not set(parts) <= {"0", "1"}:
        raise ValueError(f"expected 0 or 1 for each class, found {cell}")
    return tuple(float(part) for part in parts)


def _finite(cell: str) -> float:
    number = float(cell)
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number, found {cell}")
    return number


def _check_values(task: str, name: str, values: Sequence[Value], classes: int, sets: bool) -> None:
    """Raise ValueError unless each value is a class of so many, or with `sets` each a 0 or 1 for all of them."""
    for value in values:
        if isinstance(value, tuple) != sets or (isinstance(value, tuple) and len(value) != classes):
            raise ValueError(f'task "{task}": a {name} has another form than {classes} probabilities ask for')
        if not isinstance(value, tuple) and not (value.is_integer() and 0 <= value < classes):
            raise ValueError(
                f'task "{task}": {name} {value:g} is none of the {classes} classes that have probabilities'
            )


def _arrays(task: str, lists: _Lists) -> TaskPredictions:
    n = len(lists.ids)
    widths = {len(shares) for shares in lists.probabilities}
    if len(lists.labels) not in (0, n) or len(lists.probabilities) not in (0, n) or len(widths) > 1:
        raise ValueError(f'task "{task}": labels or probabilities stand in some rows only')
    sets = any(isinstance(value, tuple) for value in (*lists.labels, *lists.predictions))
    for name, values in (("label", lists.labels), ("prediction", lists.predictions)) if widths or sets else ():
        _check_values(task, name, values, min(widths, default=0), sets)
    return TaskPredictions(
        task=task,
        ids=lists.ids,
        labels=np.array(lists.labels, dtype=np.float64) if lists.labels else None,
        predictions=np.array(lists.predictions, dtype=np.float64),
        probabilities=np.array(lists.probabilities, dtype=np.float64) if lists.probabilities else None,
    )

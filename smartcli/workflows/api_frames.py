"""pandas DataFrames in the Python API: rows to label come in as one, results go out as one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from smartcli.data.answers import CLASS, PREDICTION, Wish, answers, check_free, columns_for, type_of_prediction
from smartcli.data.predictions import TaskPredictions
from smartcli.errors import UserError, suggest
from smartcli.home import Home
from smartcli.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

Label = Callable[[Sequence[Sequence[str]]], TaskPredictions]


def is_frame(value: Any) -> TypeGuard[pd.DataFrame]:
    """Return whether `value` is a DataFrame; pandas is not imported for the answer."""
    module = sys.modules.get("pandas")
    return module is not None and isinstance(value, module.DataFrame)


def with_predictions(frame: pd.DataFrame, task: Task, label: Label, wish: Wish) -> pd.DataFrame:
    """Return a copy of `frame` with the columns that `smart predict` adds; its index and other columns are kept.

    UserErrors: a text column is missing, a cell is no text (the row's index label is named), a column to add is there.
    """
    for column in task.text:
        if column not in frame.columns:
            known = [str(name) for name in frame.columns]
            raise UserError(
                f'"{task.name}": the frame has no column "{column}"; found {", ".join(known)}{suggest(column, known)}'
            )
    texts = frame[list(task.text)]
    for at, row in zip(frame.index, texts.itertuples(index=False, name=None), strict=True):
        for column, cell in zip(task.text, row, strict=True):
            if not isinstance(cell, str):
                raise UserError(f'"{task.name}", row {at!r}: "{column}" must be text, found {cell!r:.80}')
    wish.check(task)
    added = check_free([str(name) for name in frame.columns], columns_for(task, wish), f'"{task.name}": the frame has')
    types = {PREDICTION: type_of_prediction(task), CLASS: int}
    columns = answers(task, label(list(texts.itertuples(index=False, name=None))), wish)
    return frame.assign(**{name: _column(columns[name], types.get(name)) for name in added})


def _column(values: Sequence[Any], kind: type | None) -> Any:
    """Return values for a frame; whole numbers stay such where some are missing."""
    import pandas as pd

    return pd.array(values, dtype="Int64") if kind is int and None in values else values


def results(home: Home, names: Sequence[str], *, split: str, data: str | None, paper: bool) -> pd.DataFrame:
    """Return what `smart evaluate` prints as a frame."""
    from smartcli.report.frames import score_frame
    from smartcli.workflows.scoring.evaluation import evaluate

    return score_frame(evaluate(home, names, split=split, data=data, paper=paper))

"""The Python API behind `smartcli.load`: predictions of a checkpoint or an ensemble on one's own texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from smartcli.data.answers import Wish
from smartcli.data.predictions import TaskPredictions
from smartcli.errors import UserError, suggest
from smartcli.home import Home
from smartcli.option_table import OPTION_OF
from smartcli.registry.registry import Registry
from smartcli.tasks import Task
from smartcli.workflows.api_frames import is_frame, with_predictions
from smartcli.workflows.scoring.panel import Panel, load_panel

if TYPE_CHECKING:
    import pandas as pd

Texts = Sequence[str] | Sequence[Sequence[str]]
"""Sentences, or for a task of pairs (one, other) of each pair."""


class Model:
    """A checkpoint's model in memory, or those of an ensemble's members; made by `smartcli.load`."""

    def __init__(self, panel: Panel) -> None:
        self._checkpoint, self._panel = panel.checkpoint, panel
        self._tasks = panel.checkpoint.heads

    def __repr__(self) -> str:
        return f"<smartcli model {self.name}: {', '.join(self.tasks)}>"

    @property
    def name(self) -> str:
        """Name of the checkpoint."""
        return self._checkpoint.name

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that can be predicted, in table order."""
        return self._tasks.names

    @property
    def info(self) -> dict[str, Any]:
        """What smart.json says: settings, scores on dev, lineage, versions (a copy of the outermost level)."""
        return self._checkpoint.meta.to_json()

    def labels(self, task: str) -> tuple[str, ...]:
        """Return the class names of `task` in the order of its class numbers; none for scores."""
        return self._task(task).labels

    @overload
    def predict(self, task: str, texts: Texts) -> NDArray[Any]: ...

    @overload
    def predict(
        self,
        task: str,
        texts: pd.DataFrame,
        *,
        probabilities: bool = False,
        threshold: float | None = None,
        top: int | None = None,
    ) -> pd.DataFrame: ...

    def predict(
        self,
        task: str,
        texts: Texts | pd.DataFrame,
        *,
        probabilities: bool = False,
        threshold: float | None = None,
        top: int | None = None,
    ) -> NDArray[Any] | pd.DataFrame:
        """Return the class number (int64) or score (float64) of each text, (n,); of several labels 0 or 1 each, (n, C).

        `texts` are sentences, or (one, other) pairs where the task has pairs. Scores may lie outside the task's
        range. A DataFrame that has the task's text columns comes back, its index kept, with the columns that
        `smart predict` adds, also by its options `probabilities`, `threshold` and `top`: `prediction` (the class by
        name where it has one), `class`, `probability` and so on. UserError for an unknown task, a column that is
        missing or there already, or a row that is no sentence or pair.
        """
        wish = Wish(probabilities, threshold, top)
        if is_frame(texts):
            return with_predictions(texts, self._task(task), lambda rows: self._label(task, rows), wish)
        if wish != Wish():
            raise UserError("probabilities, threshold and top are for a DataFrame; use predict_proba for an array")
        found = self._label(task, texts).predictions
        return found if self._task(task).kind == "regression" else found.astype(np.int64)

    def predict_proba(self, task: str, texts: Texts) -> NDArray[np.float64]:
        """Return each class's (or label's) probability, (n, C); an ensemble's is the mean of its members'.

        UserError for a task of scores, which has none.
        """
        if self._task(task).kind == "regression":
            raise UserError(f'"{task}" is a task of scores and has no probabilities; use predict')
        found = self._label(task, texts).probabilities
        return np.empty((0, self._task(task).classes)) if found is None else found

    def encode(self, texts: Sequence[str], *, batch_size: int | None = None) -> NDArray[np.float32]:
        """Return the encoder's vector of each sentence, (n, D), as the checkpoint pools them.

        An ensemble has several encoders: UserError. `batch_size` is the most tokens of a batch (None: 4,096).
        """
        if len(self._panel.parts) > 1:
            raise UserError(f'"{self.name}" is an ensemble of several encoders; encode with one of its members')
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise UserError("encode: expected a list of strings")
        return self._panel.parts[0].encode(texts, batch_size)

    def _task(self, name: str) -> Task:
        return self._tasks.get(name, f"task for {self.name}")

    def _label(self, task_name: str, texts: Texts) -> TaskPredictions:
        task = self._task(task_name)
        return self._panel.label(task, _rows(task, texts))


def load_model(home: Home, name: str, device: str = "auto") -> Model:
    """Return the model of a checkpoint, or those of an ensemble's members, of `home`."""
    known = OPTION_OF["device"].choices
    if device not in known:
        raise UserError(f"device must be one of {', '.join(known)}; found {device!r}{suggest(str(device), known)}")
    return Model(load_panel(home, Registry(home).open(name), device))


def _rows(task: Task, texts: Texts) -> list[tuple[str, ...]]:
    """Return one tuple of texts a row; UserError naming the first row that does not fit the task."""
    expected = "a pair (one, other) of strings" if task.pair else "a string"
    if isinstance(texts, str):
        raise UserError(f'"{task.name}": expected a list of rows, each {expected}; found one string')
    rows: list[tuple[str, ...]] = []
    for number, row in enumerate(texts):
        parts = (row,) if isinstance(row, str) else tuple(row) if isinstance(row, Sequence) else ()
        if len(parts) != len(task.text) or not all(isinstance(part, str) for part in parts):
            raise UserError(f'"{task.name}", row {number}: expected {expected}, found {row!r:.80}')
        rows.append(parts)
    return rows

"""The labels of a multilabel row: names in one cell, or a column of 0 and 1 a class; to a set of class numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from smartcli.data.labels import LabelReader, WrongLabel
from smartcli.data.readers.problems import shorten
from smartcli.tasks import Task

YES = frozenset({"1", "1.0", "true", "yes"})
NO = frozenset({"0", "0.0", "false", "no"})

Cell = str | int | float | bool


class LabelSetReader(LabelReader):
    """Reads the labels of a multilabel task: each is a sorted tuple of class numbers, () where a row has none.

    Names are learnt as those of a classification are.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(replace(task, kind="classification"))
        self.separator, self.columns = task.labels_separator, task.label_columns
        self._sets: dict[object, tuple[int, ...]] = {}

    def read_set(self, cells: Sequence[Cell]) -> tuple[int, ...]:
        """Return the class numbers of a row from its label cells: one of names, or one a class."""
        key = tuple((type(cell), cell) for cell in cells)
        known = self._sets.get(key)
        if known is None:
            known = self._of_columns(cells) if self.columns else self._of_names(str(cells[0]))
            self._sets[key] = known
        return known

    def finish_learning(self) -> Sequence[str]:
        names = super().finish_learning()
        self._sets = {}
        return names

    def _of_names(self, text: str) -> tuple[int, ...]:
        names = [part.strip() for part in text.split(self.separator)]
        return tuple(sorted({int(self.read(name)) for name in names if name}))

    def _of_columns(self, cells: Sequence[Cell]) -> tuple[int, ...]:
        found = []
        for number, (column, cell) in enumerate(zip(self.columns, cells, strict=True)):
            text = str(cell).strip().casefold()
            if text in YES:
                found.append(number)
            elif text not in NO:
                raise WrongLabel(f'expected 0 or 1 (or yes and no, true and false) in "{column}", found {_shown(cell)}')
        return tuple(found)


def _shown(cell: Cell) -> str:
    return shorten(str(cell), 30)


def label_reader(task: Task, scale: float | None = None) -> LabelReader:
    """Return what reads the labels of `task`; `scale` stands for that of its scores where it is given."""
    return LabelSetReader(task) if task.kind == "multilabel" else LabelReader(task, scale)

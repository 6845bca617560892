"""From a label's cell to a number: class number or score, checked against the task's declaration."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from smartcli.data.readers.problems import shorten
from smartcli.tasks import Task

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
WHOLE = re.compile(r"0|[1-9]\d*", re.ASCII)
MOST_CLASSES = 1000
UNLABELLED = -1.0
SLACK = 1e-9
"""What rounding may add when a score is scaled."""


class WrongLabel(ValueError):
    """A label that the task does not allow; the message says expected and found."""


class LabelReader:
    """Reads one task's labels; without declared classes it learns them from the rows that it reads first."""

    def __init__(self, task: Task, scale: float | None = None) -> None:
        self.task = task
        self.scale = task.scale if scale is None else scale
        self.classes = {name: float(place) for place, name in enumerate(task.labels)}
        self.learning = task.kind == "classification" and not task.labels
        self._known: dict[object, float] = {}
        self._numbers = bool(self.classes) and all(WHOLE.fullmatch(name) for name in self.classes)

    def read(self, cell: str | int | float | bool) -> float:
        """Return the label; WrongLabel when it is none."""
        key = (type(cell), cell)
        known = self._known.get(key)
        if known is None:
            text = str(int(cell)) if isinstance(cell, bool) and "1" in self.classes else str(cell)
            known = self._score(text) if self.task.kind == "regression" else self._class(text.strip())
            self._known[key] = known
        return known

    def marks_unlabelled(self, cell: object) -> bool:
        """Whether the cell is the -1 of published test splits (and no label of this task)."""
        if isinstance(cell, bool) or not isinstance(cell, str | int | float):
            return False
        number = _number(str(cell))
        low = self.task.range[0] if self.task.range else 0.0
        return number == UNLABELLED and "-1" not in self.classes and low > UNLABELLED

    def finish_learning(self) -> Sequence[str]:
        """Return the class names learnt from whole numbers; WrongLabel when a number in between never stands."""
        self.learning = False
        numbers = {int(value) for value in self._known.values()}
        missing = [str(value) for value in range(max(numbers, default=0) + 1) if value not in numbers]
        if missing or len(numbers) < 2:
            found = ", ".join(str(value) for value in sorted(numbers)[:10])
            raise WrongLabel(f'expected the classes 0, 1, 2, … each at least once, found {found}; declare "labels"')
        names = tuple(str(value) for value in sorted(numbers))
        self.classes = {name: float(place) for place, name in enumerate(names)}
        self._numbers = True
        return names

    def expected(self) -> str:
        """Return what a label must be, for messages."""
        if self.task.range is not None:
            low, high = (value / self.scale for value in self.task.range)
            scaled = f" (times {self.scale:g})" if self.scale != 1 else ""
            return f"a number from {low:g} to {high:g}{scaled}"
        if not self.classes:
            return 'a whole number from 0 (or declare "labels")'
        names = list(self.classes)
        if self._numbers and names == [str(i) for i in range(len(names))] and len(names) > 2:
            return f"a whole number from 0 to {len(names) - 1}"
        return "one of " + ", ".join(names[:12]) + (", …" if len(names) > 12 else "")

    def _wrong(self, text: str) -> WrongLabel:
        return WrongLabel(f"expected {self.expected()}, found {shorten(text, 30)}")

    def _score(self, text: str) -> float:
        number = _number(text)
        assert self.task.range is not None
        low, high = self.task.range
        slack = SLACK * max(1.0, abs(low), abs(high)) if self.scale != 1 else 0.0
        if number is None or not low - slack <= number * self.scale <= high + slack:
            raise self._wrong(text)
        return min(max(number * self.scale, low), high)

    def _class(self, text: str) -> float:
        if text in self.classes:
            return self.classes[text]
        number = _number(text) if self._numbers or self.learning else None
        if number is None or number != int(number) or number < 0:
            raise self._wrong(text)
        if self.learning:
            if number >= MOST_CLASSES:
                raise WrongLabel(f"expected a class below {MOST_CLASSES}, found {shorten(text, 30)}")
            return float(int(number))
        name = str(int(number))
        if name not in self.classes:
            raise self._wrong(text)
        return self.classes[name]


def _number(text: str) -> float | None:
    text = text.strip()
    if not NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None

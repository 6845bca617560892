"""From a label's cell to a number: class number or score, checked against the task's declaration."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from smartcli.data.readers.problems import shorten
from smartcli.errors import suggest
from smartcli.tasks import Task

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
WHOLE = re.compile(r"0|[1-9]\d*", re.ASCII)
CODE = re.compile(r"0\d", re.ASCII)
"""How a code such as 007 starts, which is a name and not the number 7."""
MOST_CLASSES = 1000
UNLABELLED = -1.0
SLACK = 1e-9
"""What rounding may add when a score is scaled."""


class WrongLabel(ValueError):
    """A label that the task does not allow; the message says expected and found."""


class LabelReader:
    """Reads one task's labels; without declared classes it learns them from the rows that it reads first.

    While it learns, a label's number is only its place in the order of first sight; `finish_learning` gives the names
    in their order, and `renumbered` turns those numbers into theirs.
    """

    def __init__(self, task: Task, scale: float | None = None) -> None:
        self.task = task
        self.scale = task.scale if scale is None else scale
        self.classes = {name: float(place) for place, name in enumerate(task.labels)}
        self.learning = task.kind != "regression" and not task.labels
        self.renumbered: tuple[float, ...] = ()
        self._learnt = False
        self._known: dict[object, float] = {}
        self._numbers = bool(self.classes) and all(WHOLE.fullmatch(name) for name in self.classes)

    def read(self, cell: str | int | float | bool) -> float:
        """Return the label; WrongLabel when it is none."""
        key = (type(cell), cell)
        known = self._known.get(key)
        if known is None:
            text = self._truth(cell) if isinstance(cell, bool) else str(cell)
            known = self._score(text) if self.task.kind == "regression" else self._class(text.strip())
            self._known[key] = known
        return known

    def _truth(self, cell: bool) -> str:
        """Return which class a true or false of a typed file is: 1 and 0, or what a csv file spells true and false."""
        if self.learning or "1" in self.classes:
            return str(int(cell))
        return next((name for name in self.classes if name.casefold() == str(cell).casefold()), str(cell))

    def alike(self) -> list[str]:
        """Return a warning for each two classes whose names differ in the case of letters alone."""
        seen: dict[str, str] = {}
        pairs = [(first, name) for name in self.classes if (first := seen.setdefault(name.casefold(), name)) != name]
        return [
            f'the labels "{first}" and "{name}" differ in the case of letters alone, and are two classes'
            for first, name in pairs
        ]

    def marks_unlabelled(self, cell: object) -> bool:
        """Whether the cell is the -1 of published test splits (and no label of this task)."""
        if isinstance(cell, bool) or not isinstance(cell, str | int | float):
            return False
        number = _number(str(cell))
        low = self.task.range[0] if self.task.range else 0.0
        return number == UNLABELLED and "-1" not in self.classes and low > UNLABELLED

    def finish_learning(self) -> Sequence[str]:
        """Return the class names in order: numbers by size, else by the alphabet. WrongLabel for too few or many."""
        self.learning = False
        self._learnt = True
        names = sorted(self.classes, key=_order)
        if self.task.kind == "binary" and set(names) <= {"0", "1"}:
            names = ["0", "1"]
        wanted = "two different labels" if self.task.kind == "binary" else "at least two different labels"
        if len(names) < 2 or (self.task.kind == "binary" and len(names) > 2):
            listed = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
            raise WrongLabel(f'expected {wanted} in "{self.task.label}", found {len(names)}: {listed}')
        place = {name: float(number) for number, name in enumerate(names)}
        self.renumbered = tuple(place[name] for name in self.classes)
        self.classes, self._known = place, {}
        self._numbers = all(WHOLE.fullmatch(name) for name in names)
        return tuple(names)

    def expected(self) -> str:
        """Return what a label must be, for messages."""
        if self.task.range is not None:
            low, high = (value / self.scale for value in self.task.range)
            scaled = f" (times {self.scale:g})" if self.scale != 1 else ""
            return f"a number from {low:g} to {high:g}{scaled}"
        names = list(self.classes)
        if self._numbers and names == [str(i) for i in range(len(names))] and len(names) > 2:
            return f"a whole number from 0 to {len(names) - 1}"
        learnt = " (the labels of the train split)" if self._learnt else ""
        return "one of " + ", ".join(names[:12]) + (", …" if len(names) > 12 else "") + learnt

    def _wrong(self, text: str) -> WrongLabel:
        near = "" if self._numbers else suggest(text, list(self.classes))
        return WrongLabel(f"expected {self.expected()}, found {shorten(text, 30)}{near}")

    def _score(self, text: str) -> float:
        number = _number(text)
        assert self.task.range is not None
        low, high = self.task.range
        slack = SLACK * max(1.0, abs(low), abs(high)) if self.scale != 1 else 0.0
        if number is None or not low - slack <= number * self.scale <= high + slack:
            raise self._wrong(text)
        return min(max(number * self.scale, low), high)

    def _class(self, text: str) -> float:
        if self.learning:
            return self._learn(text if CODE.match(text) else _canonical(text))
        if text in self.classes:
            return self.classes[text]
        name = _canonical(text)
        if name not in self.classes:
            raise self._wrong(text)
        return self.classes[name]

    def _learn(self, name: str) -> float:
        if len(self.classes) >= MOST_CLASSES and name not in self.classes:
            raise WrongLabel(
                f"expected at most {MOST_CLASSES} different labels, found {shorten(name, 30)} as a further one; for "
                'scores declare kind = "regression" and their "range"'
            )
        return self.classes.setdefault(name, float(len(self.classes)))


def _canonical(text: str) -> str:
    """Return a whole number as such (1.0 is 1), any other text as it is."""
    number = _number(text)
    return str(int(number)) if number is not None and number == int(number) else text


def _order(name: str) -> tuple[bool, float, str, str]:
    number = _number(name)
    return (number is None, number or 0.0, name.casefold(), name)


def _number(text: str) -> float | None:
    text = text.strip()
    if not NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None

"""From a file's raw rows to accepted rows: texts there, label right, id new; the rest skipped or reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from smartcli.data.label_sets import LabelSetReader
from smartcli.data.labels import LabelReader, WrongLabel
from smartcli.data.readers import Cell, Problems, RawTable, open_table
from smartcli.data.readers.columns import Form
from smartcli.data.readers.problems import shorten
from smartcli.data.rows import Label, Row
from smartcli.errors import UserError
from smartcli.tasks import Task


@dataclass(frozen=True)
class SplitSource:
    """Where a split's rows stand: files and columns."""

    task: Task
    split: str
    paths: tuple[Path, ...]
    text: tuple[str, ...]
    label: str
    id: str | None = None
    fold_ids: bool = False
    """Whether ids are lower-cased, as the course's loader does."""

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns of a row's label: one, or of some multilabel tasks one a class."""
        return self.task.label_columns or (self.label,)


def form_of(task: Task) -> Form:
    """Return how the files of a task are declared to be read."""
    lists = task.label if task.labels_separator else None
    return Form((task.delimiter,) if task.delimiter else None, task.encoding, task.sheet, task.labels_separator, lists)


def _as_text(cell: Cell) -> Cell:
    return str(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) else cell


def _is_empty(cell: Cell) -> bool:
    return cell is None or (type(cell) is str and (not cell or cell.isspace()))


@dataclass(frozen=True)
class Skipped:
    """A row that was left out, and why."""

    task: str
    split: str
    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@dataclass
class SplitReader:
    """Reads one split; afterwards `skipped` and `highest` say what was met: the most labels of a row, of several."""

    source: SplitSource
    labels: LabelReader
    problems: Problems
    strict: bool = False
    skipped: list[Skipped] = field(default_factory=list)
    highest: float | None = None
    _seen: dict[str, str] = field(default_factory=dict)
    _count: int = 0
    _unlabelled: list[str] | None = None

    def rows(self) -> Iterator[Row]:
        """Yield the accepted rows of all files; a label is None in every row of an unlabelled split, or in none."""
        source = self.source
        ids = (source.id,) if source.id else ()
        own = source.label_columns
        required = (*source.text, *ids) if source.split == "test" else (*source.text, *ids, *own)
        optional = own if source.split == "test" else ()
        for path in source.paths:
            try:
                with open_table(path, required, optional, problems=self.problems, form=form_of(source.task)) as table:
                    yield from self._accepted(table)
            except UserError as error:
                self.problems.add(str(error))

    def _accepted(self, table: RawTable) -> Iterator[Row]:
        source, sides = self.source, len(self.source.text)
        label_at = self._label_places(table)
        id_at = sides if source.id else None
        for line, cells in table.rows:
            self._count += 1
            if table.guessed:
                cells = (*map(_as_text, cells[:sides]), *cells[sides:])
            texts = tuple(cells[:sides])
            if not label_at:
                if all(type(text) is str and text and not text.isspace() for text in texts):
                    label: Label | None = None
                else:
                    self._leave_out(table, line, cells, ())
                    continue
            else:
                own = [cells[at] for at in label_at]
                if not all(type(text) is str and text and not text.isspace() for text in texts) or (
                    any(map(_is_empty, own)) and not self._may_be_empty
                ):
                    self._leave_out(table, line, cells, label_at)
                    continue
                try:
                    label = self._label(table.name, line, own)
                except WrongLabel as error:
                    self.problems.add(f'{table.name}:{line}: wrong {source.label}: {error} (task "{source.task.name}")')
                    continue
            name = str(self._count) if id_at is None else self._id(table.name, line, cells[id_at])
            if name is not None:
                yield name, texts, label  # type: ignore[misc]

    @property
    def _may_be_empty(self) -> bool:
        """Whether an empty cell is a label: of names in one cell it says that the row has none of the labels."""
        return self.source.task.labels_separator is not None

    def _label_places(self, table: RawTable) -> tuple[int, ...]:
        """Return where the label's columns stand among the cells; nothing where the file has none of them."""
        own = self.source.label_columns
        there = [column for column in own if column in table.columns]
        if there and len(there) < len(own):
            missing = next(column for column in own if column not in there)
            raise UserError(
                f'{table.name}:1: missing column "{missing}"; expected all columns of "label", or none of them in a '
                "test file without labels"
            )
        return tuple(table.columns.index(column) for column in there)

    def _label(self, name: str, line: int, cells: Sequence[Cell]) -> Label | None:
        if self.source.split != "train" and all(map(self.labels.marks_unlabelled, cells)):
            first = self.highest is None and self._unlabelled is None
            if first:
                self._unlabelled = []
            if self._unlabelled is not None:
                self._unlabelled.append(f"{name}:{line}")
                return None
        value = self._read(cells)
        if self._unlabelled:
            # The split began with -1 as if it had no labels, but it has some: then each -1 is a wrong label.
            for place in self._unlabelled:
                self.problems.add(
                    f"{place}: wrong {self.source.label}: expected {self.labels.expected()}, found '-1'; -1 stands for "
                    "no label only where every row of the split has it"
                )
            self._unlabelled = None
        number = float(len(value)) if isinstance(value, tuple) else value
        self.highest = number if self.highest is None else max(self.highest, number)
        return value

    def _read(self, cells: Sequence[Cell]) -> Label:
        if isinstance(self.labels, LabelSetReader):
            return self.labels.read_set(["" if cell is None else cell for cell in cells])
        (cell,) = cells
        assert cell is not None
        return self.labels.read(cell)

    def _leave_out(self, table: RawTable, line: int, cells: Sequence[Cell], label_at: Sequence[int]) -> None:
        source = self.source
        missing, wrong = [], []
        for column, cell in zip(source.text, cells, strict=False):
            if _is_empty(cell):
                missing.append(column)
            elif not isinstance(cell, str):
                wrong.append(f"{column}: expected text, found {shorten(cell, 30)}")
        if wrong:
            self.problems.add(f"{table.name}:{line}: {'; '.join(wrong)}")
            return
        if not self._may_be_empty:
            missing += [name for name, at in zip(source.label_columns, label_at, strict=False) if _is_empty(cells[at])]
        reason = f"no {' and no '.join(missing)}"
        if self.strict or source.split == "test":
            hint = "a test split must be whole" if source.split == "test" else "--strict allows no row to be skipped"
            self.problems.add(f'{table.name}:{line}: {reason} (task "{source.task.name}"); {hint}')
        else:
            self.skipped.append(Skipped(source.task.name, source.split, table.name, line, reason))

    def _id(self, name: str, line: int, cell: Cell) -> str | None:
        if isinstance(cell, bool | float):
            self.problems.add(f"{name}:{line}: {self.source.id}: expected text or a whole number, found {cell!r}")
            return None
        key = "" if cell is None else str(cell).strip()
        if self.source.fold_ids:
            key = key.lower()
        if not key:
            self.problems.add(f"{name}:{line}: no {self.source.id}; expected an id of its own for each row")
            return None
        place = f"{name}:{line}"
        first = self._seen.setdefault(key, place)
        if first is not place:
            self.problems.add(
                f"{place}: duplicate {self.source.id}: {shorten(key)} stands already at {first}; expected each id once"
            )
            return None
        return key

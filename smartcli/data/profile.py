"""What the columns of a file hold: numbers, names, sentences; from its first rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

from smartcli.data.joined import Joined, joined_names
from smartcli.data.labels import NUMBER
from smartcli.data.readers import Cell, Problems, open_table
from smartcli.data.readers.columns import INDEX, Form
from smartcli.data.readers.sniff import Sniffed
from smartcli.errors import UserError

ROWS = 5_000
"""Rows that are looked at."""
WORDS, LETTERS = 2.0, 12.0
"""From so many words or letters a cell on (mean), a column that is no number holds sentences."""
KEYED = ("jsonl", "parquet")
"""Formats whose cells may be lists and objects."""
ID_NAME = re.compile(
    r"unnamed: \d+|id|key|uid|guid|uuid|index|idx|nr|no|number|row|\w+[_ -](id|key|nr|no|number)", re.IGNORECASE
)
STAMP = re.compile(
    r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}([ T,]+\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?([AP]M|Z|[+-]\d{2}:?\d{2}))?)?"
    r"|\w+://\S+|www\.\S+|[^@\s]+@[^@\s]+\.\w+",
    re.IGNORECASE,
)
"""A date with or without a time, an address of a page, or one of mail: neither a sentence nor a label."""
CODE = re.compile(r"[!-~]*[\d_/\\:@][!-~]*")
"""A name such as T-0017 or photos/a.jpg, without spaces: no sentence, however long."""
COMMA = re.compile(r"[+-]?\d+(\.\d{3})*(,\d+)?")
EMPTY = frozenset({"nan", "n/a", "#n/a", "na", "null", "none", "nil", "-", "?"})
"""What programs write where a value is missing."""
COUNTED = 20
"""From so many rows on, whole numbers that all differ count something; they are no labels."""


@dataclass(frozen=True)
class Column:
    """A column's values in the rows looked at."""

    name: str
    rows: int
    filled: int
    values: tuple[str, ...]
    """Its different values, numbers by size and others by the alphabet."""
    most: tuple[str, int]
    """The most frequent value, and in how many rows it stands."""
    numbers: frozenset[str]
    """The values that are numbers."""
    numeric: bool
    whole: bool
    words: float
    """Mean words of a cell."""
    letters: float
    empty: tuple[str, ...]
    """The values by which programs mean that there is none; `values` has them where it holds no numbers."""
    stamps: bool
    """Whether it holds dates, or addresses."""
    codes: bool
    """Whether it holds names without spaces, such as T-0017."""
    comma: bool
    """Whether it holds numbers, some with a decimal comma."""

    @cached_property
    def joined(self) -> Joined | None:
        """How the names in its cells are joined, where several stand in one."""
        return None if self.numeric or self.comma or self.stamps else joined_names(self.values)

    @property
    def text(self) -> bool:
        """Whether it holds sentences."""
        several = len(self.values) > max(2, 0.3 * self.filled) or self.words >= 2 * WORDS
        plain = not (self.numeric or self.stamps or self.codes or self.comma or self.joined)
        return plain and several and (self.words >= WORDS or self.letters >= LETTERS)

    @property
    def identifier(self) -> bool:
        """Whether it names the rows: every value differs, none is missing, and its name or values say so."""
        distinct = self.filled == self.rows == len(self.values) and self.rows > 1
        return distinct and not self.text and bool(ID_NAME.fullmatch(self.name.strip()) or INDEX.fullmatch(self.name))

    @property
    def label(self) -> bool:
        """Whether it may hold labels: few different values, or numbers."""
        if self.identifier or self.text or self.stamps or len(self.values) < 2:
            return False
        if self.whole and len(self.values) == self.filled >= COUNTED:
            return False
        return (
            self.numeric
            or self.comma
            or self.joined is not None
            or len(self.values) <= max(2, min(100, self.filled // 2))
        )


@dataclass(frozen=True)
class Profile:
    """A file, how it is read, and its columns."""

    path: Path
    sniffed: Sniffed
    sheet: str | None
    rows: int
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


def profile(path: Path, sniffed: Sniffed, sheet: str | None = None) -> Profile:
    """Look at the first rows of a file; UserErrors as when it is read, and where it has no rows."""
    form = sniffed.form(sheet)
    found = _one_by_one(path, form) if sniffed.kind in KEYED else _all_at_once(path, form)
    rows = max((len(cells) for _, cells in found), default=0)
    if not rows:
        raise UserError(f"{path}: a header but no rows; expected rows with texts and labels")
    return Profile(path, sniffed, sheet, rows, tuple(column_of(name, cells) for name, cells in found))


def _all_at_once(path: Path, form: Form) -> list[tuple[str, list[Cell]]]:
    problems = Problems()
    with open_table(path, (), problems=problems, everything=True, form=form) as table:
        rows = [cells for _, cells in islice(table.rows, ROWS)]
    if not rows:
        problems.raise_if_any()
    return [(name, [row[place] for row in rows]) for place, name in enumerate(table.columns or table.header)]


def _one_by_one(path: Path, form: Form) -> list[tuple[str, list[Cell]]]:
    """Return the columns of plain cells, and those of lists of names; other lists and objects may stand beside them."""
    first, plain = Problems(), replace(form, joiner=None)
    with open_table(path, (), problems=first, form=form) as table:
        header = table.header
    found = {name: _cells(path, plain, name, first) for name in header}
    most = max(map(len, found.values()), default=0)
    if not most:
        first.raise_if_any()
    for name, cells in found.items():
        if len(cells) < most:
            lists = _cells(path, form, name, first)
            found[name] = lists if column_of(name, lists).joined is not None else cells
    return [(name, cells) for name, cells in found.items() if len(cells) == most]


def _cells(path: Path, form: Form, name: str, problems: Problems) -> list[Cell]:
    try:
        with open_table(path, (name,), problems=problems, form=form) as table:
            return [cells[0] for _, cells in islice(table.rows, ROWS)]
    except UserError:
        # A parquet file says at once that a column holds neither text nor numbers.
        if path.suffix.lower() != ".parquet":
            raise
        return []


def cells_of(path: Path, form: Form, name: str) -> list[Cell]:
    """Return a column's cells, of all rows that can be read."""
    with open_table(path, (name,), problems=Problems(), form=form) as table:
        return [cells[0] for _, cells in table.rows]


def column_of(name: str, cells: Sequence[Cell]) -> Column:
    """Return what a column's cells, one a row, amount to."""
    texts = [str(cell).strip() for cell in cells if cell is not None and str(cell).strip()]
    counts = Counter(texts)
    found = {text: number for text in counts if (number := _number(text)) is not None}
    empty = tuple(sorted(text for text in counts if text.casefold() in EMPTY))
    numeric = bool(found) and len(found) == len(counts) - len(empty)
    if numeric:
        # Beside numbers such a word is no value.
        counts = Counter({text: counts[text] for text in found})
    order = sorted(counts, key=lambda text: (found[text], text) if numeric else (0.0, text.casefold()))
    return Column(
        name=name,
        rows=len(cells),
        filled=len(texts),
        values=tuple(order),
        most=counts.most_common(1)[0] if counts else ("", 0),
        numbers=frozenset(found),
        numeric=numeric,
        whole=numeric and all(number == int(number) for number in found.values()),
        words=sum(len(text.split()) for text in texts) / max(1, len(texts)),
        letters=sum(map(len, texts)) / max(1, len(texts)),
        empty=empty,
        stamps=_mostly(STAMP, counts),
        codes=_mostly(CODE, counts),
        comma=not numeric and bool(counts) and all(map(COMMA.fullmatch, counts)),
    )


def _mostly(pattern: re.Pattern[str], values: Collection[str]) -> bool:
    return bool(values) and sum(bool(pattern.fullmatch(value)) for value in values) >= 0.9 * len(values)


def is_number(text: str) -> bool:
    return _number(text) is not None


def _number(text: str) -> float | None:
    number = float(text) if NUMBER.fullmatch(text) else None
    return number if number is not None and abs(number) < 1e15 else None

"""What the columns of a file hold: numbers, names, sentences; from its first rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from smartcli.data.readers import Cell, Problems, open_table
from smartcli.data.readers.columns import INDEX
from smartcli.data.readers.sniff import Sniffed

ROWS = 5_000
"""Rows that are looked at."""
WORDS, LETTERS = 2.0, 12.0
"""From so many words or letters a cell on (mean), a column that is no number holds sentences."""
ID_NAME = re.compile(r"(unnamed: \d+|id|key|uid|guid|uuid|index|idx|nr|no|row|\w+[_ -]id)", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """A column's values in the rows looked at."""

    name: str
    rows: int
    filled: int
    values: tuple[str, ...]
    """Its different values, numbers by size and others by the alphabet; at most ROWS."""
    numeric: bool
    whole: bool
    words: float
    """Mean words of a cell."""
    letters: float

    @property
    def text(self) -> bool:
        """Whether it holds sentences."""
        several = len(self.values) > max(2, 0.3 * self.filled) or self.words >= 2 * WORDS
        return not self.numeric and several and (self.words >= WORDS or self.letters >= LETTERS)

    @property
    def identifier(self) -> bool:
        """Whether it names the rows: every value differs, none is missing, and its name or values say so."""
        distinct = self.filled == self.rows == len(self.values) and self.rows > 1
        return distinct and not self.text and bool(ID_NAME.fullmatch(self.name.strip()) or INDEX.fullmatch(self.name))

    @property
    def label(self) -> bool:
        """Whether it may hold labels: few different values, or numbers."""
        if self.identifier or self.text or len(self.values) < 2:
            return False
        return self.numeric or len(self.values) <= max(2, min(100, self.filled // 2))


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
    """Look at the first rows of a file; UserErrors as when it is read."""
    problems = Problems()
    with open_table(path, (), problems=problems, everything=True, form=sniffed.form(sheet)) as table:
        rows = [cells for _, cells in islice(table.rows, ROWS)]
        header = table.header
        names = table.columns or header
    if sniffed.kind in ("jsonl", "parquet"):
        with open_table(path, header, problems=Problems(), form=sniffed.form(sheet)) as table:
            rows, names = [cells for _, cells in islice(table.rows, ROWS)], table.columns
    columns = tuple(_column(name, [row[place] for row in rows]) for place, name in enumerate(names))
    return Profile(path, sniffed, sheet, len(rows), columns)


def _column(name: str, cells: Sequence[Cell]) -> Column:
    texts = [str(cell).strip() for cell in cells if cell is not None and str(cell).strip()]
    numbers = [_number(text) for text in texts]
    numeric = bool(texts) and None not in numbers
    found = set(texts)
    order = sorted(found, key=lambda text: (_number(text) or 0.0, text) if numeric else (0.0, text.casefold()))
    return Column(
        name=name,
        rows=len(cells),
        filled=len(texts),
        values=tuple(order),
        numeric=numeric,
        whole=numeric and all(number is not None and number == int(number) for number in numbers),
        words=sum(len(text.split()) for text in texts) / max(1, len(texts)),
        letters=sum(map(len, texts)) / max(1, len(texts)),
    )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < 1e15 else None

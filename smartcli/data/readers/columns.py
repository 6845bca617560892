"""Which of a file's columns are needed, how it is to be read, and what is wrong with its header."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from smartcli.data.readers.problems import shorten
from smartcli.errors import UserError, suggest
from smartcli.visible import visible

INDEX = re.compile(r"\s*(\d+(\.\d+)?)?\s*", re.ASCII)
"""A column without a name or named by a bare number is an index and may repeat."""

UNNAMED = re.compile(r"Unnamed: (\d{1,6})", re.ASCII)
"""What pandas calls a column without a name."""


@dataclass(frozen=True)
class Form:
    """How a file is to be read where it is declared: None leaves it open."""

    delimiters: tuple[str, ...] | None = None
    """Of csv files: the one that was declared, or those to choose from."""
    encoding: str | None = None
    sheet: str | None = None
    joiner: str | None = None
    """What joins the names of a cell that is a list, in JSON lines and parquet; None where lists are wrong."""
    lists: str | None = None
    """The one column that may hold lists; None for any."""

    def join_list(self, column: str, cell: object) -> object:
        """Return a list of names or numbers as one text; ValueError where a name holds the joiner; else the cell."""
        if not isinstance(cell, list) or self.joiner is None or self.lists not in (None, column):
            return cell
        if not all(isinstance(item, str | int) and not isinstance(item, bool) for item in cell):
            return cell
        names = [str(item) for item in cell]
        for name in names:
            if self.joiner in name:
                raise ValueError(f'"{column}" has the label {shorten(name, 30)}, which holds {self.joiner!r} itself')
        return self.joiner.join(names)


PLAIN = Form()


@dataclass(frozen=True)
class Wanted:
    """Columns to read: `needed` must be there, `optional` are read where they are; None needs every column."""

    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()
    everything: bool = False

    def choose(self, header: Sequence[str], where: str) -> tuple[str, ...]:
        """Return the columns to read, in order; a UserError says which are missing or stand twice."""
        missing = [name for name in self.needed if name not in header]
        if missing:
            word = "column" if len(missing) == 1 else "columns"
            names = ", ".join(f'"{name}"' for name in missing)
            near = _nameless(missing, header) or visible(suggest(missing[0], header))
            raise UserError(f"{where}: missing {word} {names}; found {_listed(header)}{near}")
        repeated = [name for name, n in Counter(header).items() if n > 1]
        wrong = [name for name in repeated if not INDEX.fullmatch(name) or name in (*self.needed, *self.optional)]
        if wrong:
            raise UserError(f"{where}: the column {shorten(wrong[0])} stands twice; each name may stand once")
        if self.everything:
            return tuple(header)
        return tuple(name for name in (*self.needed, *self.optional) if name in header)

    def score(self, header: Sequence[str]) -> tuple[int, int]:
        """Return how well a header fits: needed columns that it has, then optional ones."""
        present = set(header)
        return sum(name in present for name in self.needed), sum(name in present for name in self.optional)


def _nameless(missing: Sequence[str], header: Sequence[str]) -> str:
    """Return what to do where a missing column is pandas' name for one without a name."""
    for name in missing:
        found = UNNAMED.fullmatch(name)
        if found and int(found[1]) < len(header) and not header[int(found[1])].strip():
            number = int(found[1]) + 1
            return f"; column {number} has no name in the file ({name} is pandas' word for it): write one there"
    return ""


def _listed(header: Sequence[str], most: int = 12) -> str:
    names = ", ".join(shorten(name, 30) for name in header[:most])
    return f"{names}, … ({len(header):,} columns)" if len(header) > most else names or "no columns"

"""Excel's xlsx files: one sheet as a table, its first row the header; formulas as the values that Excel stored."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, BinaryIO

from smartcli.data.readers.columns import Form, Wanted
from smartcli.data.readers.problems import Problems
from smartcli.errors import UserError, suggest

LOOKED_AT = 20
"""Rows in which the header is sought."""

Cell = str | int | float | bool | None
Rows = Iterator[tuple[int, Sequence[Cell]]]


def read_sheet(
    stream: BinaryIO, name: str, wanted: Wanted, problems: Problems, form: Form
) -> tuple[tuple[str, ...], tuple[str, ...], Rows]:
    """Return the header, the columns to read, and the rows (row number, cells of these columns).

    The header is the first row, or the one below a title: rows of one cell at most, above a row of names that is as
    wide as any. A cell that is a date or a time is its text in ISO form. UserErrors: no xlsx file, several sheets and
    none named.
    """
    rows = _sheet(_book(stream, name), name, form.sheet).iter_rows(values_only=True)
    first = list(islice(rows, LOOKED_AT))
    at = _header_at(first, wanted)
    header = _names(first[at]) if first else ()
    if not header:
        raise UserError(f"{name}:1: the sheet is empty; expected a header with column names, then rows")
    columns = wanted.choose(header, f"{name}:{at + 1}")
    places = list(range(len(header))) if wanted.everything else [header.index(column) for column in columns]
    return header, columns, _rows(chain(first[at + 1 :], rows), at + 2, name, places, problems)


def _names(row: Sequence[Any]) -> tuple[str, ...]:
    names = tuple("" if cell is None else str(cell) for cell in row)
    while names and not names[-1]:
        names = names[:-1]
    return names


def _header_at(rows: Sequence[Sequence[Any]], wanted: Wanted) -> int:
    """Return where the header stands among a sheet's first rows: at 0, unless a title stands above it."""
    filled = [[cell for cell in row if cell is not None and str(cell).strip()] for row in rows]
    widest = max(map(len, filled), default=0)
    if not filled or (wanted.needed and set(wanted.needed) <= set(_names(rows[0]))):
        return 0
    for at, cells in enumerate(filled):
        if len(cells) > 1:
            named = all(isinstance(cell, str) for cell in cells) and len(set(cells)) == len(cells) == widest
            return at if named else 0
    return 0


def sheet_names(stream: BinaryIO, name: str) -> tuple[str, ...]:
    """Return the sheets that hold any cell; UserError where the stream is no xlsx file."""
    return tuple(_filled(_book(stream, name)))


def _book(stream: BinaryIO, name: str) -> Any:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise UserError(
            f"{name}: xlsx files need openpyxl; install it with: pip install 'smart-finetune[excel]', or save the "
            "sheet as csv"
        ) from None
    try:
        return load_workbook(stream, read_only=True, data_only=True)
    except Exception as error:  # the library lets zipfile's, xml's and KeyErrors of damaged files through
        raise UserError(f"{name}: not a readable xlsx file: {(str(error) or repr(error)).splitlines()[0]}") from None


def _filled(book: Any) -> dict[str, Any]:
    return {sheet.title: sheet for sheet in book.worksheets if next(sheet.iter_rows(values_only=True), None)}


def _sheet(book: Any, name: str, wanted: str | None) -> Any:
    sheets = _filled(book)
    names = ", ".join(f'"{title}"' for title in sheets) or "none"
    if wanted is not None:
        if wanted not in sheets:
            raise UserError(f'{name}: there is no sheet "{wanted}"; found {names}{suggest(wanted, list(sheets))}')
        return sheets[wanted]
    if len(sheets) != 1:
        first = next(iter(sheets), "NAME")
        raise UserError(
            f'{name}: expected one sheet, found {names}; say which with sheet = "{first}" for this task in tasks.toml'
        )
    return next(iter(sheets.values()))


def _rows(rows: Iterable[tuple[Any, ...]], start: int, name: str, places: Sequence[int], problems: Problems) -> Rows:
    for number, row in enumerate(rows, start):
        cells = [_plain(row[place]) if place < len(row) else None for place in places]
        if all(cell is None for cell in row):
            continue  # Excel keeps rows that once held something.
        if any(isinstance(cell, str) and "\0" in cell for cell in cells):
            problems.add(f"{name}:{number}: found a NUL character; expected text")
        else:
            yield number, cells


def _plain(cell: Any) -> Cell:
    if isinstance(cell, datetime.datetime | datetime.date | datetime.time):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)  # Excel has no whole numbers of its own.
    return cell if cell is None or isinstance(cell, str | int | float | bool) else str(cell)

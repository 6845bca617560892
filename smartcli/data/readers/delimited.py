"""CSV and TSV, strictly: the csv module's rules, plus what it and pandas read over.

A row is named by the physical line on which it starts, newlines inside quoted fields counted.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, BinaryIO

from smartcli.counts import counted
from smartcli.data.readers.columns import PLAIN, Form, Wanted
from smartcli.data.readers.lines import BadBytes, text_lines
from smartcli.data.readers.problems import Problems
from smartcli.errors import UserError

CELL_LIMIT = 2**31 - 1
HEADER_LINES = 50
DELIMITERS = {"\t": "tab", ",": "comma"}
"""Those that are found without being declared."""
OTHERS = {";": "semicolon", "|": "vertical bar", ":": "colon", " ": "space"}

Rows = Iterator[tuple[int, Sequence[str]]]


def read_delimited(
    stream: BinaryIO, name: str, wanted: Wanted, problems: Problems, form: Form = PLAIN
) -> tuple[tuple[str, ...], tuple[str, ...], Rows, str]:
    """Return header, columns to read, the rows (line, cells of these columns) and the delimiter.

    The delimiter is what `form` declares, else tab or comma, whichever splits the header into the wanted columns.
    Rows with a wrong number of fields go to `problems`; what makes the rest of a file unreadable is a UserError.
    """
    csv.field_size_limit(CELL_LIMIT)
    lines = text_lines(stream, form.encoding)
    head, header, delimiter = _header(lines, name, wanted, form.delimiters or tuple(DELIMITERS))
    if form.delimiters is None:
        _check_delimiter(head, header, name, wanted)
    columns = wanted.choose(header, f"{name}:1")
    places = list(range(len(header))) if wanted.everything else [header.index(column) for column in columns]
    reader = csv.reader(chain(head, lines), delimiter=delimiter, strict=True)
    next(reader)
    return tuple(header), columns, _rows(reader, name, len(header), places, delimiter, problems), delimiter


def _check_delimiter(head: list[str], header: list[str], name: str, wanted: Wanted) -> None:
    """Raise a UserError where another delimiter finds the wanted columns, and this one does not."""
    for other, word in OTHERS.items():
        with contextlib.suppress(csv.Error):
            found = next(csv.reader(head, delimiter=other, strict=True), [])
            if len(found) > len(header) and wanted.score(found) > wanted.score(header):
                raise UserError(f'{name}:1: this looks separated by {word}s; write delimiter = "{other}" in tasks.toml')


def _header(
    lines: Iterator[str], name: str, wanted: Wanted, delimiters: Sequence[str]
) -> tuple[list[str], list[str], str]:
    head: list[str] = []
    likely = sorted(delimiters, key=lambda d: (d == ",") == name.lower().endswith(".tsv"))
    reason: csv.Error | None = None
    try:
        for line in lines:
            head.append(line)
            found = []
            for delimiter in likely:
                try:
                    found.append((next(csv.reader(head, delimiter=delimiter, strict=True), []), delimiter))
                except csv.Error as error:
                    reason = error
            if found:
                header, delimiter = max(found, key=lambda pair: (wanted.score(pair[0]), _fits(pair, likely)))
                if not header:
                    raise UserError(f"{name}:1: an empty line; expected the header with {_names(wanted)}")
                return head, header, delimiter
            if len(head) == HEADER_LINES:
                break
    except BadBytes as error:
        raise UserError(_bad_bytes(error, name, 1)) from None
    if reason is not None:
        raise UserError(f"{name}:1: {_reason(reason, ',')}")
    raise UserError(f"{name}:1: the file is empty; expected a header with {_names(wanted)}, then rows")


def _word(delimiter: str) -> str:
    return (DELIMITERS | OTHERS).get(delimiter, repr(delimiter))


def _fits(pair: tuple[list[str], str], likely: list[str]) -> tuple[bool, bool]:
    return len(pair[0]) > 1, pair[1] == likely[0]


def _names(wanted: Wanted) -> str:
    return "the columns " + ", ".join(f'"{column}"' for column in wanted.needed) if wanted.needed else "column names"


def _rows(reader: Any, name: str, width: int, places: list[int], delimiter: str, problems: Problems) -> Rows:
    last = places[-1]
    # One place alone would come without its tuple.
    pick = itemgetter(*places) if len(places) > 1 else itemgetter(slice(last, last + 1))
    start = reader.line_num + 1
    blank = 0
    try:
        for row in reader:
            at, start = start, reader.line_num + 1
            if not row:
                blank = blank or at
                continue
            if blank:
                problems.add(
                    f"{name}:{blank}: an empty line between rows; expected {counted(width, 'field')}; remove the line"
                )
                blank = 0
            if len(row) != width:
                problems.add(
                    f"{name}:{at}: expected {counted(width, 'field')} as in the header, found {len(row):,}; "
                    f"quote a field that holds a {_word(delimiter)}"
                )
                continue
            if start - at > 2 and delimiter == "\t" and _holds_rows(row, width):
                problems.add(
                    f"{name}:{at}: a quoted field runs on to line {start - 1} and holds whole rows; "
                    "close the quote, or double it where it belongs to the text"
                )
                continue
            yield at, pick(row)
    except BadBytes as error:
        raise UserError(_bad_bytes(error, name, start)) from None
    except csv.Error as error:
        raise UserError(f"{name}:{start}: {_reason(error, delimiter)}") from None


def _holds_rows(row: list[str], width: int) -> bool:
    # A stray quote at the start of one field and another at the end of a later one swallow the rows between.
    return width > 2 and any(
        line.count("\t") == width - 1 for cell in row if "\n" in cell for line in cell.split("\n")[1:-1]
    )


def _bad_bytes(error: BadBytes, name: str, start: int) -> str:
    inside = f" (on line {error.line})" if error.line != start else ""
    return f"{name}:{start}: {error.reason}{inside}"


def _reason(error: csv.Error, delimiter: str) -> str:
    text = str(error)
    if "unexpected end" in text:
        return "a quoted field is not closed before the file ends; close the quote, or double it inside the field"
    if "expected after" in text:
        return (
            f"text after a closing quote; expected a {_word(delimiter)} or the end of the line; "
            'a quote inside a quoted field must be doubled ("")'
        )
    if "new-line character" in text:
        return "a carriage return outside quotes; expected lines that end in LF or CRLF"
    return f"not readable as CSV: {text}"

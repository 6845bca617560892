"""Rows to label, from a file or a stream: every column kept, the task's texts checked."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartcli.data.readers import FORMATS, Problems, RawTable, open_stream, open_table
from smartcli.data.readers.columns import Form, Wanted
from smartcli.data.readers.lines import NAMES, UTF16, guess_encoding, unmarked_utf16
from smartcli.data.readers.sheet import sheet_names
from smartcli.errors import UserError
from smartcli.tasks import Task

ANY_DELIMITER = (",", "\t", ";", "|")
"""Whichever splits the header into the task's columns: what is labelled need not be declared."""
WHOLE = ("csv", "xlsx")
"""Formats whose rows are read with all their cells."""
STREAM = "-"
"""The name of stdin and stdout in options."""
STDIN = "stdin"
NEWLINE = b"\n"


@dataclass(frozen=True)
class RowsToLabel:
    """Rows to label: `columns` and `rows` as they came, `texts` one or two a row; `kind` is csv, jsonl or parquet."""

    name: str
    kind: str
    columns: tuple[str, ...]
    rows: list[Sequence[Any]]
    """Cells in the order of `columns`; for jsonl each row is the object itself, in a list of one."""
    texts: list[tuple[str, ...]]
    """Of a row without a text an empty tuple."""
    delimiter: str = ","
    empty: tuple[str, ...] = ()
    """Where rows without a text stand, as `file:line`."""

    def __len__(self) -> int:
        return len(self.texts)


def read_inputs(
    source: Path | bytes, task: Task, encoding: str | None = None, *, allow_empty: bool = False
) -> RowsToLabel:
    """Read rows for a task from a file, or from the bytes of stdin, whose format is seen from its start.

    `encoding` is that of its text where the caller says so.

    A UserError lists the `file:line` of every fault. A row without one of the task's texts is one too; with
    `allow_empty` it is kept, listed in `empty`, and only where no row has its texts is that an error.
    """
    problems = Problems()
    with _opened(source, task.text, problems, _form(source, task, encoding)) as (table, kind):
        inputs = _read(table, kind, task, problems, source, allow_empty)
    problems.raise_if_any()
    if not inputs.rows:
        raise UserError(f"{inputs.name}: a header but no rows; expected rows to label")
    if not any(inputs.texts):
        columns = " and ".join(f'"{column}"' for column in task.text)
        raise UserError(f"{inputs.name}: no row has a text in {columns}; expected a sentence in each")
    return inputs


def columns_of(source: Path | bytes, task: Task, encoding: str | None = None) -> tuple[str, ...]:
    """Return the columns of a file, or of the bytes of stdin, read as rows for `task` are.

    Of JSON lines these are the keys of the first object. UserError where the rows cannot be read so.
    """
    with _opened(source, (), Problems(), _form(source, task, encoding)) as (table, _):
        return table.header


def _form(source: Path | bytes, task: Task, said: str | None) -> Form:
    kind = FORMATS.get(source.suffix.lower()) if isinstance(source, Path) else _kind_of(source)
    there = isinstance(source, bytes) or source.is_file()
    encoding = said or (_encoding_of(source, task) if there and kind in ("csv", "jsonl") else None)
    sheet = _sheet_of(source, task) if there and kind == "xlsx" and isinstance(source, Path) else None
    return Form(ANY_DELIMITER, encoding, sheet)


def _sheet_of(source: Path, task: Task) -> str | None:
    """Return the sheet that the task's own files have, unless this one has but one sheet, of whatever name."""
    with source.open("rb") as stream:
        names = sheet_names(stream, str(source))
    if task.sheet is None and len(names) > 1:
        found = ", ".join(f'"{name}"' for name in names)
        raise UserError(f"{source}: expected one sheet, found {found}; keep the one to label, or save it as csv")
    return None if len(names) == 1 else task.sheet


def _encoding_of(source: Path | bytes, task: Task) -> str | None:
    """Return None for UTF-8; else UTF-16 where the text says so itself, or what the task's own files have."""
    raw = source if isinstance(source, bytes) else source.read_bytes()
    if raw.startswith(UTF16):
        return "utf-16"
    if (found := unmarked_utf16(raw)) is not None:
        return found
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if task.encoding is not None:
            return task.encoding
        name = STDIN if isinstance(source, bytes) else source
        line, byte = raw.count(NEWLINE, 0, error.start) + 1, raw[error.start]
        guess = guess_encoding(raw) or ""
        raise UserError(
            f"{name}:{line}: expected UTF-8 text, found byte 0x{byte:02x}; it reads as {NAMES[guess]}: say --encoding "
            f"{guess}, or save the file as UTF-8"
        ) from None
    return None


@contextlib.contextmanager
def _opened(
    source: Path | bytes, needed: Sequence[str], problems: Problems, form: Form
) -> Iterator[tuple[RawTable, str]]:
    """Open a file or the bytes of stdin for reading the `needed` columns, of csv and xlsx all; and yield the kind."""
    if isinstance(source, bytes):
        kind = _kind_of(source)
        wanted = Wanted(tuple(needed), everything=kind == "csv")
        yield open_stream(io.BytesIO(source), STDIN, kind, wanted, problems, form), kind
        return
    kind = FORMATS.get(source.suffix.lower(), "")
    with open_table(source, needed, problems=problems, everything=kind in WHOLE, form=form) as table:
        yield table, kind


def _kind_of(raw: bytes) -> str:
    if raw.startswith(b"PAR1"):
        return "parquet"
    return "jsonl" if raw[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") else "csv"


def _read(
    table: RawTable, kind: str, task: Task, problems: Problems, source: Path | bytes, allow_empty: bool
) -> RowsToLabel:
    at = [table.columns.index(column) for column in task.text]
    lines: list[int] = []
    rows: list[Sequence[Any]] = []
    texts: list[tuple[str, ...]] = []
    empty: list[str] = []
    for line, cells in table.rows:
        own = [cells[i] for i in at]
        left_out = allow_empty and any(_is_empty(cell) for cell in own)
        found = () if left_out else _texts(table.name, line, own, task, problems)
        if found or left_out:
            empty += [f"{table.name}:{line}"] if left_out else []
            texts.append(found)
            lines.append(line)
            if kind in WHOLE:
                rows.append(cells)
    columns = table.header
    if kind == "jsonl":
        rows, columns = _objects(source, lines)
    elif kind == "parquet":
        columns, rows = _parquet(source)
    return RowsToLabel(table.name, kind, columns, rows, texts, table.delimiter or ",", tuple(empty))


def _is_empty(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _texts(name: str, line: int, cells: Sequence[Any], task: Task, problems: Problems) -> tuple[str, ...]:
    for column, cell in zip(task.text, cells, strict=True):
        if _is_empty(cell):
            problems.add(f'{name}:{line}: no text in "{column}"; expected a sentence in every row')
            return ()
        if isinstance(cell, bool):
            problems.add(f'{name}:{line}: "{column}" is {cell!r}; expected a sentence')
            return ()
    return tuple(str(cell) for cell in cells)


def _objects(source: Path | bytes, lines: Iterable[int]) -> tuple[list[Sequence[Any]], tuple[str, ...]]:
    """Return the objects on the given lines whole, nested values too, and all their keys in order."""
    raw = (source if isinstance(source, bytes) else source.read_bytes()).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    objects = [json.loads(raw[line - 1]) for line in lines]
    return [[found] for found in objects], tuple(dict.fromkeys(key for found in objects for key in found))


def _parquet(source: Path | bytes) -> tuple[tuple[str, ...], list[Sequence[Any]]]:
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(source) if isinstance(source, bytes) else source)
    return tuple(table.column_names), list(zip(*(column.to_pylist() for column in table.columns), strict=True))

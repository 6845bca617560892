"""One way in for every file format: named columns of a file, row by row, each with its line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from smartcli.data.readers.columns import PLAIN, Form, Wanted
from smartcli.data.readers.delimited import read_delimited
from smartcli.data.readers.jsonlines import read_json_lines
from smartcli.data.readers.parquet import read_parquet
from smartcli.data.readers.problems import Problems
from smartcli.data.readers.sheet import read_sheet
from smartcli.errors import UserError

FORMATS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
FORMATS |= {".xlsx": "xlsx"}

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class RawTable:
    """A file's wanted columns; `rows` yields (line, cells in the order of `columns`) once."""

    name: str
    """The path as messages show it."""
    header: tuple[str, ...]
    """Every column of the file."""
    columns: tuple[str, ...]
    """The wanted ones that it has."""
    rows: Iterator[tuple[int, Sequence[Cell]]]
    delimiter: str | None = None
    guessed: bool = False
    """Whether the program that wrote the file chose its cells' types, as Excel does: a number may be a text."""


@contextlib.contextmanager
def open_table(
    path: Path,
    needed: Sequence[str],
    optional: Sequence[str] = (),
    *,
    problems: Problems,
    everything: bool = False,
    form: Form = PLAIN,
) -> Iterator[RawTable]:
    """Open a .csv, .tsv, .jsonl, .parquet or .xlsx file for reading its `needed` and `optional` columns.

    What is wrong with single rows goes to `problems`; a file that cannot be read (missing, a folder,
    another encoding, a column missing, a quote not closed) is a UserError that names file and line.
    With `everything` the rows hold all columns.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        old = "; save it as .xlsx or .csv" if path.suffix.lower() in (".xls", ".xlsb", ".xlsm", ".ods") else ""
        raise UserError(f"{path}: unknown kind of file; expected one of {', '.join(FORMATS)}{old}")
    try:
        if path.is_dir():
            raise UserError(f"{path}: a folder; expected a file")
        if not path.is_file():
            exists = path.exists()
            raise UserError(f"{path}: {'not a plain file' if exists else 'no such file'}; expected a {kind} file")
        with path.open("rb") as stream:
            yield open_stream(
                stream, str(path), kind, Wanted(tuple(needed), tuple(optional), everything), problems, form
            )
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def open_stream(
    stream: BinaryIO, name: str, kind: str, wanted: Wanted, problems: Problems, form: Form = PLAIN
) -> RawTable:
    """Read an open binary stream of the given kind: csv, jsonl, parquet or xlsx."""
    if kind == "xlsx":
        return RawTable(name, *read_sheet(stream, name, wanted, problems, form), guessed=True)
    if kind == "parquet":
        return RawTable(name, *read_parquet(stream, name, wanted, problems, form))
    if kind == "jsonl":
        return RawTable(name, *read_json_lines(stream, name, wanted, problems, form))
    return RawTable(name, *read_delimited(stream, name, wanted, problems, form))

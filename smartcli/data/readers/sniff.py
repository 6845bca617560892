"""How an unknown file is to be read: its format, delimiter, encoding and sheets, from its first bytes."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from smartcli.data.readers.columns import Form
from smartcli.data.readers.lines import guess_encoding
from smartcli.data.readers.sheet import sheet_names
from smartcli.data.readers.table import FORMATS
from smartcli.errors import UserError

SAMPLE = 1 << 18
"""Bytes that are looked at."""
DELIMITERS = (",", "\t", ";", "|")
LINES = 50


@dataclass(frozen=True)
class Sniffed:
    """What a file looks like; None where the usual holds (comma or tab, UTF-8) or nothing of the kind is asked."""

    kind: str
    delimiter: str | None = None
    encoding: str | None = None
    sheets: tuple[str, ...] = ()

    def form(self, sheet: str | None = None) -> Form:
        """Return how to read it, with `sheet` or its only one."""
        only = self.sheets[0] if len(self.sheets) == 1 else None
        return Form((self.delimiter,) if self.delimiter else None, self.encoding, sheet or only)


def sniff(path: Path) -> Sniffed:
    """Look at a file; a UserError says what is not a table of a known kind."""
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise UserError(f"{path}: unknown kind of file; expected one of {', '.join(FORMATS)}")
    try:
        with path.open("rb") as stream:
            if kind == "xlsx":
                return Sniffed(kind, sheets=sheet_names(stream, str(path)))
            raw = stream.read(SAMPLE)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    if kind == "parquet":
        return Sniffed(kind)
    if len(raw) == SAMPLE:
        # A letter must not be cut in half.
        raw = raw[: raw.rfind(b"\n") + 1] or raw
    encoding = guess_encoding(raw)
    if kind == "jsonl":
        return Sniffed(kind, encoding=encoding)
    found = _delimiter(raw.decode(encoding or "utf-8-sig", "replace").removeprefix("\ufeff"))
    return Sniffed(kind, None if found in (",", "\t") else found, encoding)


def _delimiter(text: str) -> str:
    """Return the delimiter that splits most lines into the same number of fields, above one."""
    best, chosen = (0.0, 0), ","
    for delimiter in DELIMITERS:
        try:
            rows = [
                row for row, _ in zip(csv.reader(io.StringIO(text), delimiter=delimiter), range(LINES), strict=False)
            ]
        except csv.Error:
            continue
        rows = [row for row in rows if row]
        if not rows or len(rows[0]) < 2:
            continue
        alike = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        if (alike, len(rows[0])) > best:
            best, chosen = (alike, len(rows[0])), delimiter
    return chosen

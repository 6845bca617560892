"""How an unknown file is to be read: its format, delimiter, encoding and sheets."""

from __future__ import annotations

import codecs
import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from smartcli.data.readers.columns import Form
from smartcli.data.readers.lines import BLOCK, guess_encoding, unmarked_utf16
from smartcli.data.readers.sheet import sheet_names
from smartcli.data.readers.table import FORMATS
from smartcli.errors import UserError

SAMPLE = 1 << 18
"""Bytes that are looked at for a delimiter."""
DELIMITERS = (",", "\t", ";", "|")
USUAL = (",", "\t", None)
LINES = 50
JOINER = "|"
"""Joins the names of cells that are lists, while it is looked what they are."""


@dataclass(frozen=True)
class Sniffed:
    """What a file looks like; None where the usual holds (comma or tab, UTF-8) or nothing of the kind is asked."""

    kind: str
    delimiter: str | None = None
    encoding: str | None = None
    sheets: tuple[str, ...] = ()
    separator: str | None = None
    """Of csv files: what separates the fields, usual or not; None where every line holds one."""
    ascii: bool = False
    """Of text files: whether they read the same in (nearly) every encoding."""

    def form(self, sheet: str | None = None) -> Form:
        """Return how to read it, with `sheet` or its only one."""
        only = self.sheets[0] if len(self.sheets) == 1 else None
        return Form((self.separator,) if self.separator else None, self.encoding, sheet or only, JOINER)


def sniff(path: Path) -> Sniffed:
    """Look at a file; a UserError says what is not a table of a known kind."""
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise UserError(f"{path}: unknown kind of file; expected one of {', '.join(FORMATS)}")
    try:
        with path.open("rb") as stream:
            if kind == "xlsx":
                return Sniffed(kind, sheets=sheet_names(stream, str(path)))
            encoding, plain = _encoding(stream) if kind != "parquet" else (None, False)
            stream.seek(0)
            raw = stream.read(SAMPLE)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    if kind != "csv":
        return Sniffed(kind, encoding=encoding, ascii=plain)
    if len(raw) == SAMPLE:
        # A letter must not be cut in half.
        raw = raw[: raw.rfind(b"\n") + 1] or raw
    found = _delimiter(raw.decode(encoding or "utf-8-sig", "replace").removeprefix("\ufeff"))
    return Sniffed(kind, None if found in USUAL else found, encoding, separator=found, ascii=plain)


def _encoding(stream: BinaryIO) -> tuple[str | None, bool]:
    """Return what a whole file reads as (`guess_encoding`), and whether it is ASCII alone; by the block while UTF-8."""
    decoder, plain = codecs.getincrementaldecoder("utf-8")(), True
    first = True
    try:
        while block := stream.read(BLOCK):
            if first and (found := unmarked_utf16(block)) is not None:
                return found, False
            first = False
            plain = plain and block.isascii()
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        stream.seek(0)
        return guess_encoding(stream.read()), False
    return None, plain


def _delimiter(text: str) -> str | None:
    """Return the delimiter that splits most lines into the same number of fields, above one; None where none does."""
    best: tuple[float, int] = (0.0, 0)
    chosen = None
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

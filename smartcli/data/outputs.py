"""Labelled rows as a file: the input's columns, then what is answered."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartcli.data.rows_to_label import RowsToLabel
from smartcli.data.safe_csv import csv_text
from smartcli.errors import UserError
from smartcli.task_keys import delimiter_key, encoding_key

NO_TYPES: Mapping[str, type] = {}
SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


@dataclass(frozen=True)
class TextForm:
    """How CSV is written: its delimiter (None: a comma, or a tab in .tsv) and its encoding (None: UTF-8)."""

    delimiter: str | None = None
    encoding: str | None = None

    @classmethod
    def of(cls, delimiter: str | None, encoding: str | None) -> TextForm:
        """Check both; a UserError names the option."""
        spelt = "\t" if delimiter in ("tab", "\\t") else delimiter
        return cls(
            delimiter_key({"delimiter": spelt}, "--output-delimiter"),
            encoding_key({"encoding": encoding}, "--output-encoding"),
        )

    def check(self, kind: str, where: str) -> None:
        """Raise a UserError where a format has no such thing."""
        for option, value in (("--output-delimiter", self.delimiter), ("--output-encoding", self.encoding)):
            if value is not None and kind not in ("csv", "tsv"):
                raise UserError(f"{option} is for csv and tsv, and {where} is written as {kind}; leave it out")

    def encode(self, text: str, where: str) -> bytes:
        """Return text as bytes; a UserError names the first sign that the encoding lacks."""
        if self.encoding is None:
            return text.encode("utf-8", "replace")
        try:
            return text.encode(self.encoding)
        except UnicodeEncodeError as error:
            line = text.count("\n", 0, error.start) + 1
            raise UserError(
                f"--output-encoding {self.encoding} has no {text[error.start]!r}, which stands in line {line} of "
                f"{where}; utf-8-sig, which spreadsheets read too, has every sign"
            ) from None


UTF8 = TextForm()


def output_format(path: Path | None, inputs: RowsToLabel) -> str:
    """Return csv, tsv, jsonl or parquet: as the extension says, or for stdout (None) as the input is."""
    if path is None:
        if inputs.kind == "csv" and inputs.delimiter == "\t":
            return "tsv"
        return "csv" if inputs.kind in ("parquet", "xlsx") else inputs.kind
    return format_of(path)


def format_of(path: Path) -> str:
    """Return the format that a file's extension stands for; a UserError lists the known ones."""
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise UserError(
            f"--output {path}: unknown kind of file; expected one of {', '.join(SUFFIXES)}, or - for stdout"
        )
    return kind


def render(
    inputs: RowsToLabel,
    columns: Mapping[str, Sequence[Any]],
    kind: str,
    *,
    types: Mapping[str, type] = NO_TYPES,
    safe: bool = False,
    form: TextForm = UTF8,
) -> bytes:
    """Return the rows with `columns` behind their own, in a format; `form` says how CSV and TSV are written.

    `types` (str, int or float) says what a column of parquet holds, also where every value is None; where it is not
    named the values say so. `safe` guards CSV and TSV against spreadsheets.
    """
    names, added = list(columns), list(columns.values())
    extra = list(zip(*added, strict=True))
    if kind in ("csv", "tsv"):
        lines: list[Sequence[Any]] = [[*inputs.columns, *names]]
        lines += [[*map(_cell, row), *map(_empty, more)] for row, more in zip(_rows(inputs), extra, strict=True)]
        delimiter = form.delimiter or ("\t" if kind == "tsv" else ",")
        return form.encode(csv_text(lines, delimiter=delimiter, safe=safe), "the output")
    if kind == "jsonl":
        objects = (
            {**row, **dict(zip(names, more, strict=True))} for row, more in zip(_objects(inputs), extra, strict=True)
        )
        return "".join(json.dumps(found, ensure_ascii=False, default=str) + "\n" for found in objects).encode("utf-8")
    return _parquet(inputs, columns, types)


def _rows(inputs: RowsToLabel) -> list[Sequence[Any]]:
    if inputs.kind != "jsonl":
        return inputs.rows
    return [[row[0].get(column) for column in inputs.columns] for row in inputs.rows]


def _objects(inputs: RowsToLabel) -> list[dict[str, Any]]:
    if inputs.kind == "jsonl":
        return [row[0] for row in inputs.rows]
    keys = distinct(inputs.columns)
    return [dict(zip(keys, row, strict=True)) for row in inputs.rows]


def distinct(columns: Sequence[str]) -> list[str]:
    """Return column names that differ: index columns may repeat in CSV, keys of an object may not."""
    seen: set[str] = set()
    names = []
    for column in columns:
        name, number = column, 2
        while name in seen:
            name, number = f"{column}_{number}", number + 1
        seen.add(name)
        names.append(name)
    return names


def _empty(value: Any) -> Any:
    return "" if value is None else value


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list | bool) else value


def _parquet(inputs: RowsToLabel, added: Mapping[str, Sequence[Any]], types: Mapping[str, type]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    columns: list[Sequence[Any]] = list(zip(*_rows(inputs), strict=True))
    try:
        arrays = [pa.array(list(column)) for column in columns]
        arrays += [
            pa.array(list(column), arrow[types[name]] if name in types else None) for name, column in added.items()
        ]
    except pa.ArrowException as error:
        raise UserError(
            f"{inputs.name}: a column holds values of several types, which parquet cannot: {error}"
        ) from None
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays, names=[*distinct(inputs.columns), *added]), sink)
    return sink.getvalue()

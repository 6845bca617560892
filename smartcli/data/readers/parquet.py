"""Parquet files by row groups, so that a large file never stands in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from smartcli.data.readers.columns import PLAIN, Form, Wanted
from smartcli.data.readers.problems import Problems
from smartcli.errors import UserError

BATCH_ROWS = 64
"""Rows held at once: a small file may say a long text once and repeat it in every row."""

Cell = str | int | float | bool | None


def read_parquet(
    stream: BinaryIO, name: str, wanted: Wanted, problems: Problems, form: Form = PLAIN
) -> tuple[tuple[str, ...], tuple[str, ...], Iterator[tuple[int, Sequence[Cell]]]]:
    """Return the file's columns, the columns to read, and the rows (row number from 1, cells)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(stream)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{name}: not a readable parquet file: {str(error).splitlines()[0]}") from None
    header = tuple(schema.names)
    columns = wanted.choose(header, name)
    for column in columns:
        kind = schema.field(column).type
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        if form.joiner is not None and form.lists in (None, column) and _is_list(kind):
            value = kind.value_type
        plain = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_floating)
        if not any(check(value) for check in (*plain, pa.types.is_boolean, pa.types.is_null)):
            raise UserError(f'{name}: column "{column}" holds {kind}; expected text or numbers')
    return header, columns, _rows(file, name, columns, problems, form)


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _rows(
    file: Any, name: str, columns: tuple[str, ...], problems: Problems, form: Form
) -> Iterator[tuple[int, Sequence[Cell]]]:
    import pyarrow as pa

    row = 0
    try:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns), use_threads=False):
            values = [batch.column(column).to_pylist() for column in columns]
            for cells in zip(*values, strict=True):
                row += 1
                if any(isinstance(cell, list) for cell in cells):
                    try:
                        cells = tuple(map(form.join_list, columns, cells))
                    except ValueError as error:
                        problems.add(f"{name}:{row}: {error}; declare another labels_separator")
                        continue
                if any(isinstance(cell, str) and "\0" in cell for cell in cells):
                    problems.add(f"{name}:{row}: found a NUL character; expected text")
                else:
                    yield row, cells
    except UnicodeDecodeError:
        raise UserError(f"{name}:{row + 1}: expected UTF-8 text in this row or soon after it") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{name}:{row + 1}: not readable from here on: {str(error).splitlines()[0]}") from None

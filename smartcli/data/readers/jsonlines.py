"""JSON lines: one object a line; a key that is absent or null is a missing cell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from smartcli.data.readers.columns import PLAIN, Form, Wanted
from smartcli.data.readers.lines import BadBytes, text_lines
from smartcli.data.readers.problems import Problems
from smartcli.errors import UserError
from smartcli.strictjson import STRICT

Cell = str | int | float | bool | None


def read_json_lines(
    stream: BinaryIO, name: str, wanted: Wanted, problems: Problems, form: Form = PLAIN
) -> tuple[tuple[str, ...], tuple[str, ...], Iterator[tuple[int, Sequence[Cell]]]]:
    """Return the first object's keys, the columns to read, and the rows (line, cells of these columns)."""
    before = problems.count
    objects = _objects(stream, name, problems, form.encoding)
    first = next(objects, None)
    if first is None and problems.count > before:
        return (), wanted.needed, iter(())
    if first is None:
        raise UserError(f"{name}:1: the file is empty; expected one JSON object a line")
    header = tuple(first[1])
    columns = wanted.choose(header, f"{name}:{first[0]}")
    return header, columns, _rows(first, objects, name, columns, wanted, problems, form)


def _rows(
    first: tuple[int, dict[str, Any]],
    objects: Iterator[tuple[int, dict[str, Any]]],
    name: str,
    columns: tuple[str, ...],
    wanted: Wanted,
    problems: Problems,
    form: Form,
) -> Iterator[tuple[int, Sequence[Cell]]]:
    absent = [column for column in wanted.optional if column not in columns]
    item: tuple[int, dict[str, Any]] | None = first
    while item is not None:
        line, row = item
        late = next((column for column in absent if row.get(column) is not None), None)
        try:
            cells = [form.join_list(column, row.get(column)) for column in columns]
        except ValueError as error:
            problems.add(f"{name}:{line}: {error}; declare another labels_separator")
            item = next(objects, None)
            continue
        wrong = next((cell for cell in cells if isinstance(cell, dict | list)), None)
        if late is not None:
            problems.add(f'{name}:{line}: "{late}" stands here but not in the first row; expected it in all or in none')
        elif wrong is not None:
            problems.add(f"{name}:{line}: expected text or a number, found {json.dumps(wrong)[:60]}")
        elif any(isinstance(cell, str) and not _is_text(cell) for cell in cells):
            problems.add(f"{name}:{line}: found a NUL or half a surrogate pair; expected text")
        else:
            yield line, cells  # type: ignore[misc]
        item = next(objects, None)


def _is_text(cell: str) -> bool:
    if "\0" in cell:
        return False
    try:
        cell.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _objects(
    stream: BinaryIO, name: str, problems: Problems, encoding: str | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    blank = line = 0
    try:
        for line, text in enumerate(text_lines(stream, encoding), start=1):
            stripped = text.strip(" \t\r\n")
            if not stripped:
                blank = blank or line
                continue
            if blank:
                problems.add(f"{name}:{blank}: an empty line between rows; expected a JSON object; remove the line")
                blank = 0
            try:
                value = STRICT.decode(stripped)
                if not isinstance(value, dict):
                    raise ValueError(f"expected an object, found {type(value).__name__}")
            except RecursionError:
                problems.add(f"{name}:{line}: nested too deeply; expected one flat JSON object a line")
            except ValueError as error:
                problems.add(f"{name}:{line}: not a JSON object: {error}")
            else:
                yield line, value
    except BadBytes as error:
        raise UserError(f"{name}:{error.line}: {error.reason}") from None

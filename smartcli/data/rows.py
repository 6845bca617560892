"""Rows of one split as an Arrow IPC file: written in batches, read through a memory map."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from smartcli.atomic import FILE_MODE, explain_os_errors
from smartcli.disk import hash_file
from smartcli.errors import SmartCliError

BATCH_ROWS = 16_384
LETTERS = 1 << 22
"""Letters after which a batch ends all the same, so that long texts do not add up in memory."""
_SLICE = 64

T = TypeVar("T")
Label = float | tuple[int, ...]
"""A class number or a score; of a multilabel task the numbers of all classes that a row has."""
Row = tuple[str, tuple[str, ...], Label | None]
"""Id, one or two texts, label (None in a split without labels)."""


@dataclass(frozen=True)
class SplitSummary:
    """What stands in a split's file: rows, whether labelled, hash of the rows, size and SHA-256 of the file."""

    rows: int
    labelled: bool
    rows_hash: str
    size: int
    file_hash: str

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "labelled": self.labelled,
            "rows_sha256": self.rows_hash,
            "size": self.size,
            "file_sha256": self.file_hash,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SplitSummary:
        return cls(value["rows"], value["labelled"], value["rows_sha256"], value["size"], value["file_sha256"])


class SplitRows:
    """The rows of a split; the texts stay in the memory-mapped file until asked for."""

    def __init__(self, table: pa.Table, classes: int = 0) -> None:
        """Take a split's table; `classes` is C of a multilabel task (0: the classes that its rows have)."""
        self.ids: pa.ChunkedArray = table["id"]
        self.texts: tuple[pa.ChunkedArray, ...] = tuple(
            table[name] for name in table.column_names if name.startswith("text")
        )
        self.labels: np.ndarray | None = None
        """(n,) float64: class numbers or scores; of a multilabel task (n, C) int8: 1 for each label of a row, else 0.

        None where the split has none.
        """
        if "label" in table.column_names:
            column = table["label"]
            if pa.types.is_list(column.type):
                self.labels = _dense(column, classes)
            else:
                self.labels = np.ascontiguousarray(column.to_numpy(), dtype=np.float64)
            self.labels.setflags(write=False)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def sides(self) -> int:
        """Texts a row has: 1 or 2."""
        return len(self.texts)

    def id(self, row: int) -> str:
        return str(self.ids[row].as_py())

    def text(self, side: int, row: int) -> str:
        return str(self.texts[side][row].as_py())

    def id_list(self) -> list[str]:
        """Return all ids, in order."""
        return [str(value) for value in self.ids.to_pylist()]

    def all(self) -> Iterator[Row]:
        """Yield every row as it was written: id, texts, label or None."""
        ids = (str(value) for value in self.ids.to_pylist())
        labels: Iterable[Label | None] = repeat(None)
        if self.labels is not None and self.labels.ndim == 2:
            labels = (tuple(np.flatnonzero(row).tolist()) for row in self.labels)
        elif self.labels is not None:
            labels = map(float, self.labels)
        columns = [self.batches(side) for side in range(self.sides)]
        texts = (row for batch in zip(*columns, strict=True) for row in zip(*batch, strict=True))
        yield from zip(ids, texts, labels, strict=False)

    def batches(self, side: int, size: int = BATCH_ROWS) -> Iterator[list[str]]:
        """Yield the texts of one side in order, at most `size` at a time, and fewer where they are long."""
        slices = (self.texts[side].slice(start, _SLICE).to_pylist() for start in range(0, len(self), _SLICE))
        return _in_batches((text for part in slices for text in part), len, size)


def _dense(column: pa.ChunkedArray, classes: int) -> np.ndarray:
    """Return lists of class numbers as (n, C) int8 of 0 and 1."""
    numbers = column.combine_chunks()
    if isinstance(numbers, pa.ChunkedArray):
        numbers = pa.concat_arrays(numbers.chunks) if numbers.num_chunks else pa.array([], type=column.type)
    flat = numbers.flatten().to_numpy(zero_copy_only=False)
    sizes = numbers.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    out = np.zeros((len(sizes), classes or int(flat.max(initial=-1)) + 1), dtype=np.int8)
    out[np.repeat(np.arange(len(sizes)), sizes), flat] = 1
    return out


def write_rows(path: Path, rows: Iterable[Row], sides: int, labelled: bool) -> SplitSummary:
    """Write `rows` to `path` batch by batch and return its summary; the hash does not depend on batches."""
    fields = [("id", pa.string()), *((f"text{side}", pa.string()) for side in range(sides))]
    rows = iter(rows)
    first = next(rows, None)
    rows = rows if first is None else chain([first], rows)
    if labelled:
        several = first is not None and isinstance(first[2], tuple)
        fields.append(("label", pa.list_(pa.int32()) if several else pa.float64()))
    schema = pa.schema(fields)
    digest = hashlib.sha256()
    count = needed = 0
    with explain_os_errors(path, "write"):
        sink = pa.OSFile(str(path), "wb")
        try:
            writer = pa.ipc.new_file(sink, schema)
            for batch in _in_batches(rows, lambda row: sum(map(len, row[1])), BATCH_ROWS):
                digest.update(hash_form(batch))
                record = _record(batch, schema, sides, labelled)
                needed += record.nbytes
                with explain_os_errors(path, "write", needed=needed):
                    writer.write_batch(record)
                count += len(batch)
            writer.close()
        finally:
            with suppress(OSError):
                sink.close()
    path.chmod(FILE_MODE)
    return SplitSummary(count, labelled, digest.hexdigest(), path.stat().st_size, hash_file(path))


def _record(batch: list[Row], schema: pa.Schema, sides: int, labelled: bool) -> pa.RecordBatch:
    columns: list[Sequence[Any]] = [[row[0] for row in batch]]
    columns += [[row[1][side] for row in batch] for side in range(sides)]
    if labelled:
        columns.append([row[2] for row in batch])
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema)


def _in_batches(items: Iterable[T], letters: Callable[[T], int], size: int) -> Iterator[list[T]]:
    batch: list[T] = []
    held = 0
    for item in items:
        batch.append(item)
        held += letters(item)
        if len(batch) == size or held >= LETTERS:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def hash_form(rows: Sequence[Row]) -> bytes:
    """Return the bytes that a row's hash is taken of: one JSON line `[id, [texts], label]` a row."""
    return "".join([_encode(row) + "\n" for row in rows]).encode("utf-8")


def open_rows(path: Path, summary: SplitSummary, remedy: str, classes: int = 0) -> SplitRows:
    """Map a split's file into memory; a SmartCliError names a file that was altered since it was written.

    `classes` is C of a multilabel task, whose labels are (n, C).
    """
    try:
        intact = path.stat().st_size == summary.size and hash_file(path) == summary.file_hash
        if not intact:
            raise SmartCliError(f"{path}: altered since it was written (its SHA-256 does not fit); {remedy}")
        return SplitRows(pa.ipc.open_file(pa.memory_map(str(path))).read_all(), classes)
    except (OSError, pa.ArrowException) as error:
        raise SmartCliError(f"{path}: cannot be read: {error}; {remedy}") from error

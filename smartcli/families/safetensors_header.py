"""The header of a safetensors file, read and checked without touching the tensors."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartcli.errors import UserError
from smartcli.families.files import parse_object

HEADER_LIMIT = 25_000_000
ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "U16": 2, "U32": 4,
    "U64": 8, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
FLOATS = ("F32", "F16", "BF16", "F64")
PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")


@dataclass(frozen=True)
class TensorInfo:
    """Type and shape of one stored tensor."""

    dtype: str
    shape: tuple[int, ...]
    start: int = 0
    """First byte of its data, counted from the end of the header."""


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Return name -> type and shape of every tensor in `path`; UserError when the header cannot be true.

    Header length, types, shapes and offsets must add up to exactly the file's size, so a reader that follows it
    never allocates more than the file holds.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            if start.startswith(PICKLE_STARTS):
                raise UserError(f"{path}: a pickle or zip archive under another name; expected a safetensors file")
            length = int.from_bytes(start, "little")
            if len(start) < 8 or not 2 <= length <= min(HEADER_LIMIT, size - 8):
                raise UserError(
                    f"{path}: its header claims {length:,} bytes in a file of {size:,}; "
                    "not a safetensors file, or cut off while it was copied"
                )
            raw = file.read(length)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    return _parse(raw, size - 8 - length, path)


def _parse(raw: bytes, data_bytes: int, path: Path) -> dict[str, TensorInfo]:
    tensors: dict[str, TensorInfo] = {}
    spans: list[tuple[int, int]] = []
    for name, entry in parse_object(raw, path).items():
        if name == "__metadata__":
            continue
        info, span = _tensor(name, entry, path)
        tensors[name] = info
        spans.append(span)
    at = 0
    for begin, end in sorted(spans):
        if begin != at:
            raise UserError(f"{path}: tensors overlap or leave a gap at byte {min(at, begin)}; the file is damaged")
        at = end
    if at != data_bytes:
        raise UserError(f"{path}: its header describes {at:,} bytes of tensors, the file holds {data_bytes:,}")
    return tensors


def _tensor(name: str, entry: Any, path: Path) -> tuple[TensorInfo, tuple[int, int]]:
    where = f"{path}: tensor {json.dumps(name)}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise UserError(f"{where} has no proper entry in the header; the file is damaged")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in ITEM_BYTES:
        raise UserError(f"{where} has type {dtype!r}; expected one of {', '.join(FLOATS)}")
    if not _whole_numbers(shape) or not _whole_numbers(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise UserError(f"{where} has shape {shape!r} and offsets {offsets!r}; the file is damaged")
    expected = math.prod(shape) * ITEM_BYTES[dtype]
    if expected != offsets[1] - offsets[0]:
        raise UserError(f"{where} needs {expected:,} bytes, its offsets give {offsets[1] - offsets[0]:,}")
    return TensorInfo(dtype, tuple(shape), offsets[0]), (offsets[0], offsets[1])


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 2**48 for v in value
    )

"""Reads what wandb writes offline: records of its protocol in LevelDB's log format, header checksum aside."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER, START = 32768, 7, 7
"""Bytes of a block, of a record's header (checksum, length, type), and of the file's own start."""


def records(path: Path) -> Iterator[Any]:
    """Yield the records of a `run-ID.wandb` file."""
    from wandb.proto import wandb_internal_pb2

    raw, at, part = path.read_bytes(), START, b""
    while at + HEADER <= len(raw):
        left = BLOCK - at % BLOCK
        if left < HEADER:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", raw, at)
        part += raw[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(part)
            part = b""
            yield record


def history(folder: Path) -> list[dict[str, Any]]:
    """Return the logged rows of an offline run's folder, each with its `_step`."""
    import json

    (path,) = folder.glob("run-*.wandb")
    rows = []
    for record in records(path):
        if record.HasField("history"):
            items = record.history.item
            row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
            rows.append(row | {"_step": record.history.step.num})
    return rows

"""The fingerprint of a data set: a hash of what a model can learn from, and of nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from smartcli.atomic import canonical_json
from smartcli.data.rows import SplitSummary
from smartcli.tasks import FILE_KEYS, SPLITS, TaskTable


def fingerprint(table: TaskTable, splits: Mapping[str, Mapping[str, SplitSummary]]) -> str:
    """Return the SHA-256 (hex) of the accepted rows and the task table.

    Counted: each row's task, split, id, texts and label, in order; each task's name, kind, columns, labels,
    range, scale, metric and weight. Not counted: file names and how they are read, encoder, lengths, skipped rows.
    """
    value: dict[str, Any] = {"format": 1, "tasks": []}
    for task in table:
        entry = {key: item for key, item in task.to_json().items() if key not in (*SPLITS, *FILE_KEYS)}
        own = splits[task.name]
        entry["rows"] = {split: own[split].rows_hash for split in SPLITS if split in own}
        value["tasks"].append(entry)
    return hashlib.sha256(canonical_json(value)).hexdigest()

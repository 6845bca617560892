"""The demo corpus: synthetic rows from seeded grammars, the same on every machine, no row twice.

No sentence of one split stands in another one, be it in another pair.
"""

from __future__ import annotations

import hashlib

from smartcli.data.draws import Draws
from smartcli.data.grammars import GRAMMARS
from smartcli.data.paper import paper
from smartcli.data.reading import Reading
from smartcli.data.rows import Row
from smartcli.data.saving import RowSink
from smartcli.tasks import SPLITS

SIZES = {"train": 304, "dev": 120, "test": 120}
SEED = "smartcli demo corpus, version 2"


def split_of(text: str) -> str:
    """Return the split to which a sentence belongs: by its hash, so that no two splits share one."""
    place = hashlib.sha256(text.lower().encode()).digest()[0] % 10
    return "train" if place < 6 else "dev" if place < 8 else "test"


def demo_rows(task: str) -> dict[str, list[Row]]:
    """Return the rows of one task of the paper's table, by split; ids start with `demo-` since they are synthetic."""
    grammar = GRAMMARS[paper().grammars[task]]
    draws = Draws(f"{SEED}: {task}")
    seen: set[frozenset[str]] = set()
    rows: dict[str, list[Row]] = {split: [] for split in SPLITS}
    while any(len(own) < SIZES[split] for split, own in rows.items()):
        texts, label = grammar(draws)
        splits, key = {split_of(text) for text in texts}, frozenset(text.lower() for text in texts)
        if len(splits) > 1 or len(key) < len(texts) or key in seen:
            continue
        (split,) = splits
        if len(rows[split]) < SIZES[split]:
            seen.add(key)
            rows[split].append((f"demo-{task}-{split}-{len(rows[split]) + 1}", texts, label))
    return rows


def read_demo(sink: RowSink) -> Reading:
    """Write the demo corpus into `sink`."""
    table = paper().table
    for task in table:
        for split, rows in demo_rows(task.name).items():
            sink.write(task.name, split, rows, len(task.text))
    return Reading(table)

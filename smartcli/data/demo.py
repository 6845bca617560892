"""The demo corpus: synthetic rows from seeded grammars, the same on every machine, no row twice."""

from __future__ import annotations

from smartcli.data.draws import Draws
from smartcli.data.grammars import GRAMMARS
from smartcli.data.paper import paper
from smartcli.data.reading import Reading
from smartcli.data.rows import Row
from smartcli.data.saving import RowSink
from smartcli.tasks import SPLITS

SIZES = {"train": 320, "dev": 120, "test": 120}
SEED = "smartcli demo corpus, version 2"


def demo_rows(task: str) -> dict[str, list[Row]]:
    """Return the rows of one task of the paper's table, by split; ids start with `demo-` since they are synthetic."""
    grammar = GRAMMARS[paper().grammars[task]]
    draws = Draws(f"{SEED}: {task}")
    seen: set[tuple[str, ...]] = set()
    rows: dict[str, list[Row]] = {}
    for split in SPLITS:
        rows[split] = []
        while len(rows[split]) < SIZES[split]:
            texts, label = grammar(draws)
            if texts not in seen and len(set(texts)) == len(texts):
                seen.add(texts)
                rows[split].append((f"demo-{task}-{split}-{len(rows[split]) + 1}", texts, label))
    return rows


def read_demo(sink: RowSink) -> Reading:
    """Write the demo corpus into `sink`."""
    table = paper().table
    for task in table:
        for split, rows in demo_rows(task.name).items():
            sink.write(task.name, split, rows, len(task.text))
    return Reading(table)

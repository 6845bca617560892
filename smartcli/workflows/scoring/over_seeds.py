"""Mean and spread of checkpoints that differ in nothing but the seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from smartcli.option_table import RUN_ONLY
from smartcli.registry.checkpoint import Checkpoint
from smartcli.report.compare import spread
from smartcli.report.tables import ScoreRow
from smartcli.tasks import Task

_NO_DIFFERENCE = (RUN_ONLY - {"device", "precision"}) | {"seed"}
_MOST_NAMES = 4


def seed_lines(checkpoints: Sequence[Checkpoint], rows: Sequence[ScoreRow], tasks: Sequence[Task]) -> list[str]:
    """Return a line for each group of two or more seeds: `mean ± sd of a, b (seeds 1, 2): sst .512 ± .004, …`.

    The deviation is the sample's. A score that one of the group lacks is left out.
    """
    groups: dict[str, dict[int, ScoreRow]] = {}
    for checkpoint, row in zip(checkpoints, rows, strict=True):
        if row.seed is not None:
            groups.setdefault(all_but_the_seed(checkpoint), {}).setdefault(row.seed, row)
    return [_line(list(group.values()), tasks) for group in groups.values() if len(group) > 1]


def all_but_the_seed(checkpoint: Checkpoint) -> str:
    """Return a key that checkpoints share which differ in nothing but the seed."""
    meta = checkpoint.meta
    settings: dict[str, Any] = {key: value for key, value in meta.settings.items() if key not in _NO_DIFFERENCE}
    stored = meta.to_json()
    return json.dumps([*(stored.get(key) for key in ("kind", "encoder", "tasks", "lineage")), settings], sort_keys=True)


def _line(rows: Sequence[ScoreRow], tasks: Sequence[Task]) -> str:
    scores = {task.name: [_value(row, task) for row in rows] for task in tasks} | {"overall": [r.overall for r in rows]}
    shown = [f"{name} {found.text()}" for name, values in scores.items() if (found := spread(values))]
    names, seeds = [row.checkpoint for row in rows], [str(row.seed) for row in rows]
    if len(rows) > _MOST_NAMES:
        return f"mean ± sd of {names[0]} … {names[-1]} ({len(seeds)} seeds): {', '.join(shown)}"
    return f"mean ± sd of {', '.join(names)} (seeds {', '.join(seeds)}): {', '.join(shown)}"


def _value(row: ScoreRow, task: Task) -> float | None:
    score = row.scores.get(task.name)
    return None if score is None else score.value

"""What a trial is judged by: its dev score after each epoch, from a log, a run or a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smartcli.home import Home
from smartcli.log_events import DevEvent, read_log
from smartcli.metrics import Score, overall
from smartcli.registry.meta import CheckpointMeta
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Runs


def dev_score(scores: Mapping[str, Any], tasks: Sequence[str]) -> float | None:
    """Return the mean of the tasks' dev scores (`{metric: value, "n": n}` by task), by which an epoch is chosen too.

    None where a task has none.
    """
    found: list[Score | None] = []
    for task in tasks:
        value = scores.get(task)
        named = next(((k, v) for k, v in value.items() if k != "n"), None) if isinstance(value, Mapping) else None
        found.append(None if named is None else Score(named[0], named[1], 0))
    return overall(found)


def epochs_so_far(home: Home, name: str) -> list[DevEvent]:
    """Return the scored epochs of the checkpoint `name`, else of the run of that name up to its last save."""
    registry, runs = Registry(home), Runs(home)
    raw = b""
    if name in registry.names():
        raw = registry.open(name).read("log.jsonl")
    elif runs.exists(name):
        run = runs.open(name)
        position = run.position()
        if position is not None:
            raw = run.log_path.read_bytes()[: position["log_bytes"]]
    return [event for event in read_log(raw, f"{name}/log.jsonl") if isinstance(event, DevEvent)]


def notes_of(name: str, meta: CheckpointMeta, epochs: int) -> dict[str, Any]:
    """Return what every machine needs to print the row of a completed trial."""
    from smartcli.report.history import score_of

    scores = {key: score_of(value) for key, value in meta.metrics.items()}
    return {"checkpoint": name, "scores": scores, "epochs": epochs}

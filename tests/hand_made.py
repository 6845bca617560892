"""Data sets and checkpoints made by hand: rows and predictions in, a registry out; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from saved_rows import save_rows

from smartcli.config import Settings, apply
from smartcli.data.paper import paper
from smartcli.data.predictions import Predictions, TaskPredictions, write_predictions
from smartcli.data.store import DataSet
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.registry import Registry
from smartcli.strictjson import canonical_json
from smartcli.tasks import Task, TaskTable

TASKS = paper().table
COUNTS = {"train": 4, "dev": 6, "test": 4}


def make_rows(task: Task, split: str, count: int, *, labelled: bool = True, word: str = "") -> list[Any]:
    """Rows whose label goes round the classes, or up the range."""
    rows = []
    for i in range(count):
        texts = tuple(f"{word}sentence {side} number {i} of {split}" for side in range(len(task.text)))
        label = float(i % task.classes) if task.classes else float(i % 6)
        rows.append((f"{task.name}-{split}-{i}", texts, label if labelled else None))
    return rows


def make_data(
    home: Home,
    name: str = "demo",
    *,
    tasks: TaskTable = TASKS,
    test_labels: bool = True,
    word: str = "",
    source: str = "demo",
    force: bool = False,
    info: dict[str, Any] | None = None,
    counts: Mapping[str, int] = COUNTS,
) -> DataSet:
    """Save a small data set with the splits of `counts`."""
    rows = {
        task.name: {
            split: make_rows(task, split, n, labelled=test_labels or split != "test", word=word)
            for split, n in counts.items()
        }
        for task in tasks
    }
    return save_rows(home, name, tasks, rows, source=source, info=info, force=force)


def predict(
    data: DataSet, split: str = "dev", wrong: Sequence[int] = (), tasks: Sequence[str] | None = None
) -> Predictions:
    """Predictions that are right but in the rows `wrong`: there the next class, or a score of 2.5."""
    found: Predictions = {}
    for task in data.tasks:
        if tasks is not None and task.name not in tasks:
            continue
        rows = data.rows(task.name, split)
        truth = np.array([i % task.classes if task.classes else i % 6 for i in range(len(rows))], dtype=np.float64)
        values = truth.copy()
        for i in wrong:
            values[i] = (truth[i] + 1) % task.classes if task.classes else 2.5
        shares = None
        if task.classes:
            shares = np.full((len(rows), task.classes), 0.1)
            shares[np.arange(len(rows)), values.astype(int)] = 1 - 0.1 * (task.classes - 1)
        found[task.name] = TaskPredictions(task.name, rows.id_list(), rows.labels, values, shares)
    return found


def make_meta(name: str, data: DataSet, heads: TaskTable, **changes: Any) -> dict[str, Any]:
    """smart.json of a finetuned checkpoint, with `changes` on top."""
    meta = {
        "format": 1,
        "name": name,
        "kind": "finetune",
        "method": "concat simultaneous smart",
        "command": ["smart", "finetune"],
        "settings": Settings().to_json(),
        "tasks": heads.to_json(),
        "all_tasks": data.tasks.to_json(),
        "encoder": {"id": "minilm", "revision": None, "model_type": "bert", "hash": "0" * 64},
        "data": {"name": data.name, "fingerprint": data.fingerprint},
        "lineage": {"init": None, "members": []},
        "metrics": {},
        "best_epoch": 1,
        "versions": {},
        "seconds": 1.0,
        "created": "2025-01-01T00:00:00Z",
        "machine": None,
    }
    return {**meta, **changes}


def make_checkpoint(
    home: Home, name: str, data: DataSet, predictions: Predictions | None = None, **changes: Any
) -> Checkpoint:
    """Register a checkpoint that holds dev predictions alone; it has heads for the tasks that these have."""
    found = predict(data) if predictions is None else predictions
    heads = TaskTable(tuple(task for task in data.tasks if task.name in found))
    meta = make_meta(name, data, heads, **changes)

    def fill(folder: Path) -> None:
        (folder / "smart.json").write_bytes(canonical_json(meta))
        (folder / "predictions-dev.csv").write_bytes(write_predictions(found))

    registry = Registry(home)
    with registry.claim(name) as taken:
        return registry.commit(taken, fill)


def make_model(
    home: Home, name: str, data: DataSet, encoder: Path, *, seed: int = 0, tasks: Any = None, **more: Any
) -> Checkpoint:
    """Register a checkpoint with real weights: a tiny encoder and untrained heads, no step taken; `more` settings."""
    from smartcli.engine.model.build import encoder_bytes, head_bytes
    from smartcli.workflows.training.training_inputs import read_inputs

    settings = apply(
        Settings(), {"encoder": str(encoder), "seed": seed, "tasks": tasks, "max_length": 64, **more}, "test"
    )
    inputs = read_inputs(home, data, settings, lambda message: None)
    heads = inputs.model.tasks
    found = predict(data, tasks=heads.names)
    meta = make_meta(name, data, heads, settings=settings.to_json(), encoder=inputs.source.about.to_json())

    def fill(folder: Path) -> None:
        (folder / "config.json").write_bytes((encoder / "config.json").read_bytes())
        (folder / "model.safetensors").write_bytes(encoder_bytes(inputs.model))
        (folder / "heads.safetensors").write_bytes(head_bytes(inputs.model))
        (folder / "tokenizer.json").write_text(inputs.source.tokenizer.to_json(), encoding="utf-8")
        (folder / "smart.json").write_bytes(canonical_json(meta))
        (folder / "predictions-dev.csv").write_bytes(write_predictions(found))

    registry = Registry(home)
    with registry.claim(name) as taken:
        return registry.commit(taken, fill)

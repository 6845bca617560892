"""The paper's task table and Table 1: recipes/tasks-paper.toml and paper.toml, read and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from smartcli.tasks import SPLITS, Split, TaskTable, parse_task_table


@dataclass(frozen=True)
class HubSource:
    """Where the hub keeps one task's rows: repository, columns, and a file pattern a split."""

    task: str
    repo: str
    text: tuple[str, ...]
    label: str
    files: Mapping[Split, str]
    divided: bool
    """Whether `--splits paper` divides all rows 70/10/20 instead of keeping the splits as they are."""
    scale: float = 1.0


@dataclass(frozen=True)
class Paper:
    """Everything that the paper's recipe says about its tasks."""

    table: TaskTable
    sequential_epochs: Mapping[str, int]
    """Epochs of a phase of a sequential run, for the tasks where they are fixed."""
    pretrain_task: str
    rows: Mapping[str, tuple[int, ...]]
    """Rows of the paper's Table 1: train, dev, test."""
    grammars: Mapping[str, str]
    course_files: Mapping[str, Mapping[Split, str]]
    sources: tuple[HubSource, ...]
    encoders: Mapping[str, str]
    """Default encoder by source: demo, cs224n, hub."""


@cache
def paper() -> Paper:
    """Return the packaged recipe."""
    value, numbers = _packaged("tasks-paper.toml"), _packaged("paper.toml")
    table = parse_task_table({"task": value["task"]}, "tasks-paper.toml")
    return Paper(
        table=table,
        sequential_epochs=value["sequential"]["epochs"],
        pretrain_task=value["pretrain"]["task"],
        rows={task: tuple(counts) for task, counts in numbers["table1"].items()},
        grammars=value["demo"]["grammars"],
        course_files={task: _splits(entry) for task, entry in value["cs224n"]["files"].items()},
        sources=tuple(_source(task, value["hub"]["sources"][task]) for task in table.names),
        encoders={source: value[source]["encoder"] for source in ("demo", "cs224n", "hub")},
    )


def _packaged(name: str) -> dict[str, Any]:
    return tomllib.loads((files("smartcli.recipes") / name).read_text(encoding="utf-8"))


def _splits(entry: Mapping[str, str]) -> dict[Split, str]:
    return {split: entry[split] for split in SPLITS if split in entry}


def _source(task: str, entry: Mapping[str, Any]) -> HubSource:
    return HubSource(
        task=task,
        repo=entry["repo"],
        text=tuple(entry["text"]),
        label=entry["label"],
        files=_splits(entry["files"]),
        divided=entry["paper"] == "divided",
        scale=float(entry.get("scale", 1.0)),
    )

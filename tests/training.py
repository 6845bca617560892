"""Small real trainings: invented rows, a tiny random encoder, one thread, and a stop at any step."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load
from saved_rows import save_rows

from smartcli import log_events
from smartcli.data.paper import paper
from smartcli.data.store import DataSet
from smartcli.engine.training.batches import Batcher, Prepared
from smartcli.engine.training.schedule import Step
from smartcli.errors import Stopped
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.registry import Registry
from smartcli.tasks import TaskTable
from smartcli.workflows.training.first_process import TrainOutcome
from smartcli.workflows.training.settings import Resolved, resolve
from smartcli.workflows.training.train import train
from tests.tiny import WORDS, make_tiny_encoder

TASKS = paper().table
TRAIN = {"sst": 10, "qqp": 7, "sts": 13}
"""With batches of 4: three steps an epoch, a smaller task and a larger one."""
DEV = 6
STEPS = 6
OPTIONS = {"epochs": "2", "batch_size": "4", "lr": "1e-3", "threads": "1", "precision": "fp32", "lambda": "0"}
Event = dict[str, Any]


def rows_of(tasks: TaskTable, train: Mapping[str, int], seed: int) -> dict[str, dict[str, list[Any]]]:
    """Rows of one to nine words; labels go round the classes, or up the range."""
    draw = np.random.default_rng(seed)
    out: dict[str, dict[str, list[Any]]] = {}
    for task in tasks:
        out[task.name] = {}
        for split, count in (("train", train[task.name]), ("dev", DEV)):
            rows = []
            for i in range(count):
                texts = tuple(" ".join(draw.choice(WORDS, int(draw.integers(1, 10)))) for _ in task.text)
                label = float(i % task.classes) if task.classes else float(i % 6)
                rows.append((f"{task.name}-{split}-{i}", texts, label))
            out[task.name][split] = rows
    return out


def save_small(
    home: Home,
    name: str = "small",
    *,
    tasks: TaskTable = TASKS,
    train: Mapping[str, int] = TRAIN,
    seed: int = 0,
    change: Callable[[dict[str, dict[str, list[Any]]]], None] | None = None,
    force: bool = False,
) -> DataSet:
    """Store a small data set; `change` may edit its rows first."""
    rows = rows_of(tasks, train, seed)
    if change is not None:
        change(rows)
    return save_rows(home, name, tasks, rows, force=force)


@dataclass
class Shop:
    """A home with a small data set and an encoder, where trainings are run and stopped."""

    home: Home
    encoder: Path
    events: list[Event] = field(default_factory=list)
    """Of the last training."""

    @classmethod
    def open(cls, home: Home, folder: Path, **data: Any) -> Shop:
        save_small(home, **data)
        return cls(home, make_tiny_encoder(folder / "encoder"))

    def resolve(self, command: str = "finetune", /, **options: Any) -> Resolved:
        flags = OPTIONS | {"encoder": str(self.encoder)} | options
        if "init" in options:
            del flags["encoder"]
        return resolve(self.home, command, {key: value for key, value in flags.items() if value is not None})

    def train(
        self,
        name: str | None,
        /,
        *,
        command: str = "finetune",
        resume: str | None = None,
        stop: int | None = None,
        listener: Callable[[Event], None] | None = None,
        argv: list[str] | None = None,
        **options: Any,
    ) -> TrainOutcome:
        """Train; with `stop` Ctrl-C comes in that step."""
        self.events = []

        def hear(heard: log_events.Event) -> None:
            event = heard.to_json()
            self.events.append(event)
            if event["event"] == "step" and event["step"] == stop:
                signal.raise_signal(signal.SIGINT)
            if listener is not None:
                listener(event)

        return train(
            self.home,
            command,
            self.resolve(command, **options),
            name=name,
            resume=resume,
            argv=argv or ["smart", command],
            listener=hear,
        )

    def stopped(self, name: str | None, /, *, stop: int, **options: Any) -> Stopped:
        """Train until Ctrl-C in step `stop`, and return the message that ended it."""
        try:
            self.train(name, stop=stop, **options)
        except Stopped as error:
            return error
        raise AssertionError("the training was not stopped")

    def open_checkpoint(self, name: str) -> Checkpoint:
        return Registry(self.home).open(name)

    def of_kind(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["event"] == kind]


def weights(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Encoder and heads by name."""
    return load(checkpoint.read("model.safetensors")) | load(checkpoint.read("heads.safetensors"))


def log_of(checkpoint: Checkpoint) -> list[Event]:
    return [json.loads(line) for line in checkpoint.read("log.jsonl").splitlines()]


def comparable(log: list[Event]) -> list[Event]:
    """The log without what may differ after a resume, or between two names."""
    left_out = ("seconds", "peak_memory", "name", "command")
    return [{key: value for key, value in event.items() if key not in left_out} for event in log
            if event["event"] != "resume"]  # fmt: skip


def assert_same_training(one: Checkpoint, other: Checkpoint) -> None:
    """Same bits in weights, predictions and log, and the same choice of epoch."""
    first, second = weights(one), weights(other)
    assert set(first) == set(second)
    for name, tensor in first.items():
        assert torch.equal(second[name], tensor), name
    for file in ("model.safetensors", "heads.safetensors", "predictions-dev.csv"):
        assert one.read(file) == other.read(file), file
    assert comparable(log_of(one)) == comparable(log_of(other))
    for key in ("metrics", "best_epoch", "steps", "settings", "method", "truncated", "encoder", "lineage", "machine"):
        assert getattr(one.meta, key) == getattr(other.meta, key), key


def spoil(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    """Make a label of `sts` NaN in steps of these numbers."""
    real = Batcher._pack

    def spoiled(self: Batcher, step: Step, sequences: Any) -> Prepared:
        if step.number not in numbers:
            return real(self, step, sequences)
        sts = self.train["sts"]
        assert sts.labels is not None
        labels = sts.labels.copy()
        labels[step.rows["sts"][0]] = math.nan
        return real(replace(self, train={**self.train, "sts": replace(sts, labels=labels)}), step, sequences)

    monkeypatch.setattr(Batcher, "_pack", spoiled)

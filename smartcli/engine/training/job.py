"""What a training is given, where it reports, and what it ends with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from smartcli.config import Settings
from smartcli.engine.distributed import ALONE, Processes
from smartcli.engine.inference.split_outputs import Outputs, Reader
from smartcli.engine.model.multitask import MultiTaskModel
from smartcli.engine.training.batches import Split
from smartcli.engine.training.dev_scores import DevScores, ScoreTask
from smartcli.engine.training.schedule import Phase, plan
from smartcli.engine.training.snapshot import Position, Snapshot
from smartcli.log_events import Event
from smartcli.tasks import TaskTable


@dataclass(frozen=True)
class Callbacks:
    """Where the loop reports: `record` a log line, `tick` progress that is not logged, `save` a snapshot.

    `stop` is asked after each step and says whether to end now; of several processes before it, and one suffices.
    """

    record: Callable[[Event], None]
    tick: Callable[[Event], None]
    save: Callable[[Snapshot], None]
    stop: Callable[[], bool]


@dataclass(frozen=True)
class Job:
    """A training to do: the model, the tasks to train in it, their rows, and how dev is scored."""

    model: MultiTaskModel
    tasks: TaskTable
    table: TaskTable
    """All tasks of the data set: what `overall` counts."""
    settings: Settings
    train: Mapping[str, Split]
    dev: Mapping[str, Split]
    reader: Reader
    bf16: bool
    device: torch.device
    score: ScoreTask
    processes: Processes = ALONE

    def phases(self) -> list[Phase]:
        """Return the phases of the run."""
        return plan(self.tasks, self.settings, {task.name: len(self.train[task.name]) for task in self.tasks})


@dataclass
class Result:
    """A finished training; the model holds the weights to keep."""

    best_epoch: int | None
    """Epoch of the last phase whose weights were kept."""
    outputs: dict[str, Outputs]
    scores: DevScores
    position: Position
    peak_memory: int
    """Bytes."""
    warnings: list[str] = field(default_factory=list)

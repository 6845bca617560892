"""Dev scores of a model in training: every task with a head, and a fixed sample of training rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartcli.engine.distributed import ALONE, Processes
from smartcli.engine.inference.split_outputs import Outputs, Reader, predict
from smartcli.engine.model.multitask import MultiTaskModel
from smartcli.engine.streams import shuffled
from smartcli.engine.training.batches import Split
from smartcli.metrics import Score, overall
from smartcli.tasks import Task, TaskTable

TRAIN_SAMPLE = 1000

ScoreTask = Callable[[Task, NDArray[np.float64] | None, NDArray[np.float64]], Score]


def train_sample(splits: Mapping[str, Split], tasks: tuple[str, ...]) -> dict[str, NDArray[np.int64]]:
    """Return the fixed rows, 1,000 in all, on which training scores are taken; the same for every seed."""
    each = TRAIN_SAMPLE // len(tasks)
    labelled = {task: len(splits[task]) - splits[task].unlabelled for task in tasks}
    return {task: np.sort(shuffled(0, task, "train sample", n).numpy()[:each]) for task, n in labelled.items()}


@dataclass(frozen=True)
class DevScores:
    """Scores by task, outputs by task, and the mean by which the best epoch is chosen."""

    scores: dict[str, Score]
    train: dict[str, Score]
    outputs: dict[str, Outputs]
    chosen_by: float | None

    def by_task(self, table: TaskTable) -> dict[str, Any]:
        """Return each task's score as JSON, None for a task of the table that has none."""
        return {task.name: None for task in table} | {task: score.to_json() for task, score in self.scores.items()}

    def overall(self, table: TaskTable) -> float | None:
        """Return the overall score over the table's tasks, None where one of them has no score."""
        return overall([self.scores.get(task.name) for task in table])


def score_dev(
    model: MultiTaskModel,
    dev: Mapping[str, Split],
    train: Mapping[str, Split],
    trained: tuple[str, ...],
    reader: Reader,
    score: ScoreTask,
    processes: Processes = ALONE,
) -> DevScores:
    """Predict and score every task of the model that has dev rows, and the training sample of `trained`."""
    outputs = {
        task.name: predict(model, task.name, dev[task.name].sides, reader, processes=processes)
        for task in model.tasks
        if task.name in dev
    }
    scores = {name: score(model.tasks.get(name), dev[name].labels, out.predictions) for name, out in outputs.items()}
    on_train: dict[str, Score] = {}
    for name, rows in train_sample(train, trained).items():
        labels = train[name].labels
        found = predict(model, name, train[name].sides, reader, rows, processes=processes)
        on_train[name] = score(model.tasks.get(name), None if labels is None else labels[rows], found.predictions)
    return DevScores(scores, on_train, outputs, overall([scores.get(name) for name in trained]))

"""What a teacher says of the train rows, and of rows without labels: predicted once, and kept beside the registry.

A teacher is a checkpoint or an ensemble. Each member predicts alone, and its predictions are stored by its content, the
data's fingerprint and the task, so that a resumed run, another student and another seed find them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smartcli.config import Settings
from smartcli.counts import counted
from smartcli.data.predictions import TaskPredictions
from smartcli.data.store import DataSet
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.predictions_store import load_predictions, save_predictions
from smartcli.registry.registry import Registry
from smartcli.tasks import Task, TaskTable
from smartcli.voting import combine
from smartcli.workflows.scoring.sources import members_of, shared_tasks
from smartcli.workflows.training.unlabelled import Unlabelled

if TYPE_CHECKING:
    from smartcli.workflows.scoring.model_outputs import LoadedModel

Say = Callable[[str], None]
Rows = NDArray[np.int64]
Predict = Callable[["LoadedModel"], TaskPredictions]


@dataclass
class Teacher:
    """A checkpoint or ensemble that is asked about rows; `models` are loaded where something is not stored."""

    home: Home
    checkpoint: Checkpoint
    members: list[Checkpoint]
    device: str
    say: Say
    models: dict[str, LoadedModel] = field(default_factory=dict)

    def on_train(self, data_set: DataSet, task: Task, rows: int | None, kept: Rows | None) -> NDArray[np.float64]:
        """Return what it says of a task's train rows, (n, K): those that `--rows` keeps, in order; None: all."""
        split = data_set.rows(task.name, "train")
        ids = split.id_list() if kept is None else [split.id(int(row)) for row in kept]

        def predict(model: LoadedModel) -> TaskPredictions:
            found = model.on_rows(data_set, task.name, "train", kept)
            return TaskPredictions(task.name, ids, None, found.predictions, found.probabilities)

        part = "train" if kept is None else f"train-{rows}"
        return self._ask(
            task, f"{counted(len(ids), 'train row')} of {data_set.name}", ids, data_set.fingerprint, part, predict
        )

    def on_texts(self, task: Task, found: Unlabelled) -> NDArray[np.float64]:
        """Return what it says of rows without labels, (n, K)."""
        ids = [str(number) for number in range(len(found.texts))]
        what = f"{counted(len(ids), 'row')} of {found.path.name}"
        return self._ask(task, what, ids, found.digest, "rows", lambda model: model.label(task.name, found.texts))

    def _ask(
        self, task: Task, what: str, ids: Sequence[str], key: str, part: str, predict: Predict
    ) -> NDArray[np.float64]:
        each = [self._of(member, task, what, ids, key, part, predict) for member in self.members]
        if self.checkpoint.meta.ensemble:
            names = [member.name for member in self.members]
            found = combine([task], [{task.name: one} for one in each], names, self.checkpoint.meta.vote)[task.name]
        else:
            (found,) = each
        if task.kind == "regression":
            return found.predictions[:, None]
        assert found.probabilities is not None, "classes have probabilities"
        return found.probabilities

    def _of(
        self, member: Checkpoint, task: Task, what: str, ids: Sequence[str], key: str, part: str, predict: Predict
    ) -> TaskPredictions:
        split = f"{part}-{task.name}"
        stored = load_predictions(self.home, member, key, split)
        if stored is not None and task.name in stored and stored[task.name].ids == list(ids):
            return stored[task.name]
        from smartcli.workflows.scoring.model_outputs import LoadedModel

        self.say(f"{member.name}: predicting {what} for {task.name}, once")
        if member.name not in self.models:
            self.models.clear()
            self.models[member.name] = LoadedModel(self.home, member, self.device)
        found = predict(self.models[member.name])
        save_predictions(self.home, member, key, split, {task.name: found})
        # As they are read next time, so that a resumed run learns from the same bits.
        return (load_predictions(self.home, member, key, split) or {task.name: found})[task.name]


def open_teacher(home: Home, settings: Settings, trained: TaskTable, where: str, say: Say) -> Teacher:
    """Open `--teacher`; a UserError where it lacks a head for a task, or has one for another kind, range or labels."""
    assert settings.teacher is not None
    registry = Registry(home)
    try:
        checkpoint = registry.open(settings.teacher)
        heads = checkpoint.all_tasks if checkpoint.meta.ensemble else checkpoint.heads
        shared_tasks(checkpoint, trained, where)
        members = members_of(registry, checkpoint) if checkpoint.meta.ensemble else [checkpoint]
    except UserError as error:
        raise UserError(f"--teacher: {error}") from error
    for task in trained:
        if task.name not in heads:
            raise UserError(
                f'--teacher: {checkpoint.name} has no head for "{task.name}"; leave the task out with --tasks, or take '
                "a teacher that has one"
            )
        if heads.get(task.name).labels != task.labels:
            raise UserError(
                f'--teacher: {checkpoint.name} was trained with other labels for "{task.name}" than {where} has '
                f"({', '.join(heads.get(task.name).labels)}, here {', '.join(task.labels)})"
            )
    return Teacher(home, checkpoint, members, settings.device, say)


def describe_teacher(teacher: Teacher, settings: Settings, unlabelled: Mapping[str, Unlabelled]) -> dict[str, Any]:
    """Return what a run and a checkpoint record of their teacher."""
    from smartcli.engine.terms.distilled import Distilled

    how = Distilled.of(settings)
    assert how is not None
    out: dict[str, Any] = teacher.checkpoint.reference().to_json()
    if teacher.checkpoint.meta.ensemble:
        out["members"] = [member.reference().to_json() for member in teacher.members]
    out |= {"temperature": how.temperature, "label_share": how.label_share}
    if unlabelled:
        out["unlabelled"] = {task: found.to_json() for task, found in unlabelled.items()}
    return out


def check_taught(settings: Settings, command: str = "finetune") -> None:
    """Raise a UserError where options of a teacher stand without one, or beside what cannot be."""
    if settings.teacher is None:
        if command == "distill":
            raise UserError("distill needs a teacher: a checkpoint or an ensemble, as in smart distill five")
        for flag in ("temperature", "label_share", "unlabelled"):
            if getattr(settings, flag) is not None:
                raise UserError(
                    f"--{flag.replace('_', '-')} says how a teacher counts, and there is none; add --teacher"
                )
    if settings.unlabelled is not None and settings.sampling == "balanced":
        raise UserError("--sampling balanced goes by the rows' labels, which those of --unlabelled lack; leave out one")


def check_same_teacher(stored: Mapping[str, Any] | None, now: Mapping[str, Any] | None, run: str) -> None:
    """Raise a UserError where the teacher, a member, or a file of `--unlabelled` is not what the run started with."""
    if stored != now:
        raise UserError(
            f'the teacher of the run "{run}", or a file of --unlabelled, is not what it was when the run started; put '
            f"the old one back, or remove the run with: smart runs rm {run}"
        )

"""On which data checkpoints are scored, and where their predictions come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smartcli.data.predictions import Predictions
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.registry import Registry
from smartcli.tasks import Task, TaskTable
from smartcli.voting import combine

if TYPE_CHECKING:
    from smartcli.data.store import DataSet

Say = Callable[[str], None]


def silent(message: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Subject:
    """The data that is scored on; `data_set` is None where it is not on this machine."""

    name: str
    fingerprint: str
    title: str
    tasks: TaskTable
    data_set: DataSet | None

    def require(self) -> DataSet:
        """Return the data set; a UserError says that it is needed."""
        if self.data_set is None:
            raise UserError(
                f'the data set "{self.name}" is not here, and this needs its rows; prepare it with '
                f"`smart prepare … --name {self.name}`, or name another one with --data"
            )
        return self.data_set


def subject_of_data(data_set: DataSet) -> Subject:
    """Return a data set as what is scored on."""
    return Subject(data_set.name, data_set.fingerprint, data_set.title, data_set.tasks, data_set)


def subject_of(home: Home, checkpoints: Sequence[Checkpoint], data: str | None = None) -> Subject:
    """Return the data of `--data`, else the one that every checkpoint was trained on.

    UserErrors: checkpoints of several data sets without `--data`; a data set of that name that has changed
    since training.
    """
    if data is not None:
        from smartcli.data.store import open_data

        return subject_of_data(open_data(home, data))
    trained = {c.meta.data.fingerprint: c for c in reversed(checkpoints)}
    if len(trained) > 1:
        sets = "; ".join(f"{c.name} on {data_words(c)}" for c in reversed(trained.values()))
        raise UserError(f"the checkpoints were trained on different data: {sets}; name one data set with --data")
    first = checkpoints[0]
    name = first.meta.data.name
    if not (home.data / name).is_dir():
        return Subject(name, first.meta.data.fingerprint, name, first.all_tasks, None)
    from smartcli.data.store import open_data

    data_set = open_data(home, name)
    check_unchanged(first, data_set)
    return subject_of_data(data_set)


def check_unchanged(checkpoint: Checkpoint, data_set: DataSet) -> None:
    """Raise a UserError when the data set is not the one that the checkpoint was trained on."""
    trained = checkpoint.meta.data.fingerprint
    if data_set.fingerprint != trained:
        raise UserError(
            f'the data set "{data_set.name}" has changed since {checkpoint.name} was trained: its fingerprint is '
            f"{data_set.fingerprint[:12]}, at training it was {trained[:12]}; prepare the old data again under another "
            f"name, train again, or score the model on what is there now with --data {data_set.name}"
        )


def data_words(checkpoint: Checkpoint) -> str:
    """Return a checkpoint's data set for a message: name and the start of its fingerprint."""
    data = checkpoint.meta.data
    return f"{data.name} ({data.fingerprint[:12]})"


def shared_tasks(checkpoint: Checkpoint, tasks: TaskTable, where: str) -> tuple[Task, ...]:
    """Return the tasks of `tasks` that a checkpoint has a head for; UserError where a head does not fit."""
    heads = {task.name: task for task in checkpoint.heads}
    shared = tuple(task for task in tasks if task.name in heads)
    if not heads:
        raise UserError(
            f"{checkpoint.name} is an encoder without a head, which predicts nothing; train one from it with: smart "
            f"finetune --init {checkpoint.name}"
        )
    if not shared:
        raise UserError(
            f"{checkpoint.name} has heads for {', '.join(heads)}, but {where} has the tasks {', '.join(tasks.names)}"
        )
    for task in shared:
        head = heads[task.name]
        if (head.kind, head.classes, head.pair, head.range) != (task.kind, task.classes, task.pair, task.range):
            raise UserError(
                f'{checkpoint.name}: its head for "{task.name}" is for {_shape(head)}, but {where} has {_shape(task)}'
            )
    return shared


def _shape(task: Task) -> str:
    text = "sentence pairs" if task.pair else "sentences"
    if task.range is not None:
        return f"scores {task.range[0]:g} to {task.range[1]:g} of {text}"
    return f"{task.kind} of {text} into {task.classes} classes"


def members_of(registry: Registry, checkpoint: Checkpoint) -> list[Checkpoint]:
    """Return an ensemble's members; a UserError names one that is gone or another than was combined."""
    members = []
    for entry in checkpoint.meta.lineage.members:
        try:
            member = registry.open(entry.name)
        except UserError as error:
            raise UserError(f"{checkpoint.name} needs its member {entry.name}: {error}") from error
        if member.manifest_hash != entry.manifest:
            raise UserError(
                f"{checkpoint.name}: its member {member.name} is not the checkpoint that was combined (another one "
                "has that name now); make the ensemble again"
            )
        members.append(member)
    return members


def predictions_on(
    home: Home,
    registry: Registry,
    checkpoint: Checkpoint,
    subject: Subject,
    split: str,
    say: Say = silent,
    *,
    int8: bool = False,
) -> Predictions:
    """Return a checkpoint's predictions on a split of the subject, for the tasks that both have.

    Dev predictions of the data that it was trained on are stored with it; others, and those in int8, are computed once,
    by the model or by an ensemble's members, and kept beside the registry.
    """
    shared = shared_tasks(checkpoint, subject.tasks, f'data set "{subject.name}"')
    if split == "dev" and checkpoint.meta.data.fingerprint == subject.fingerprint and not int8:
        return checkpoint.predictions()
    from smartcli.registry.predictions_store import load_predictions, save_predictions

    kept_as = f"{split}-int8" if int8 else split
    stored = load_predictions(home, checkpoint, subject.fingerprint, kept_as)
    if stored is not None:
        return stored
    if checkpoint.meta.ensemble:
        members = members_of(registry, checkpoint)
        each = [predictions_on(home, registry, member, subject, split, say, int8=int8) for member in members]
        found = combine(shared, each, [member.name for member in members], checkpoint.meta.vote)
    else:
        from smartcli.workflows.scoring.model_outputs import run_model

        data_set = subject.require()
        say(f"{checkpoint.name}: predicting the {split} split of {subject.name}{' in int8' if int8 else ''}")
        found = run_model(home, checkpoint, data_set, split, int8=int8)
    save_predictions(home, checkpoint, subject.fingerprint, kept_as, found)
    return found

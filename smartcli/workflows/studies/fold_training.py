"""`smart finetune --folds K`: a training a fold, its rows predicted by the one that did not see them, an ensemble."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smartcli.config import Settings
from smartcli.data.folds import check_count
from smartcli.data.predictions import Predictions, TaskPredictions, read_predictions, write_predictions
from smartcli.data.store import DataSet, open_data
from smartcli.data.tokens import open_tokens
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.metrics import overall, score_tasks
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.names import check_name
from smartcli.registry.registry import Registry
from smartcli.report.tables import ScoreTable, three
from smartcli.workflows.scoring.ensembling import check_heads, ensemble
from smartcli.workflows.scoring.evaluation import score_row
from smartcli.workflows.scoring.sources import Say, Subject, silent, subject_of
from smartcli.workflows.studies.cells import (
    Base,
    Cell,
    Planned,
    Watcher,
    check_all_tasks,
    plan,
    resolve_cell,
    seeds_from,
    shared_flags,
)
from smartcli.workflows.studies.jobs import work_off
from smartcli.workflows.training.training_inputs import fold_rows

if TYPE_CHECKING:
    from smartcli.engine.inference.split_outputs import Outputs

PREFIX = "folds"
OUT_OF_FOLD = "predictions-out-of-fold.csv"


@dataclass(frozen=True)
class FoldPlan:
    """The trainings to do, and the ensemble's name where the user gave one."""

    base: Base
    planned: tuple[Planned, ...]
    folds: int
    name: str | None


@dataclass(frozen=True)
class FoldOutcome:
    """The ensemble of the folds, and the table of members and ensemble on dev, with the score out of fold below it."""

    checkpoint: Checkpoint
    table: ScoreTable
    path: Path
    """Where the out-of-fold predictions are."""


def plan_folds(
    home: Home,
    folds: int,
    flags: Mapping[str, Any],
    *,
    config: Path | None = None,
    recipe: str | None = None,
) -> FoldPlan:
    """Plan a training a fold, all options and folds checked, so that nothing is trained in vain.

    UserErrors: fewer than two folds, more than a class has rows, `--tasks` or `--fold` beside it, a name that is taken
    by something else.
    """
    check_count(folds)
    shared = shared_flags(flags, ("fold",), "--folds")
    name = flags.get("name")
    if name is not None:
        check_name(str(name), "--name")
    base = Base(home, str(name or PREFIX), shared, config, recipe)
    (seed,) = seeds_from(base, 1)
    resolved = resolve_cell(base, "finetune", {**shared, "fold": f"1/{folds}", "seed": seed})
    data_set, settings = resolved.data_set, resolved.settings
    trained = data_set.tasks.select(settings.tasks)
    check_all_tasks(resolved, "--folds")
    for task in trained:
        if "train" in data_set.splits(task.name):
            fold_rows(data_set, task, settings.rows, folds)
    # Only now, since a cell is work too, and there are no more folds than rows.
    cells = [
        Cell(f"fold{i}of{folds}", f"fold {i} of {folds}", {"fold": f"{i}/{folds}"}, seed) for i in range(1, folds + 1)
    ]
    planned = plan(base, cells)
    if name is not None and name in Registry(home).names():
        _check_own(Registry(home).open(str(name)), [one.name for one in planned])
    return FoldPlan(base, tuple(planned), folds, None if name is None else str(name))


def _check_own(there: Checkpoint, members: Sequence[str]) -> None:
    if [one.name for one in there.meta.lineage.members] != list(members):
        raise UserError(
            f"--name {there.name}: there is a checkpoint of that name that is not the ensemble of these trainings; "
            "choose another name"
        )


def train_folds(
    fold_plan: FoldPlan, argv: list[str], watcher: Watcher, jobs: int = 1, say: Say = silent
) -> FoldOutcome:
    """Train what is not there yet, predict each fold's rows by the training without them, and register the ensemble.

    The same command again goes on, and makes nothing twice.
    """
    home = fold_plan.base.home
    finished = work_off(fold_plan.base, fold_plan.planned, argv, watcher, jobs)
    registry = Registry(home)
    members = [registry.open(one.planned.name) for one in finished]
    subject = subject_of(home, members)
    for member in members:
        check_heads(member, subject)
    data_set = open_data(home, members[0].meta.settings["data"])
    name = fold_plan.name or _name(members)
    if name in registry.names():
        made = registry.open(name)
        _check_own(made, [member.name for member in members])
        say(f'"{name}" is finished already')
    else:
        found = out_of_fold(home, members, data_set, fold_plan.folds, say)
        files = {OUT_OF_FOLD: write_predictions(found)}
        made = ensemble(home, [one.name for one in members], name=name, argv=argv, files=files).checkpoint
    return FoldOutcome(made, _table(members, made, subject, seen_before(registry, members[0])), made.path(OUT_OF_FOLD))


def _name(members: Sequence[Checkpoint]) -> str:
    """Return a name that follows from the members, so that the same command finds its ensemble again."""
    known = "\0".join(f"{one.name}@{one.manifest_hash}" for one in members)
    return f"folds{len(members)}-{hashlib.sha256(known.encode()).hexdigest()[:8]}"


def out_of_fold(home: Home, members: Sequence[Checkpoint], data_set: DataSet, folds: int, say: Say) -> Predictions:
    """Return predictions of every train row, each by the member that was trained without it, in the rows' order.

    `members` are in the order of their folds.
    """
    settings = Settings.from_json(members[0].meta.settings)
    tasks = [task for task in data_set.tasks if "train" in data_set.splits(task.name)]
    placed = {task.name: fold_rows(data_set, task, settings.rows, folds) for task in tasks}
    parts: dict[str, list[tuple[NDArray[np.int64], Outputs]]] = {task.name: [] for task in tasks}
    for fold, member in enumerate(members):
        say(f"{member.name}: predicting the train rows of its fold")
        for name, outputs in _predict_left_out(
            home, member, data_set, {n: r[f == fold] for n, (r, f) in placed.items()}
        ):
            parts[name].append((np.flatnonzero(placed[name][1] == fold), outputs))
    return {task.name: _joined(data_set, task.name, placed[task.name][0], parts[task.name]) for task in tasks}


def _predict_left_out(
    home: Home, member: Checkpoint, data_set: DataSet, rows: Mapping[str, NDArray[np.int64]]
) -> Iterator[tuple[str, Outputs]]:
    from smartcli.engine.training.batches import Split
    from smartcli.engine.training.row_sets import take
    from smartcli.workflows.scoring.model_outputs import LoadedModel

    model = LoadedModel(home, member)
    tokens = open_tokens(data_set, model.tokenizer)
    for name, own in rows.items():
        whole = Split(tokens.sides(name, "train"), None, data_set.rows(name, "train").id)
        yield name, model.outputs(name, take(whole, own).sides)


def _joined(
    data_set: DataSet, task: str, rows: NDArray[np.int64], parts: Sequence[tuple[NDArray[np.int64], Outputs]]
) -> TaskPredictions:
    """Return parts, each with its places among `rows`, as one; every place is filled once."""
    split = data_set.rows(task, "train")
    places = np.concatenate([place for place, _ in parts])
    order = np.argsort(places)
    assert np.array_equal(places[order], np.arange(len(rows))), "each row is in one fold"
    shares = [found.probabilities for _, found in parts if found.probabilities is not None]
    return TaskPredictions(
        task,
        [split.id(row) for row in rows.tolist()],
        None if split.labels is None else split.labels[rows].astype(np.float64),
        np.concatenate([found.predictions for _, found in parts])[order],
        np.concatenate(shares)[order] if shares else None,
    )


def seen_before(registry: Registry, member: Checkpoint) -> list[str]:
    """Return `--init` and `--teacher` of a fold's training, with the tasks whose left-out labels they knew."""
    found = []
    for option in ("init", "teacher"):
        given = name = member.meta.settings.get(option)
        tasks: set[str] = set()
        while name is not None and name in registry.names():
            start = registry.open(name)
            # pretrain-text reads texts alone; what came before it may have seen labels.
            if start.kind != "pretrain-text" and start.fingerprint == member.fingerprint:
                tasks.update(start.meta.task_names)
            name = start.meta.lineage.init.name if start.meta.lineage.init else None
        if known := [task for task in member.meta.task_names if task in tasks]:
            found.append(f"--{option} {given} had been trained on these rows of {', '.join(known)}")
    return found


def _table(members: Sequence[Checkpoint], made: Checkpoint, subject: Subject, seen: Sequence[str]) -> ScoreTable:
    tasks = tuple(subject.tasks)
    found = read_predictions(made.read(OUT_OF_FOLD), f"{made.name}/{OUT_OF_FOLD}")
    scores = score_tasks(tasks, found)
    shown = [f"{name} {three(one.value)} ({one.n:,} rows)" for name, one in scores.items() if one is not None]
    remark = f"train rows, each predicted by the training without it: {', '.join(shown)}"
    told = [f"{one}: their scores out of fold are too good" for one in seen]
    return ScoreTable(
        data=subject.name,
        fingerprint=subject.fingerprint,
        title=subject.title,
        split="dev",
        tasks=tasks,
        rows=[score_row(one, tasks, one.predictions()) for one in (*members, made)],
        remarks=[f"{remark}, overall {three(overall(list(scores.values())))}", *told],
    )

"""`smart evaluate`: the table of scores, from stored predictions where there are some."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smartcli.data.predictions import Predictions
from smartcli.errors import SmartCliError, UserError, suggest
from smartcli.home import Home
from smartcli.metrics import ClassScore, by_class, overall, score_tasks
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.registry import Registry
from smartcli.report.tables import ScoreRow, ScoreTable
from smartcli.tasks import Task
from smartcli.voting import halves
from smartcli.workflows.scoring.over_seeds import seed_lines
from smartcli.workflows.scoring.sources import Say, Subject, predictions_on, silent, subject_of, subject_of_data
from smartcli.workflows.studies.paper_recipes import paper_lines

if TYPE_CHECKING:
    from smartcli.data.store import DataSet

SCORED_SPLITS = ("dev", "test")
IN_INT8 = " (int8)"
"""Stands behind the name of a checkpoint that was run in int8."""


def evaluate(
    home: Home,
    patterns: Sequence[str] = (),
    *,
    split: str = "dev",
    data: str | None = None,
    paper: bool = False,
    classes: bool = False,
    int8: bool = False,
    say: Say = silent,
) -> ScoreTable:
    """Score the named checkpoints, or all that were trained on the data set, on a labelled split.

    With `classes` each row also has precision, recall and F1 of every class. With `int8` the models run in int8.

    UserErrors: nothing registered, unknown names, data sets that differ or have changed, a split without labels.
    """
    check_split(split)
    registry = Registry(home)
    notes: list[str] = []
    if patterns:
        chosen = [registry.open(name) for name in registry.expand(patterns)]
        subject = subject_of(home, chosen, data)
    else:
        subject, chosen = _all_on(home, registry, data, notes)
    check_labels(subject, split)
    rows = []
    for checkpoint in chosen:
        found = predictions_on(home, registry, checkpoint, subject, split, say, int8=int8)
        if picked_on(checkpoint, split, subject):
            found = halves(found, subject.fingerprint)[1]
        row = score_row(checkpoint, subject.tasks, found)
        if int8:
            row = replace(row, checkpoint=f"{row.checkpoint}{IN_INT8}")
        rows.append(replace(row, by_class=classes_of(subject.tasks, found)) if classes else row)
        notes += notes_on(checkpoint, row, split, subject)
    remarks = [*seed_lines(chosen, rows, tuple(subject.tasks)), *remarks_on(chosen, subject)]
    if int8:
        remarks.append("linear layers in int8; `smart compare CKPT CKPT --int8` says what that costs")
    if paper:
        rows += paper_lines(subject.tasks, split)
    return table_of(subject, split, rows, list(dict.fromkeys(notes)), remarks)


def table_of(
    subject: Subject,
    split: str,
    rows: Sequence[ScoreRow],
    notes: Sequence[str],
    remarks: Sequence[str],
    part: str = "",
) -> ScoreTable:
    """Return the table of these rows, scored on a split of the subject's data, or on a `part` of it."""
    return ScoreTable(
        data=subject.name,
        fingerprint=subject.fingerprint,
        title=subject.title,
        split=split,
        tasks=tuple(subject.tasks),
        rows=rows,
        notes=notes,
        part=part,
        remarks=remarks,
    )


def _all_on(home: Home, registry: Registry, data: str | None, notes: list[str]) -> tuple[Subject, list[Checkpoint]]:
    """Return the data set of `--data`, else the one prepared last, and every checkpoint trained on it."""
    opened, problems = registry.scan()
    # One of pretrain-text has no head, and nothing to score.
    opened = [checkpoint for checkpoint in opened if checkpoint.meta.tasks]
    notes += [f"left out: {problem}; `smart checkpoints verify` looks closer" for problem in problems]
    if not opened:
        for note in notes:
            raise SmartCliError(note)
        raise UserError(f"there is no checkpoint in {home.root} yet; {next_step(home)}")
    if data is None and not _any_data(home):
        return subject_of(home, opened), opened
    from smartcli.data.store import open_data

    data_set = open_data(home, data)
    chosen = [c for c in opened if c.meta.data.fingerprint == data_set.fingerprint]
    stale = [c.name for c in opened if c.meta.data.name == data_set.name and c not in chosen]
    if not chosen:
        raise UserError(_none_on(data_set, opened, stale))
    if stale:
        notes.append(
            f'left out, since the data set "{data_set.name}" has changed since they were trained: {", ".join(stale)}'
        )
    return subject_of_data(data_set), chosen


def _any_data(home: Home) -> bool:
    return home.data.is_dir() and any(path.is_dir() and path.name[0] != "." for path in home.data.iterdir())


def next_step(home: Home) -> str:
    """Return what a user without a checkpoint does next."""
    if _any_data(home):
        return "train one with `smart finetune`, then run `smart evaluate` again"
    return "run `smart prepare demo`, then `smart finetune`, then `smart evaluate` again"


def _none_on(data_set: DataSet, opened: Sequence[Checkpoint], stale: Sequence[str]) -> str:
    if stale:
        trained = f"{', '.join(stale)} {'was' if len(stale) == 1 else 'were'} trained"
        return (
            f'the data set "{data_set.name}" has changed since {trained} (fingerprint now '
            f"{data_set.fingerprint[:12]}); train again with `smart finetune --data {data_set.name}`, or score "
            f"on the data as it is now with `smart evaluate {stale[0]} --data {data_set.name}`"
        )
    others = ", ".join(sorted({c.meta.data.name for c in opened}))
    return (
        f'no checkpoint was trained on the data set "{data_set.name}"; there are {len(opened)} on {others}: name them, '
        f"or give --data; `smart finetune --data {data_set.name}` trains one"
    )


def check_split(split: str) -> None:
    """Raise a UserError where `split` is none that can be scored."""
    if split not in SCORED_SPLITS:
        raise UserError(
            f'--split must be one of {", ".join(SCORED_SPLITS)}; found "{split}"{suggest(split, SCORED_SPLITS)}'
        )


def check_labels(subject: Subject, split: str) -> None:
    """Raise a UserError where the data set has no such split, or no task of it has labels."""
    data_set = subject.data_set if split == "dev" else subject.require()
    if data_set is None:
        return
    with_split = [task.name for task in subject.tasks if split in data_set.splits(task.name)]
    if not with_split:
        raise UserError(f'the data set "{subject.name}" has no {split} split')
    if not any(data_set.labelled(name, split) for name in with_split):
        raise UserError(
            f'the {split} split of "{subject.name}" has no labels, so it cannot be scored; '
            "`smart predict` writes predictions for it"
        )


def score_row(checkpoint: Checkpoint, tasks: Iterable[Task], predictions: Predictions) -> ScoreRow:
    """Return the line of one checkpoint; a task without predictions is None, and so is overall then."""
    scores = score_tasks(tasks, predictions)
    meta = checkpoint.meta
    settings = {} if meta.ensemble else meta.settings
    return ScoreRow(
        checkpoint=checkpoint.name,
        kind=meta.kind,
        method=meta.method,
        lam=lambda_of(settings.get("lambda"), meta.task_names),
        dropout=settings.get("dropout"),
        seed=settings.get("seed"),
        scores=scores,
        overall=overall(list(scores.values())),
    )


def classes_of(tasks: Iterable[Task], predictions: Predictions) -> dict[str, list[ClassScore]]:
    """Return each class's scores, of the tasks of classes that have predictions and labels."""
    out = {}
    for task in tasks:
        rows = predictions.get(task.name)
        if task.classes and rows is not None and rows.labels is not None:
            out[task.name] = by_class(task, rows.labels, rows.predictions)
    return out


def is_greedy_soup(checkpoint: Checkpoint) -> bool:
    """Return whether one half of its data set's dev rows picked what is in a checkpoint."""
    return checkpoint.meta.kind == "soup" and checkpoint.meta.lineage.selection is not None


def picked_on(checkpoint: Checkpoint, split: str, subject: Subject) -> bool:
    """Return whether one half of these rows picked what is in a greedy soup, so that only the other one may score it.

    An ensemble is scored on all of them, as the paper's is, with a note.
    """
    return is_greedy_soup(checkpoint) and split == "dev" and checkpoint.fingerprint == subject.fingerprint


def undefined_scores(rows: Iterable[ScoreRow]) -> list[str]:
    """Return why a score of these lines is undefined, a note for each."""
    return [f"{row.checkpoint}: {score.note}" for row in rows for score in row.scores.values() if score and score.note]


def lambda_of(value: Any, tasks: Sequence[str]) -> float | dict[str, float] | None:
    """Return stored λ as one number, or a number a task where the tasks' differ."""
    if not isinstance(value, Mapping):
        return None if value is None else float(value)
    by_task = {task: float(value.get(task, value["default"])) for task in tasks}
    return by_task if len(set(by_task.values())) > 1 else next(iter(by_task.values()), None)


def notes_on(checkpoint: Checkpoint, row: ScoreRow, split: str, subject: Subject) -> list[str]:
    """Return what a reader must know about a line: undefined scores, and members chosen on these rows."""
    notes = undefined_scores([row])
    selection = checkpoint.meta.lineage.selection
    if picked_on(checkpoint, split, subject):
        notes.append(f"{row.checkpoint}: scored on the half of dev that did not pick what is in it")
    elif selection and split == "dev" and checkpoint.meta.data.fingerprint == subject.fingerprint:
        notes.append(
            f"{row.checkpoint}: its {selection['top']} members were chosen from {selection['of']} on half of these "
            "rows, so this score is a little high; `smart show` has the one on the other half"
        )
    return notes


def remarks_on(checkpoints: Sequence[Checkpoint], subject: Subject) -> list[str]:
    """Return what must be said beside these scores: encoders that had seen a task's real data before."""
    from smartcli.workflows.studies.paper_recipes import encoder_notes

    data = subject.data_set
    if (data.source if data is not None else checkpoints[0].meta.data.source) == "demo":
        return []
    ids = sorted({one for checkpoint in checkpoints for one in checkpoint.meta.encoder_ids})
    return [f"{one}: {note}" for one in ids for note in encoder_notes(one, subject.tasks.names)]


def check_outputs(paths: Mapping[str, Path | None], *, as_json: bool) -> None:
    """Raise a UserError where a file of `--csv` or `--latex` cannot be written, before anything is scored."""
    to_stdout = [option for option, path in paths.items() if path == Path("-")] + ["--json"] * as_json
    if len(to_stdout) > 1:
        both = " and ".join(f"{option} -" if option != "--json" else option for option in to_stdout)
        raise UserError(f"{both} both go to stdout; give {to_stdout[0]} a file name")
    for option, path in paths.items():
        if path is None or path == Path("-"):
            continue
        if path.is_dir():
            raise UserError(f"{option} {path}: a folder; expected a file name")
        if not path.absolute().parent.is_dir():
            raise UserError(f"{option} {path}: there is no folder {path.parent}; make it first")

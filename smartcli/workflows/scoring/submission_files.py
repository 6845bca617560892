"""`smart predict --submission`: the course's six files, checked against the data's accepted rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smartcli.atomic import DISK, new_folder, write_file
from smartcli.counts import counted
from smartcli.data.store import DataSet
from smartcli.data.submission import COURSE_SPLITS, COURSE_TASKS, CourseTask, check_rows, submission_text
from smartcli.errors import UserError, suggest
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.registry import Registry
from smartcli.workflows.scoring.sources import Say, predictions_on, silent, subject_of


@dataclass(frozen=True)
class Submission:
    """The files that were written, with their rows, and the dev rows that prepare had skipped."""

    files: dict[str, int]
    left_out: list[str]
    others: tuple[str, ...] = ()
    """Submission files in the folder that this call did not write."""


def write_submission(
    home: Home, name: str, folder: Path, *, split: str = "both", data: str | None = None, say: Say = silent
) -> Submission:
    """Write a checkpoint's submission files for dev, test or both into `folder`: all of them or none.

    UserErrors: the data set has not the course's tasks or a split, has changed since training, or the
    checkpoint lacks a head. Files of other names in `folder` stay.
    """
    choices = (*COURSE_SPLITS, "both")
    if split not in choices:
        raise UserError(f'--split must be one of {", ".join(choices)}; found "{split}"{suggest(split, choices)}')
    splits = COURSE_SPLITS if split == "both" else (split,)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--submission {folder}: a file; expected a folder, which may be new")
    registry = Registry(home)
    checkpoint = registry.open(name)
    subject = subject_of(home, [checkpoint], data)
    data_set = subject.require()
    _check_tasks(checkpoint, data_set, splits)
    texts: dict[str, str] = {}
    counts: dict[str, int] = {}
    for one in splits:
        found = predictions_on(home, registry, checkpoint, subject, one, say)
        for course in COURSE_TASKS:
            rows = found[course.task]
            check_rows(course.task, one, data_set.rows(course.task, one).id_list(), rows.ids)
            texts[course.file(one)] = submission_text(course, rows, data_set.tasks.get(course.task).kind)
            counts[course.file(one)] = len(rows)
    _write(folder, texts)
    every = (course.file(one) for one in COURSE_SPLITS for course in COURSE_TASKS)
    others = tuple(file for file in every if file not in texts and (folder / file).exists())
    return Submission(counts, skipped_rows(data_set, splits), others)


def _write(folder: Path, texts: dict[str, str]) -> None:
    if folder.exists():
        for file, text in texts.items():
            write_file(folder / file, text)
        return
    with new_folder(folder.absolute()) as temp:
        for file, text in texts.items():
            DISK.write(temp / file, text.encode())


def _check_tasks(checkpoint: Checkpoint, data_set: DataSet, splits: Sequence[str]) -> None:
    heads = checkpoint.heads
    for course in COURSE_TASKS:
        if course.task not in data_set.tasks:
            raise UserError(
                f"--submission writes files for the course's tasks {_course_names()}; the data set "
                f'"{data_set.name}" has {", ".join(data_set.tasks.names)}'
            )
        if course.task not in heads:
            raise UserError(
                f'{checkpoint.name} has no head for "{course.task}", so the submission would lack a file; '
                f"it has heads for {', '.join(heads.names)}"
            )
        _check_splits(course, data_set, splits)


def _check_splits(course: CourseTask, data_set: DataSet, splits: Sequence[str]) -> None:
    for split in splits:
        if split not in data_set.splits(course.task):
            other = "; --split dev writes the others" if split == "test" else ""
            raise UserError(f'the data set "{data_set.name}" has no {split} split of "{course.task}"{other}')


def _course_names() -> str:
    return ", ".join(course.task for course in COURSE_TASKS)


def skipped_rows(data_set: DataSet, splits: Sequence[str]) -> list[str]:
    """Return `file:line: reason` of the rows of `splits` that prepare skipped, and whether more went unlisted."""
    listed = data_set.info.get("skipped", [])
    lines = [f"{row['file']}:{row['line']}: {row['reason']}" for row in listed if row.get("split") in splits]
    unlisted = data_set.info.get("skipped_rows", len(listed)) - len(listed)
    more = [f"and maybe some of {counted(unlisted, 'more skipped row')} that prepare did not list"] if unlisted else []
    return lines + more

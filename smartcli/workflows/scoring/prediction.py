"""`smart predict`: label new rows, from file to file or through stdin and stdout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from smartcli.atomic import write_output
from smartcli.counts import counted
from smartcli.data.answers import CLASS, PREDICTION, Wish, answers, check_free, columns_for, type_of_prediction
from smartcli.data.predictions import TaskPredictions
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.registry import Registry
from smartcli.task_keys import encoding_key
from smartcli.tasks import Task
from smartcli.voting import combine
from smartcli.workflows.scoring.sources import Say, members_of, silent

STREAM = Path("-")
NO_WISH = Wish()


@dataclass(frozen=True)
class Labelled:
    """What `predict_file` did; `content` holds the output where it goes to stdout, else nothing."""

    task: str
    rows: int
    content: bytes
    empty: tuple[str, ...] = ()
    """Where rows without a text stand, as `file:line`; they have no prediction."""
    replaced: bool = False
    """Whether another file of that name was replaced."""


def predict_file(
    home: Home,
    name: str,
    task_name: str | None,
    source: Path,
    target: Path,
    stdin: BinaryIO,
    *,
    wish: Wish = NO_WISH,
    encoding: str | None = None,
    safe: bool = False,
    delimiter: str | None = None,
    output_encoding: str | None = None,
    int8: bool = False,
    say: Say = silent,
) -> Labelled:
    """Label the rows of `source` (`-`: `stdin`) with a checkpoint and write them to `target` (`-`: returned).

    Everything about the files is checked before a model is loaded. UserErrors name the option or `file:line`.
    A row without a text gets empty cells in place of an answer. `encoding` is that of the input's text; `delimiter` and
    `output_encoding` are those of a csv or tsv output. With `int8` linear layers multiply in int8, on the CPU.
    """
    from smartcli.data.outputs import TextForm, format_of, output_format, render
    from smartcli.data.rows_to_label import read_inputs

    checkpoint = Registry(home).open(name)
    given = stdin.read() if source == STREAM else source
    if encoding is not None:
        encoding = encoding_key({"encoding": encoding}, "--encoding")
    task = task_for(checkpoint, task_name, given, encoding)
    wish.check(task)
    form = TextForm.of(delimiter, output_encoding)
    if target != STREAM:
        format_of(target)
        check_target(target)
        if source != STREAM and source.exists() and target.exists() and source.samefile(target):
            raise UserError(f"--output {target}: this is the --input file; choose another name")
    inputs = read_inputs(given, task, encoding, allow_empty=True)
    kind = output_format(None if target == STREAM else target, inputs)
    form.check(kind, "stdout" if target == STREAM else str(target))
    wanted = columns_for(task, wish)
    added = check_free(inputs.columns, wanted, f"{inputs.name}: has")
    if len(added) < len(wanted):
        say(f'{inputs.name} has a column "{CLASS}" already, which stays; the class number is left out')
    say(f"{name}: labelling {counted(len(inputs), 'row')} for {task.name}")
    found = label(home, checkpoint, task, [texts for texts in inputs.texts if texts], int8=int8)
    columns = spread(answers(task, found, wish), [bool(texts) for texts in inputs.texts])
    types = {PREDICTION: type_of_prediction(task), CLASS: int}
    content = render(inputs, {column: columns[column] for column in added}, kind, types=types, safe=safe, form=form)
    if target == STREAM:
        return Labelled(task.name, len(inputs), content, inputs.empty)
    replaced = target.exists()
    write_output(target, content)
    return Labelled(task.name, len(inputs), b"", inputs.empty, replaced)


def spread(columns: Mapping[str, Sequence[Any]], there: Sequence[bool]) -> dict[str, list[Any]]:
    """Return columns with a value for each row that is `there`, in order, and None for each other one."""
    values = {name: iter(column) for name, column in columns.items()}
    return {name: [next(own) if one else None for one in there] for name, own in values.items()}


def choose_task(checkpoint: Checkpoint, name: str | None) -> Task:
    """Return the task `name`, or the only one that the checkpoint has a head for."""
    tasks = checkpoint.heads
    if name is not None:
        return tasks.get(name, f"--task for {checkpoint.name}")
    if len(tasks) > 1:
        raise UserError(f"--task is needed: {checkpoint.name} has heads for {', '.join(tasks.names)}")
    return tasks.first


def task_for(checkpoint: Checkpoint, name: str | None, given: Path | bytes, encoding: str | None = None) -> Task:
    """Return the task `name`, the only one that the checkpoint has, or the only one whose columns the rows have."""
    from smartcli.data.rows_to_label import STDIN, columns_of

    tasks = checkpoint.heads
    if name is not None or len(tasks) == 1:
        return choose_task(checkpoint, name)
    columns: tuple[str, ...] = ()
    fitting: list[Task] = []
    faults: list[UserError] = []
    for task in tasks:
        # Tasks may differ in the encoding or the sheet that their files have.
        try:
            columns = columns_of(given, task, encoding)
        except UserError as error:
            faults.append(error)
        else:
            fitting += [task] if set(task.text) <= set(columns) else []
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(task.name for task in fitting)
        raise UserError(f"--task is needed: the rows have the columns of {names}")
    if faults:
        raise faults[0]
    needed = "; ".join(f"{task.name} needs {' and '.join(task.text)}" for task in tasks)
    where = STDIN if isinstance(given, bytes) else str(given)
    raise UserError(f"{where}: no task of {checkpoint.name} fits the columns {', '.join(columns)}: {needed}")


def check_target(target: Path) -> None:
    """Raise a UserError where no file can be written at `target`."""
    if target.is_dir():
        raise UserError(f"--output {target}: a folder; expected a file name")
    if not target.absolute().parent.is_dir():
        raise UserError(f"--output {target}: there is no folder {target.parent}; make it first")


def label(
    home: Home, checkpoint: Checkpoint, task: Task, texts: Sequence[Sequence[str]], *, int8: bool = False
) -> TaskPredictions:
    """Return predictions for new texts, one or two a row; an ensemble asks its members and combines them."""
    from smartcli.workflows.scoring.model_outputs import label_rows

    if checkpoint.kind != "ensemble":
        return label_rows(home, checkpoint, task.name, texts, int8=int8)
    members = members_of(Registry(home), checkpoint)
    each = [{task.name: label_rows(home, member, task.name, texts, int8=int8)} for member in members]
    return combine([task], each, [member.name for member in members], checkpoint.meta.vote)[task.name]

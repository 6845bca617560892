"""Own tasks: a folder with `tasks.toml` and the files that it names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from smartcli.data.accept import SplitSource
from smartcli.data.own_split import divide_own
from smartcli.data.reading import Reading, read_splits
from smartcli.data.saving import RowSink
from smartcli.errors import UserError
from smartcli.tasks import SPLITS, Task, TaskTable, parse_task_table

TABLE = "tasks.toml"


def read_table(folder: Path) -> TaskTable:
    """Read `tasks.toml` of `folder`; a UserError names file, task and key."""
    path = folder / TABLE
    if not path.is_file():
        what = "not a file" if path.exists() else "no such file"
        raise UserError(f"{path}: {what}; expected a table of tasks, one [[task]] each (see `smart prepare --help`)")
    try:
        value = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: expected UTF-8 text, found byte 0x{error.object[error.start]:02x}") from error
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        place = f"{path}:{found.group(1)}" if found else str(path)
        raise UserError(f"{place}: not valid TOML: {error}{_hint(path, found)}") from error
    except (RecursionError, ValueError) as error:
        raise UserError(f"{path}: not valid TOML: nested too deeply or a number too large") from error
    table = parse_task_table(value, str(path))
    for task in table:
        _check(task, f'{path}, task "{task.name}"')
    named = {entry["name"] for entry in value["task"] if entry.get("labels")}
    # A binary task whose labels are not declared learns them from its train file, as a classification does.
    learns = {task.name for task in table if task.kind == "binary" and task.train} - named
    return TaskTable(tuple(task.with_labels(()) if task.name in learns else task for task in table))


def _hint(path: Path, found: re.Match[str] | None) -> str:
    """Return what is often wrong in the line that a TOML error names."""
    lines = path.read_text("utf-8-sig").split("\n")
    line = lines[int(found[1]) - 1] if found and int(found[1]) <= len(lines) else ""
    return "; a number starts with a digit: 0.1, not .1" if re.search(r"[=\[,]\s*-?\.\d", line) else ""


def _check(task: Task, where: str) -> None:
    splits = [split for split in SPLITS if task.file(split)]
    if not splits:
        raise UserError(f'{where}: no files; expected "train" and "dev" (and, if there is one, "test")')
    columns = [*task.text, *(task.label_columns or (task.label,)), *([task.id] if task.id else [])]
    if len(set(columns)) != len(columns):
        raise UserError(f'{where}: "text", "label" and "id" must name different columns, found {", ".join(columns)}')
    if task.kind in ("classification", "multilabel") and not task.labels and "train" not in splits:
        raise UserError(f'{where}: without a "train" file the class names are unknown; declare "labels"')


def own_sources(folder: Path, table: TaskTable) -> list[SplitSource]:
    """Return the splits that a table declares, its files relative to `folder`."""
    return [
        SplitSource(task, split, (folder / file,), task.text, task.label, task.id)
        for task in table
        for split in SPLITS
        if (file := task.file(split))
    ]


def read_own(folder: Path, sink: RowSink, strict: bool = False, table: TaskTable | None = None) -> Reading:
    """Read a folder of own tasks into `sink`; one UserError lists what is wrong, by file and line.

    `table` stands for the folder's tasks.toml where it is given.
    """
    table = read_table(folder) if table is None else table
    reading = read_splits(table, own_sources(folder, table), sink, strict=strict)
    for task in reading.tasks:
        if task.split is not None:
            reading.notes.append(divide_own(sink, task, task.split))
        missing = [split for split in ("train", "dev") if split not in sink.splits[task.name]]
        if missing:
            what = "be trained on" if "train" in missing else "choose a best epoch"
            reading.warnings.append(f'task "{task.name}" has no {" and no ".join(missing)} file, so it cannot {what}')
    return reading

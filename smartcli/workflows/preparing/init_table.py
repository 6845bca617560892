"""`smart init`: a commented tasks.toml for a folder's files; and the same guess for `smart prepare FILE`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from smartcli.atomic import write_output
from smartcli.data.guess_files import TaskFiles, group_files, table_files
from smartcli.data.guess_group import Ask, GuessedTask, guess_group
from smartcli.data.guess_toml import table_toml
from smartcli.data.own import TABLE
from smartcli.data.task_guess import Open
from smartcli.errors import UserError, suggest
from smartcli.tasks import TaskTable, parse_task_table


@dataclass(frozen=True)
class Given:
    """What options say: `TASK:VALUE`, or a value alone where there is one task; `task` names those that are wanted."""

    text: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    id: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    sheet: tuple[str, ...] = ()
    task: tuple[str, ...] = ()


@dataclass(frozen=True)
class GuessedTable:
    """All tasks of some files, and the files that were left out."""

    folder: Path
    tasks: tuple[GuessedTask, ...]
    left_out: tuple[Path, ...] = ()

    def toml(self, folder: str | None = None) -> str:
        """Return the text of the tasks.toml; its comment speaks of `folder`, by default that of the files."""
        return table_toml([(task.values, task.reasons, task.notes) for task in self.tasks], folder or str(self.folder))

    def table(self) -> TaskTable:
        """Return it as `smart prepare` reads it."""
        return parse_task_table({"task": [dict(task.values) for task in self.tasks]}, "the guessed table")


def init_folder(folder: Path, given: Given, ask: Ask | None) -> GuessedTable:
    """Write the tasks.toml of a folder, or of one file beside it; UserError where one is there, or a choice is open."""
    alone = folder.is_file()
    target = (folder.parent if alone else folder) / TABLE
    files = [folder] if alone else table_files(folder)
    if target.exists():
        raise UserError(f"{target}: is there already and is never overwritten; correct it, or remove it first")
    guessed = guess_table(files, given, ask)
    guessed.table()  # What an option says may be wrong: nothing is written then.
    write_output(target, guessed.toml().encode("utf-8"))
    return guessed


def guess_table(files: Sequence[Path], given: Given, ask: Ask | None, command: str = "") -> GuessedTable:
    """Return the table that files amount to; without `ask` an open choice is a UserError naming the options.

    `command` says, where a choice is open, which command takes these options.
    """
    groups = group_files(files)
    wanted = _wanted(groups, given.task)
    answers = _answers(given, [group.name for group in wanted])
    tasks: list[GuessedTask] = []
    unsettled: list[str] = []
    for group in wanted:
        try:
            _check_name(group, wanted)
            task, choices = guess_group(group, answers[group.name], ask)
        except UserError as error:
            raise _with_way_out(error, group, wanted, command) from None
        tasks.append(task)
        unsettled += [_line(group.name, choice, len(wanted) > 1) for choice in choices]
    if unsettled:
        hint = f"; {command}" if command else ""
        raise UserError("\n  ".join([f"what these files hold is open; answer with options{hint}:", *unsettled]))
    left_out = tuple(path for group in groups if group not in wanted for path in group.files.values())
    return GuessedTable(files[0].parent, tuple(tasks), left_out)


def _wanted(groups: Sequence[TaskFiles], names: Sequence[str]) -> list[TaskFiles]:
    known = [group.name for group in groups]
    for name in names:
        if name not in known:
            raise UserError(
                f"--task {name}: no such task; by their names the files are of {', '.join(known)}{suggest(name, known)}"
            )
    return [group for group in groups if not names or group.name in names]


def _answers(given: Given, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return for each task what the options say of it, by the option's name."""
    answers: dict[str, dict[str, str]] = {name: {} for name in names}
    for option in (field.name for field in fields(Given) if field.name != "task"):
        for word in getattr(given, option):
            task, value = _addressed(f"--{option}", word, names)
            if option in answers[task]:
                raise UserError(
                    f"--{option}: stands twice for the task {task}, as {answers[task][option]!r} and {value!r}; "
                    "expected it once a task"
                )
            answers[task][option] = value
    return answers


def _addressed(option: str, word: str, names: Sequence[str]) -> tuple[str, str]:
    task, colon, value = word.partition(":")
    if colon and task in names:
        return task, value
    if len(names) == 1:
        return names[0], word
    raise UserError(
        f"{option} {word}: there are {len(names)} tasks ({', '.join(names)}); write {option} TASK:{value or word}"
        f"{suggest(task, names) if colon else ''}"
    )


def _check_name(group: TaskFiles, wanted: Sequence[TaskFiles]) -> None:
    """Raise a UserError where a file is called dev or test, without train, and other tasks have files: a slip."""
    if group.called is not None and len(wanted) > 1:
        path = group.files["train"]
        others = ", ".join(other.name for other in wanted if other is not group)
        raise UserError(
            f"{path}: is called {group.called}, but no train file has that name; call it like the files that "
            f"it belongs to ({others})"
        )


def _with_way_out(error: UserError, group: TaskFiles, wanted: Sequence[TaskFiles], command: str) -> UserError:
    """Say how a file that is no task is left out, where there are others, and which command takes the options."""
    others = " ".join(f"--task {other.name}" for other in wanted if other is not group)
    said = f"{error}; or leave {group.name} out, with {others}" if others else str(error)
    return UserError(f"{said}; {command}") if command and " --" in said else UserError(said)


def _line(task: str, choice: Open, several: bool) -> str:
    prefix = f"{task}:" if several else ""
    options = " or ".join(f"{choice.option} {_quoted(prefix + value)}" for value in choice.choices[:6])
    return f"{task}: {choice.question} → {options}"


def _quoted(value: str) -> str:
    return f"'{value}'" if " " in value else value

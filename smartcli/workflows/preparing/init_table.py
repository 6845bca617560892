"""`smart init`: a commented tasks.toml for a folder's files; and the same guess for `smart prepare FILE`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartcli.atomic import write_output
from smartcli.data.guess import guess_task
from smartcli.data.guess_files import TaskFiles, group_files, table_files
from smartcli.data.guess_toml import table_toml
from smartcli.data.own import TABLE
from smartcli.data.profile import Profile, profile
from smartcli.data.readers.sniff import sniff
from smartcli.data.task_guess import Answers, Open, TaskGuess
from smartcli.errors import UserError, suggest
from smartcli.tasks import TaskTable, parse_task_table

Ask = Callable[[str, Open], str]
"""Of a task's name and an open choice, what the user answers."""
ONE_FILE = {"dev": 0.1, "test": 0.1, "seed": 0}
NO_DEV = {"dev": 0.1, "seed": 0}


@dataclass(frozen=True)
class Given:
    """What options say: `TASK:VALUE`, or a value alone where there is one task."""

    text: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    id: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    sheet: tuple[str, ...] = ()


@dataclass(frozen=True)
class GuessedTask:
    """A task as guessed: its keys and their reasons, in the words of tasks.toml."""

    values: Mapping[str, Any]
    reasons: Mapping[str, str]


@dataclass(frozen=True)
class GuessedTable:
    """All tasks of some files."""

    folder: Path
    tasks: tuple[GuessedTask, ...]

    def toml(self) -> str:
        return table_toml([(task.values, task.reasons) for task in self.tasks], str(self.folder))

    def table(self) -> TaskTable:
        """Return it as `smart prepare` reads it."""
        return parse_task_table({"task": [dict(task.values) for task in self.tasks]}, "the guessed table")


def init_folder(folder: Path, given: Given, ask: Ask | None) -> GuessedTable:
    """Write `folder`/tasks.toml and return what it says; UserError where one is there, or a choice is open."""
    target = folder / TABLE
    files = table_files(folder)
    if target.exists():
        raise UserError(f"{target}: is there already and is never overwritten; correct it, or remove it first")
    guessed = guess_table(files, given, ask)
    guessed.table()  # What an option says may be wrong: nothing is written then.
    write_output(target, guessed.toml().encode("utf-8"))
    return guessed


def guess_table(files: Sequence[Path], given: Given, ask: Ask | None, command: str = "") -> GuessedTable:
    """Return the table that files amount to; without `ask` an open choice is a UserError naming the options."""
    groups = group_files(files)
    names = [group.name for group in groups]
    answers = {name: {} for name in names}  # type: dict[str, dict[str, str]]
    for option in ("text", "label", "id", "kind", "labels", "sheet"):
        for word in getattr(given, option):
            task, value = _addressed(f"--{option}", word, names)
            answers[task][option] = value
    unsettled: list[str] = []
    tasks = tuple(_guess_group(group, answers[group.name], ask, unsettled, len(groups) > 1) for group in groups)
    if unsettled:
        hint = f"; {command}" if command else ""
        raise UserError("\n  ".join([f"what these files hold is open; answer with options{hint}:", *unsettled]))
    return GuessedTable(files[0].parent, tasks)


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


def _guess_group(
    group: TaskFiles, said: Mapping[str, str], ask: Ask | None, unsettled: list[str], several: bool
) -> GuessedTask:
    main = group.files.get("train") or next(iter(group.files.values()))
    sniffed = sniff(main)
    answers = {key: value for key, value in said.items() if key != "sheet"}
    sheet = said.get("sheet")
    if len(sniffed.sheets) > 1 and sheet not in sniffed.sheets:
        choice = Open("--sheet", f"which sheet of {main.name}? {', '.join(sniffed.sheets)}", sniffed.sheets)
        if ask is None:
            unsettled.append(_line(group.name, choice, several))
            return GuessedTask({}, {})
        sheet = ask(group.name, choice)
    looked = profile(main, sniffed, sheet)
    guess = guess_task(looked, _answers(answers))
    while guess.open and ask is not None:
        choice = guess.open[0]
        answers[choice.option.removeprefix("--")] = ask(group.name, choice)
        guess = guess_task(looked, _answers(answers))
    unsettled += [_line(group.name, choice, several) for choice in guess.open]
    return _with_files(group, guess, looked)


def _answers(said: Mapping[str, str]) -> Answers:
    return Answers(
        text=tuple(part.strip() for part in said["text"].split(",")) if "text" in said else (),
        label=said.get("label"),
        id=said.get("id"),
        kind=said.get("kind"),
        labels=tuple(part.strip() for part in said["labels"].split(",")) if "labels" in said else (),
    )


def _line(task: str, choice: Open, several: bool) -> str:
    prefix = f"{task}:" if several else ""
    options = " or ".join(f"{choice.option} {prefix}{_quoted(value)}" for value in choice.choices[:6])
    return f"{task}: {choice.question} → {options}"


def _quoted(value: str) -> str:
    return f"'{value}'" if " " in value else value


def _with_files(group: TaskFiles, guess: TaskGuess, looked: Profile) -> GuessedTask:
    values: dict[str, Any] = {"name": group.name, **guess.values}
    reasons = {"name": "from the files' names", **guess.reasons}
    for split, path in group.files.items():
        values[split] = path.name
    if "train" in group.files and "dev" not in group.files:
        values["split"] = ONE_FILE if group.alone else NO_DEV
        reasons["split"] = "there is no dev file: parts of train, by label, the same for everyone"
    for key, value in (("delimiter", looked.sniffed.delimiter), ("encoding", looked.sniffed.encoding)):
        if value is not None:
            values[key], reasons[key] = value, "what the file looks like"
    if looked.sheet is not None:
        values["sheet"], reasons["sheet"] = looked.sheet, "as you said"
    return GuessedTask(values, reasons)

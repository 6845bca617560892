"""One task's files to its `[[task]]` table: how they are read, what their columns say, which file is which split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from smartcli.data.guess import guess_task
from smartcli.data.guess_files import TaskFiles
from smartcli.data.profile import Profile, cells_of, column_of, is_number, profile
from smartcli.data.readers import Cell, Problems, open_table
from smartcli.data.readers.sniff import Sniffed, sniff
from smartcli.data.task_guess import Answers, Open, TaskGuess
from smartcli.errors import UserError

Ask = Callable[[str, Open], str]
"""Of a task's name and an open choice, what the user answers."""
ONE_FILE = {"dev": 0.1, "test": 0.1, "seed": 0}
NO_DEV = {"dev": 0.1, "seed": 0}
WORDS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}


@dataclass(frozen=True)
class GuessedTask:
    """A task as guessed: its keys and their reasons, in the words of tasks.toml; and what deserves a look."""

    values: Mapping[str, Any]
    reasons: Mapping[str, str]
    notes: tuple[str, ...] = ()


def guess_group(group: TaskFiles, said: Mapping[str, str], ask: Ask | None) -> tuple[GuessedTask, list[Open]]:
    """Return the guess for a task's files, and what is open; with `ask` nothing is.

    `said` holds what options say: text, label, id, kind, labels, sheet. UserErrors name file and line.
    """
    sniffed = {split: sniff(path) for split, path in group.files.items()}
    declared = _shared(group, sniffed)
    first = next(split for split in ("train", "dev", "test") if split in sniffed)
    main, sheet = sniffed[first], said.get("sheet")
    if len(main.sheets) > 1 and sheet not in main.sheets:
        question = f"which sheet of {group.files[first].name}? {', '.join(main.sheets)}"
        choice = Open("--sheet", question, main.sheets)
        if ask is None:
            return GuessedTask({}, {}), [choice]
        sheet = ask(group.name, choice)
    looked = profile(group.files[first], main, sheet)
    answers = dict(said)
    guess = guess_task(looked, _answers(answers, looked.names))
    while guess.open and ask is not None:
        choice = guess.open[0]
        answers[choice.option.removeprefix("--")] = ask(group.name, choice)
        guess = guess_task(looked, _answers(answers, looked.names))
    if isinstance(guess.values.get("label"), str) and "text" in guess.values:
        looked = _looked_through(group, sniffed, sheet, looked, guess)
        guess = guess_task(looked, _answers(answers, looked.names))
    return _with_files(group, guess, declared, sheet), guess.open


def _shared(group: TaskFiles, sniffed: Mapping[str, Sniffed]) -> dict[str, str]:
    """Return the delimiter and encoding to declare; UserError where the files of a task differ in them."""
    declared: dict[str, str] = {}
    named = {group.files[split].name: one for split, one in sniffed.items()}
    separators = {name: one.separator for name, one in named.items() if one.separator is not None}
    unusual = {one.delimiter for one in named.values() if one.delimiter is not None}
    if unusual:
        if len(set(separators.values())) > 1:
            found = ", ".join(f"{name} by {WORDS[separator]}" for name, separator in separators.items())
            raise UserError(
                f"{next(iter(group.files.values()))}: the files of a task are separated alike; found {found}; save "
                "them with one delimiter"
            )
        declared["delimiter"] = unusual.pop()
    texts = {name: one for name, one in named.items() if one.kind in ("csv", "jsonl")}
    others = {name: one.encoding for name, one in texts.items() if one.encoding is not None}
    if others:
        # ASCII alone reads the same in each of them but UTF-16.
        plain = [name for name, one in texts.items() if one.ascii and "utf-16" not in others.values()]
        rest = {name: one.encoding or "utf-8" for name, one in texts.items() if name not in plain}
        if len(set(rest.values())) > 1:
            found = ", ".join(f"{name} in {encoding}" for name, encoding in rest.items())
            raise UserError(
                f"{next(iter(group.files.values()))}: the files of a task have one encoding; found {found}; save them "
                "all as UTF-8"
            )
        declared["encoding"] = next(iter(others.values()))
    return declared


def _looked_through(
    group: TaskFiles, sniffed: Mapping[str, Sniffed], sheet: str | None, looked: Profile, guess: TaskGuess
) -> Profile:
    """Return the profile with all values of the label: those of train, of scores also dev's and test's.

    A UserError names the file that lacks a column.
    """
    name = guess.values["label"]
    scores = guess.values.get("kind") == "regression"
    cells: list[Cell] = []
    for split, path in group.files.items():
        form = sniffed[split].form(sheet)
        with open_table(path, guess.values["text"], problems=Problems(), form=form) as table:
            header = table.header
        if name not in header:
            if split == "test":
                continue
            raise UserError(f'{path}:1: missing column "{name}", the label; found {", ".join(header)}')
        if scores or path == looked.path:
            cells += cells_of(path, form, name)
    # A cell that is no score is for `smart prepare` to name, with its line.
    column = column_of(name, [cell for cell in cells if not scores or is_number(str(cell).strip())])
    return replace(looked, columns=tuple(column if found.name == name else found for found in looked.columns))


def _answers(said: Mapping[str, str], columns: tuple[str, ...]) -> Answers:
    text = said.get("text", "")
    return Answers(
        # A column's name may hold a comma itself.
        text=(text,) if text in columns else _parts(text),
        label=said.get("label"),
        id=said.get("id"),
        kind=said.get("kind"),
        labels=_parts(said.get("labels", "")),
    )


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _with_files(group: TaskFiles, guess: TaskGuess, declared: Mapping[str, str], sheet: str | None) -> GuessedTask:
    values: dict[str, Any] = {"name": group.name, **guess.values}
    reasons = {"name": "from the files' names", **guess.reasons}
    for split, path in group.files.items():
        values[split] = path.name
        reasons[split] = "the only file" if group.alone else "the file's name"
    if "train" in group.files and "dev" not in group.files:
        values["split"] = ONE_FILE if group.alone else NO_DEV
        reasons["split"] = "there is no dev file: parts of train, by label, the same for everyone"
    for key, value in declared.items():
        values[key], reasons[key] = value, "what the file looks like"
    if sheet is not None:
        values["sheet"], reasons["sheet"] = sheet, "as you said"
    notes = list(guess.notes)
    if group.called is not None:
        notes.insert(
            0,
            f"{values['train']} is called {group.called}, but no train file stands beside it: all its rows are divided",
        )
    return GuessedTask(values, reasons, tuple(notes))

"""From the columns of a file to a task: which are texts, label and id, and of what kind the task is.

Each guess comes with its reason. Where a choice is open it is said which options answer it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from smartcli.data.guess_kind import CLASS_NAME, SCORE_NAME, guess_kind
from smartcli.data.label_sets import NO, YES
from smartcli.data.profile import Column, Profile
from smartcli.data.task_guess import NOTHING, Answers, Open, TaskGuess
from smartcli.errors import UserError, suggest

SURE_NAME = re.compile(r"labels?|class|category|target|gold|y|\w*[_ -]label", re.IGNORECASE)
"""Names that a column of labels alone has."""
PAIR_NAME = re.compile(r"(.*?)[_ -]?(1|2|a|b|one|two|first|second|left|right)", re.IGNORECASE)
PAIRS = (("premise", "hypothesis"), ("question", "answer"), ("query", "passage"), ("one", "other"), ("text", "reply"))
ZERO_ONE = {"0", "1"}
HEADER_WORDS = 3
"""A column's name of so many words may be a sentence, and the first line then a row."""


def guess_task(profile: Profile, answers: Answers = NOTHING) -> TaskGuess:
    """Return what a file's columns say, with `answers` before any guess; UserError where a named column is absent."""
    guess = TaskGuess()
    columns = {column.name: column for column in profile.columns}
    for option, names in (
        ("--label", _named(answers.label, columns)),
        ("--id", (answers.id,)),
        ("--text", answers.text),
    ):
        for name in names:
            if name is not None and name not in columns:
                found = f"{', '.join(columns)}{suggest(name, columns)}"
                raise UserError(f'{option}: {profile.path} has no column "{name}"; found {found}')
    _text(guess, columns, answers, profile)
    _label(guess, columns, answers, profile)
    _id(guess, columns, answers)
    if isinstance(guess.values.get("label"), list):
        _columns_of_labels(guess, columns, answers, str(profile.path))
    elif "label" in guess.values:
        _header(guess, columns, profile)
        guess_kind(guess, columns[guess.values["label"]], answers, str(profile.path))
    return guess


def _text(guess: TaskGuess, columns: Mapping[str, Column], answers: Answers, profile: Profile) -> None:
    if answers.text:
        guess.set("text", list(answers.text), "as you said")
        return
    texts = [column for column in columns.values() if column.text and column.name != answers.label]
    if not texts:
        raise UserError(
            f"{profile.path}: none of its columns holds sentences ({', '.join(columns)}); name it with --text COLUMN"
        )
    names = tuple(column.name for column in texts)
    if len(texts) == 1:
        guess.set("text", [names[0]], f"sentences of {texts[0].words:.0f} words on average")
    elif len(texts) == 2 and _are_pair(*names):
        guess.set("text", list(names), "two columns of sentences whose names go together: a pair")
    else:
        pairs = [f"{a},{b}" for i, a in enumerate(names) for b in names[i + 1 :]][:6]
        question = f"which of the columns of sentences is the text: one of them, or two as a pair? {', '.join(names)}"
        guess.open.append(Open("--text", question, (*names, *pairs)))


def _are_pair(one: str, other: str) -> bool:
    if (one.lower(), other.lower()) in PAIRS:
        return True
    found = [PAIR_NAME.fullmatch(name) for name in (one, other)]
    return all(found) and found[0][1].lower() == found[1][1].lower()  # type: ignore[index]


def _label(guess: TaskGuess, columns: Mapping[str, Column], answers: Answers, profile: Profile) -> None:
    if answers.label is not None:
        named = _named(answers.label, columns)
        guess.set("label", named[0] if len(named) == 1 else list(named), "as you said")
        return
    likely = [column for column in columns.values() if column.label and column.name not in answers.text]
    if not likely:
        raise UserError(
            f"{profile.path}: none of its columns looks like a label ({', '.join(columns)}); name it with --label "
            "COLUMN"
        )
    chosen, why = _settled(likely)
    if chosen is not None:
        guess.set("label", chosen.name, why)
    else:
        names = tuple(column.name for column in likely)
        question = f"which column is the label? {', '.join(names)}"
        if all(set(column.values) == ZERO_ONE for column in likely):
            question += "; or all of them, each a label that a row has (1) or not (0)?"
            names = (*names, ",".join(names))
        guess.open.append(Open("--label", question, names))


def _named(label: str | None, columns: Mapping[str, Column]) -> tuple[str, ...]:
    """Return the column or columns that --label names; a column's name may hold a comma itself."""
    if label is None:
        return ()
    parts = tuple(part.strip() for part in label.split(",") if part.strip())
    return parts if label not in columns and len(parts) > 1 else (label,)


def _columns_of_labels(guess: TaskGuess, columns: Mapping[str, Column], answers: Answers, where: str) -> None:
    """Add kind and metric of a task with a column of 0 and 1 for each label; UserError where one holds others."""
    for name in guess.values["label"]:
        other = next((value for value in columns[name].values if value.casefold() not in YES | NO), None)
        if other is not None:
            raise UserError(f'{where}: --label: "{name}" holds {other!r}; several label columns hold 0 and 1 each')
    if answers.kind not in (None, "multilabel"):
        raise UserError(f"{where}: --kind {answers.kind} has one label column; several are for multilabel")
    guess.set("kind", "multilabel", "a column a label")
    if answers.labels:
        guess.set("labels", list(answers.labels), "as you said")
    guess.set("metric", "micro_f1", "macro_f1 says more where some labels are rare")


def _settled(likely: list[Column]) -> tuple[Column | None, str]:
    """Return the one column that can be the label, and why; None where several can."""
    if len(likely) == 1:
        return likely[0], "the only column of numbers" if likely[0].numeric else "the only column of few values"
    sure = [column for column in likely if SURE_NAME.fullmatch(column.name.strip())]
    named = [c for c in likely if CLASS_NAME.fullmatch(c.name.strip()) or SCORE_NAME.fullmatch(c.name.strip())]
    others_count = all(column.numeric for column in likely if column not in named)
    chosen = sure if len(sure) == 1 else named if len(named) == 1 and others_count else []
    if not chosen:
        return None, ""
    others = ", ".join(column.name for column in likely if column is not chosen[0])
    return chosen[0], f"its name says so; others that might be: {others}"


def _header(guess: TaskGuess, columns: Mapping[str, Column], profile: Profile) -> None:
    """Raise where the first line is a row: it holds a sentence, and a label that stands below it too."""
    label = guess.values["label"]
    sentence = next((name for name in guess.values.get("text", ()) if len(name.split()) >= HEADER_WORDS), None)
    if sentence is not None and label in columns[label].values:
        raise UserError(
            f'{profile.path}:1: the first line looks like a row, not like names of columns ("{label}" stands below it '
            "too); write a line of names above it, such as text and label"
        )


def _id(guess: TaskGuess, columns: Mapping[str, Column], answers: Answers) -> None:
    if answers.id is not None:
        guess.set("id", answers.id, "as you said")
        return
    label = guess.values.get("label")
    used = {*guess.values.get("text", ()), *(label if isinstance(label, list) else [label])}
    found = [column for column in columns.values() if column.identifier and column.name not in used and column.name]
    if found:
        guess.set("id", found[0].name, "every value differs, and its name says so")

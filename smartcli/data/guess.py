"""From the columns of a file to a task: which are texts, label and id, and of what kind the task is.

Each guess comes with its reason. Where a choice is open it is said which options answer it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smartcli.data.profile import Column, Profile
from smartcli.errors import UserError, suggest

LABEL_NAME = re.compile(
    r"label|class|category|topic|target|tag|sentiment|emotion|intent|department|y|is[_ -]?\w+|\w*[_ -]label",
    re.IGNORECASE,
)
SCORE_NAME = re.compile(r"\w*(score|similarity|rating|stars|grade|points|percent|degree)\w*", re.IGNORECASE)
PAIR_NAME = re.compile(r"(.*?)[_ -]?(1|2|a|b|one|two|first|second|left|right)", re.IGNORECASE)
PAIRS = (("premise", "hypothesis"), ("question", "answer"), ("query", "passage"), ("one", "other"), ("text", "reply"))
CLASSES = 20
"""Whole numbers up to so many different ones may be classes as well as scores."""


@dataclass(frozen=True)
class Answers:
    """What the user has said of a task: column names, a kind, label names in order."""

    text: tuple[str, ...] = ()
    label: str | None = None
    id: str | None = None
    kind: str | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Open:
    """A choice that the columns leave open: the option that answers it, what is asked, and what may be answered."""

    option: str
    question: str
    choices: tuple[str, ...]


@dataclass
class TaskGuess:
    """A `[[task]]` table as far as it is known, the reason of each key, and what is open."""

    values: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    open: list[Open] = field(default_factory=list)

    def set(self, key: str, value: Any, reason: str) -> None:
        self.values[key], self.reasons[key] = value, reason


def guess_task(profile: Profile, answers: Answers = Answers()) -> TaskGuess:
    """Return what a file's columns say, with `answers` before any guess; UserError where a named column is absent."""
    guess = TaskGuess()
    columns = {column.name: column for column in profile.columns}
    for option, names in (("--label", (answers.label,)), ("--id", (answers.id,)), ("--text", answers.text)):
        for name in names:
            if name is not None and name not in columns:
                found = f"{', '.join(columns)}{suggest(name, columns)}"
                raise UserError(f'{option}: {profile.path} has no column "{name}"; found {found}')
    _text(guess, columns, answers, profile)
    _label(guess, columns, answers, profile)
    _id(guess, columns, answers)
    if "label" in guess.values:
        _kind(guess, columns[guess.values["label"]], answers)
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
        guess.set("label", answers.label, "as you said")
        return
    likely = [column for column in columns.values() if column.label and column.name not in answers.text]
    named = [c for c in likely if LABEL_NAME.fullmatch(c.name.strip()) or SCORE_NAME.fullmatch(c.name.strip())]
    if not likely:
        raise UserError(
            f"{profile.path}: none of its columns looks like a label ({', '.join(columns)}); name it with --label "
            "COLUMN"
        )
    if len(likely) == 1 or len(named) == 1:
        chosen = likely[0] if len(likely) == 1 else named[0]
        why = "the only column of few different values" if len(likely) == 1 else "its name says so"
        guess.set("label", chosen.name, why if not chosen.numeric or len(likely) > 1 else "the only column of numbers")
    else:
        names = tuple(column.name for column in likely)
        guess.open.append(Open("--label", f"which column is the label? {', '.join(names)}", names))


def _id(guess: TaskGuess, columns: Mapping[str, Column], answers: Answers) -> None:
    if answers.id is not None:
        guess.set("id", answers.id, "as you said")
        return
    used = {*guess.values.get("text", ()), guess.values.get("label")}
    found = [column for column in columns.values() if column.identifier and column.name not in used and column.name]
    if found:
        guess.set("id", found[0].name, "every value differs, and its name says so")


def _kind(guess: TaskGuess, label: Column, answers: Answers) -> None:
    values, count = label.values, len(label.values)
    if answers.kind is not None:
        guess.set("kind", answers.kind, "as you said")
    elif count == 2:
        guess.set("kind", "binary", f"two different labels: {values[0]} and {values[1]}")
    elif not label.numeric:
        guess.set("kind", "classification", f"{count} different labels that are no numbers")
    elif not label.whole or count > CLASSES:
        guess.set("kind", "regression", "numbers with fractions" if not label.whole else f"{count} different numbers")
    elif SCORE_NAME.fullmatch(label.name.strip()):
        guess.set("kind", "regression", "numbers, and the name says that they are scores")
    elif LABEL_NAME.fullmatch(label.name.strip()):
        guess.set("kind", "classification", f"{count} whole numbers, and the name says that they are classes")
    else:
        question = f'are the numbers of "{label.name}" ({values[0]} to {values[-1]}) classes or scores?'
        guess.open.append(Open("--kind", question, ("classification", "regression")))
        return
    if guess.values["kind"] == "regression":
        if not label.numeric:
            raise UserError(f'--kind regression: "{label.name}" holds {values[0]!r}; expected numbers')
        low, high = math.floor(float(values[0])), math.ceil(float(values[-1]))
        guess.set("range", [low, high], f"lowest and highest in the file are {values[0]} and {values[-1]}")
    else:
        labels = list(answers.labels) or list(values)
        guess.set("labels", labels, "as you said" if answers.labels else "what stands in the file, in order")
        if count > 2 or guess.values["kind"] == "classification":
            guess.set("metric", "accuracy", "f1 (mean over the classes) says more where some are rare")
        else:
            guess.set("metric", "accuracy", "f1 is that of the second label; mcc suits rare labels")

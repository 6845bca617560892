"""From the label column to the kind of a task, its classes or range, and its metric."""

from __future__ import annotations

import math
import re
from collections import Counter

from smartcli.counts import counted
from smartcli.data.joined import SEPARATORS
from smartcli.data.profile import Column
from smartcli.data.task_guess import Answers, Open, TaskGuess
from smartcli.errors import UserError

SCORE_NAME = re.compile(r"\w*(score|similarity|rating|stars|grade|points|percent|degree)\w*", re.IGNORECASE)
CLASS_NAME = re.compile(
    r"labels?|class|category|target|gold|y|\w*[_ -]label"
    r"|topic|tag|sentiment|emotion|intent|department|is[_ -]\w+",
    re.IGNORECASE,
)
CLASSES = 20
"""Whole numbers up to so many different ones may be classes as well as scores."""


def guess_kind(guess: TaskGuess, label: Column, answers: Answers, where: str) -> None:
    """Add kind, labels or range, and metric; what is open where whole numbers may be classes or scores.

    A UserError begins with `where`, the file.
    """
    values, count = label.values, len(label.values)
    name = label.name.strip()
    if answers.kind is not None:
        guess.set("kind", answers.kind, "as you said")
    elif answers.labels and label.joined is None:
        guess.set("kind", "binary" if len(answers.labels) == 2 else "classification", "you named its labels")
    elif count == 2:
        guess.set("kind", "binary", f"two different labels: {values[0]} and {values[1]}")
    elif label.joined is not None and label.joined.sure:
        guess.set("kind", "multilabel", f'several labels in a cell, joined by "{label.joined.separator}"')
    elif label.joined is not None:
        joined = next(value for value in values if label.joined.separator in value)
        question = f'is a cell of "{label.name}" such as "{joined}" one class, or several labels (multilabel)?'
        guess.open.append(Open("--kind", question, ("classification", "multilabel")))
        return
    elif label.comma:
        raise UserError(
            f'{where}: "{label.name}" holds numbers with a decimal comma ({values[0]}); write a point in the file, '
            "or take them for names of classes with --kind classification"
        )
    elif not label.numeric:
        guess.set("kind", "classification", f"{count} different labels that are no numbers")
    elif not label.whole or count > CLASSES:
        guess.set("kind", "regression", "numbers with fractions" if not label.whole else f"{count} different numbers")
    elif SCORE_NAME.fullmatch(name):
        guess.set("kind", "regression", "numbers, and the name says that they are scores")
    elif CLASS_NAME.fullmatch(name):
        guess.set("kind", "classification", f"{count} whole numbers, and the name says that they are classes")
    else:
        question = f'are the numbers of "{label.name}" ({values[0]} to {values[-1]}) classes or scores?'
        guess.open.append(Open("--kind", question, ("classification", "regression")))
        return
    if label.empty and not answers.labels:
        names, verb = ", ".join(f'"{value}"' for value in label.empty), "counts as a label"
        if label.numeric:
            verb = "is no number, so smart prepare will refuse it"
        guess.notes.append(f"{names} {verb}; where it means that none is known, leave the cell empty")
    if guess.values["kind"] == "regression":
        _range(guess, label, where)
    elif guess.values["kind"] == "multilabel":
        _several(guess, label, answers, where)
    else:
        _classes(guess, label, answers, where)


def _range(guess: TaskGuess, label: Column, where: str) -> None:
    if not label.numeric:
        wrong = next(value for value in label.values if value not in label.numbers)
        raise UserError(f'{where}: --kind regression: "{label.name}" holds {wrong!r}; expected numbers')
    low, high = label.values[0], label.values[-1]
    ends = [math.floor(float(low)), math.ceil(float(high))]
    if ends[0] == ends[1]:
        raise UserError(
            f'{where}: --kind regression: every row of "{label.name}" holds {low}; expected different scores'
        )
    guess.set("range", ends, f"lowest and highest in the file are {low} and {high}")


def _several(guess: TaskGuess, label: Column, answers: Answers, where: str) -> None:
    """Add separator, labels and metric of a column of joined names."""
    joined = label.joined
    if joined is None:
        raise UserError(
            f'{where}: --kind multilabel: the cells of "{label.name}" are no names joined by one of '
            f"{' '.join(SEPARATORS)}; declare labels_separator in a tasks.toml of your own, or a column a label"
        )
    missing = [name for name in joined.names if name not in answers.labels]
    if answers.labels and missing:
        found = ", ".join(map(repr, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise UserError(f'{where}: --labels: "{label.name}" holds {found} too; name every label of the file')
    guess.set("labels_separator", joined.separator, "what joins the names in a cell")
    why = "as you said" if answers.labels else "the names in the file, by the alphabet"
    guess.set("labels", list(answers.labels or joined.names), why)
    guess.set("metric", "micro_f1", "macro_f1 says more where some labels are rare")
    if label.filled < label.rows:
        count = counted(label.rows - label.filled, "row has", "rows have")
        guess.notes.append(f"{count} an empty cell, which says that none of the labels fits")


def _classes(guess: TaskGuess, label: Column, answers: Answers, where: str) -> None:
    count = len(label.values)
    missing = [value for value in label.values if value not in answers.labels]
    if answers.labels and missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        found = ", ".join(map(repr, missing[:5])) + more
        raise UserError(f'{where}: --labels: "{label.name}" holds {found} too; name every label of the file')
    if guess.values["kind"] == "binary" and count > 2:
        listed = ", ".join(label.values[:5]) + (", …" if count > 5 else "")
        raise UserError(
            f'{where}: --kind binary: "{label.name}" holds {count} different labels ({listed}); expected two'
        )
    guess.set(
        "labels", list(answers.labels or label.values), "as you said" if answers.labels else "as in the file, in order"
    )
    most, rows = label.most
    if rows > 0.9 * label.filled:
        share = f'{rows / label.filled:.0%} of the rows are "{most}", so accuracy says little'
        guess.set("metric", "f1", f"{share}; balanced_accuracy is another choice")
        guess.notes.append(f'{share}: the metric is f1; class_weights = "balanced" makes the rare label count more')
    elif guess.values["kind"] == "binary":
        guess.set("metric", "accuracy", "f1 is that of the second label; mcc suits rare labels")
    else:
        guess.set("metric", "accuracy", "f1 (mean over the classes) says more where some are rare")
    same = Counter(value.casefold() for value in label.values)
    for value in (value for value, times in same.items() if times > 1):
        names = ", ".join(f'"{name}"' for name in label.values if name.casefold() == value)
        guess.notes.append(f"{names} are different labels, by the case of letters alone")

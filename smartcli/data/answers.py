"""What is answered for each row: the prediction by name, and on request all probabilities, a threshold, the best K."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartcli.data.predictions import TaskPredictions
from smartcli.errors import UserError
from smartcli.tasks import Task

PREDICTION, CLASS, PROBABILITY = "prediction", "class", "probability"
SEPARATOR = "|"


@dataclass(frozen=True)
class Wish:
    """What a caller asks for beside the prediction."""

    probabilities: bool = False
    """A column `p_NAME` for each class."""
    threshold: float | None = None
    """Below it there is no prediction; of a binary task from it on the second class, of several labels each from it."""
    top: int | None = None
    """So many best classes, each with its probability: `top1`, `top1_probability`, …"""

    def check(self, task: Task) -> None:
        """Raise a UserError naming the option where a wish does not fit the task."""
        given = {"--probabilities": self.probabilities, "--threshold": self.threshold is not None}
        given["--top"] = self.top is not None
        wrong = [option for option, on in given.items() if on]
        if task.kind == "regression" and wrong:
            raise UserError(f'{wrong[0]} is for classes, and "{task.name}" is a task of scores; leave it out')
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise UserError(f"--threshold must be a probability above 0 and below 1, found {self.threshold:g}")
        if self.top is not None and not 1 <= self.top <= task.classes:
            raise UserError(f'--top must be from 1 to {task.classes}, the classes of "{task.name}"; found {self.top}')


def is_named(task: Task) -> bool:
    """Return whether the classes of a task have names, and not just their numbers."""
    numbers = list(task.labels) == [str(number) for number in range(task.classes)]
    return bool(task.labels) and (task.kind == "multilabel" or not numbers)


def separator_of(task: Task) -> str:
    """Return what joins the names of a row's labels: what the task's own files have, else a vertical bar."""
    return task.labels_separator or SEPARATOR


def type_of_prediction(task: Task) -> type[str] | type[int] | type[float]:
    """Return what the column `prediction` holds: class names, class numbers or scores."""
    return float if task.kind == "regression" else str if is_named(task) else int


def columns_for(task: Task, wish: Wish) -> tuple[str, ...]:
    """Return the names of the columns that `answers` gives, in order."""
    names = [PREDICTION]
    if task.kind != "regression":
        if task.kind != "multilabel":
            names += [CLASS, PROBABILITY] if is_named(task) else [PROBABILITY]
        names += [f"p_{label}" for label in task.labels] if wish.probabilities else []
        for place in range(1, (wish.top or 0) + 1):
            names += [f"top{place}", f"top{place}_probability"]
    return tuple(names)


def answers(task: Task, found: TaskPredictions, wish: Wish) -> dict[str, list[Any]]:
    """Return the columns that stand behind a row's own, by name, n values each.

    `prediction` is the score, or the class by its name where classes have names, else its number; `class` then is the
    number. Both are None where no class reaches the threshold. Of a multilabel task `prediction` is the names of the
    row's labels, joined as in its files, and empty where it has none.
    """
    if found.probabilities is None:
        return {PREDICTION: found.predictions.astype(np.float64).tolist()}
    shares = _both(found.probabilities.astype(np.float64))
    own = _of_sets(task, found, wish) if task.kind == "multilabel" else _of_classes(task, found, shares, wish)
    own += shares.T.tolist() if wish.probabilities else []
    if wish.top is not None:
        # Stable: of equal shares the lower class comes first, on every machine.
        order = np.argsort(-shares, axis=1, kind="stable")
        named = is_named(task)
        for place in range(wish.top):
            at = order[:, place]
            own += [[_answer(task, n, named) for n in at.tolist()], shares[np.arange(len(at)), at].tolist()]
    return dict(zip(columns_for(task, wish), own, strict=True))


def _of_sets(task: Task, found: TaskPredictions, wish: Wish) -> list[list[Any]]:
    """Return the column `prediction` of several labels: those decided, or those that reach the threshold."""
    has = found.predictions > 0
    if wish.threshold is not None:
        assert found.probabilities is not None
        has = found.probabilities >= wish.threshold
    between = separator_of(task)
    return [[between.join(name for name, own in zip(task.labels, row, strict=True) if own) for row in has.tolist()]]


def _of_classes(task: Task, found: TaskPredictions, shares: NDArray[np.float64], wish: Wish) -> list[list[Any]]:
    """Return the columns `prediction`, `class` where classes have names, and `probability`."""
    predicted = found.predictions.astype(np.int64)
    classes = _by_threshold(task, predicted, shares, wish.threshold)
    named = is_named(task)
    # Of an ensemble the members' vote, which need not be the class of the highest mean probability.
    chosen = np.where(classes < 0, predicted, classes)
    numbers = [None if number < 0 else number for number in classes.tolist()]
    own: list[list[Any]] = [[None if n is None else _answer(task, n, named) for n in numbers]]
    own += [numbers] if named else []
    own += [shares[np.arange(len(shares)), chosen].tolist()]
    return own


def _answer(task: Task, number: int, named: bool) -> str | int:
    return task.labels[number] if named else number


def _both(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return shares (n, C), those of a binary task with one column (n, 2)."""
    return np.concatenate([1 - shares, shares], axis=1) if shares.shape[1] == 1 else shares


def _by_threshold(
    task: Task, classes: NDArray[np.int64], shares: NDArray[np.float64], threshold: float | None
) -> NDArray[np.int64]:
    """Return the classes (n,), −1 where no class reaches the threshold."""
    if threshold is None:
        return classes
    if task.kind == "binary":
        return (shares[:, 1] >= threshold).astype(np.int64)
    return np.where(shares[np.arange(len(classes)), classes] >= threshold, classes, -1)


def check_free(columns: Sequence[str], added: Sequence[str], where: str) -> tuple[str, ...]:
    """Return those of `added` that can be added to `columns`; a UserError names one that is there already.

    A column "class" is often the label of rows that are labelled again: then the class number is left out.
    """
    wanted = tuple(name for name in added if name != CLASS or CLASS not in columns)
    for name in wanted:
        if name in columns:
            raise UserError(f'{where} a column "{name}" already, which would be added; rename or remove it')
    return wanted

"""`smart explain`: one prediction, the words that matter for it, the nearest training rows, and terms swapped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartcli.counts import counted
from smartcli.data.answers import is_named
from smartcli.data.predictions import TaskPredictions
from smartcli.explain.occlusion import occlude
from smartcli.explain.swaps import Exchange
from smartcli.explain.words import Word, words_of
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.tasks import Task
from smartcli.workflows.explaining.explain_inputs import Row, check_kind, check_swaps, data_of, find_row, given_row
from smartcli.workflows.explaining.neighbours import Neighbour, Pool, Progress, neighbours, pool_of, unheard
from smartcli.workflows.scoring.panel import Panel, load_panel
from smartcli.workflows.scoring.prediction import choose_task
from smartcli.workflows.scoring.sources import Say, silent

ONE_BATCH = 32_768
"""Tokens of the one batch that a row and its variants make; a row of very many words takes several."""


@dataclass(frozen=True)
class Answer:
    """What is predicted for a row: a class number or score, and for classes every class's probability."""

    prediction: float
    probabilities: tuple[float, ...] | None

    def to_json(self, task: Task) -> dict[str, Any]:
        """Return it as `smart predict` does: `prediction` by name where classes have names, `class` the number."""
        if self.probabilities is None:
            return {"prediction": self.prediction, "class": None, "probabilities": None}
        shares = dict(zip(task.labels, self.probabilities, strict=True))
        number = int(self.prediction)
        name = task.labels[number] if is_named(task) else number
        return {"prediction": name, "class": number, "probabilities": shares}


@dataclass(frozen=True)
class Swapped:
    """The row with terms replaced; `found` counts each term, and `change` is of the score, or of p(class before)."""

    terms: Mapping[str, str]
    found: Mapping[str, int]
    texts: tuple[str, ...]
    answer: Answer
    change: float


@dataclass(frozen=True)
class Explanation:
    """All that is said of one row; `effects` are (w,) for `words`, of p(class predicted) or of the score."""

    checkpoint: str
    task: Task
    row: Row
    answer: Answer
    words: tuple[Word, ...]
    effects: NDArray[np.float64]
    unread: int
    """Words at the end of a text that the model does not read."""
    near: tuple[Neighbour, ...]
    pool: Pool | None
    swapped: Swapped | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints; docs/explain.md lists the keys."""
        task, place, label = self.task, self.row.place, self.row.label
        return {
            "checkpoint": self.checkpoint,
            "task": task.name,
            "kind": task.kind,
            "row": None if place is None else {"data": place.data, "split": place.split, "id": place.id},
            "texts": list(self.row.texts),
            "label": None if label is None else _label(task, label),
            **self.answer.to_json(task),
            "words": [
                {"side": word.side, "start": word.start, "stop": word.stop, "word": word.text, "effect": float(effect)}
                for word, effect in zip(self.words, self.effects, strict=True)
            ],
            "unread_words": self.unread,
            "neighbours": [
                {
                    "id": n.id,
                    "texts": list(n.texts),
                    "label": _label(task, n.label),
                    "cosine": n.cosine,
                    "same_text": n.same,
                }
                for n in self.near
            ],
            "neighbours_among": None if self.pool is None else self.pool.to_json(),
            "swap": None if self.swapped is None else _swap_json(task, self.swapped),
            "notes": list(self.notes),
        }


def _label(task: Task, value: float) -> float | int:
    return value if task.kind == "regression" else int(value)


def _swap_json(task: Task, swapped: Swapped) -> dict[str, Any]:
    terms = [{"old": old, "new": new, "found": swapped.found.get(old, 0)} for old, new in swapped.terms.items()]
    return {"terms": terms, "texts": list(swapped.texts), **swapped.answer.to_json(task), "change": swapped.change}


def explain(
    home: Home,
    name: str,
    task_name: str | None,
    *,
    row_id: str | None = None,
    split: str = "dev",
    data: str | None = None,
    text: str | None = None,
    text2: str | None = None,
    swaps: Mapping[str, str] | None = None,
    count: int = 5,
    say: Say = silent,
    progress: Progress = unheard,
) -> Explanation:
    """Explain one row: the one with `row_id` of a split, else the texts given.

    Everything about the row is checked before a model is loaded; UserErrors name the option.
    """
    checkpoint = Registry(home).open(name)
    task = choose_task(checkpoint, task_name)
    check_kind(task)
    check_swaps(swaps or {})
    if row_id is not None:
        row = find_row(data_of(home, checkpoint, task, data), task, row_id, split)
    else:
        row = given_row(task, text, text2)
    say(f"{name}: explaining a row of {task.name}")
    panel = load_panel(home, checkpoint)
    return explain_row(home, panel, task, row, swaps=swaps or {}, count=count, progress=progress)


def explain_row(
    home: Home,
    panel: Panel,
    task: Task,
    row: Row,
    *,
    swaps: Mapping[str, str] | None = None,
    count: int = 5,
    progress: Progress = unheard,
) -> Explanation:
    """Explain one row by models that are loaded; `count` 0 looks for no neighbours and computes no vectors."""
    notes: list[str] = []
    answer, words, effects, unread = _words(panel, task, row.texts)
    if unread:
        most = max(part.reader.max_length for part in panel.parts)
        notes.append(f"{counted(unread, 'word')} at the end not read: the model reads {most} tokens of a row at most")
    swapped = _swap(panel, task, row.texts, answer, swaps, notes) if swaps else None
    near: list[Neighbour] = []
    pool = pool_of(home, panel, task) if count else None
    if isinstance(pool, str):
        notes.append(f"no nearest training rows: {pool}")
        pool = None
    elif pool is not None:
        near = neighbours(home, panel, task, row.texts, pool, count, row.place, progress)
    return Explanation(
        panel.checkpoint.name,
        task,
        row,
        answer,
        tuple(words),
        effects,
        unread,
        tuple(near),
        pool,
        swapped,
        tuple(notes),
    )


def _words(panel: Panel, task: Task, texts: Sequence[str]) -> tuple[Answer, list[Word], NDArray[np.float64], int]:
    """Return the answer, the words that are read, their effects, and how many words are not read."""
    reach = list(zip(*(part.reads(texts) for part in panel.parts), strict=True))
    every = words_of(texts)
    words = [word for word in every if word.start < max(one.read for one in reach[word.side])]
    # Text that is never read is left off, or each variant of a book would be a book.
    kept = tuple(text[: max(one.needed for one in reach[side])] for side, text in enumerate(texts))
    answers: list[Answer] = []

    def score(rows: list[tuple[str, ...]]) -> NDArray[np.float64]:
        found = panel.label(task, rows, budget=ONE_BATCH)
        answers.append(answer_of(found, 0))
        if found.probabilities is None:
            return np.asarray(found.predictions, dtype=np.float64)
        return np.asarray(found.probabilities[:, int(found.predictions[0])], dtype=np.float64)

    _, effects = occlude(score, kept, words)
    return answers[0], words, effects, len(every) - len(words)


def answer_of(found: TaskPredictions, row: int) -> Answer:
    """Return what was predicted for one row."""
    shares = None if found.probabilities is None else tuple(float(p) for p in found.probabilities[row])
    return Answer(float(found.predictions[row]), shares)


def _swap(
    panel: Panel, task: Task, texts: Sequence[str], before: Answer, swaps: Mapping[str, str], notes: list[str]
) -> Swapped:
    exchange = Exchange(swaps)
    found: dict[str, int] = {}
    after = []
    for text in texts:
        changed, here = exchange.counted(text)
        after.append(changed)
        for old, times in here.items():
            found[old] = found.get(old, 0) + times
    notes += [f'"{old}" does not occur in the text, so its swap changes nothing' for old in swaps if old not in found]
    if tuple(after) == tuple(texts):
        return Swapped(swaps, found, tuple(texts), before, 0.0)
    answer = answer_of(panel.label(task, [after]), 0)
    change = answer.prediction - before.prediction
    if before.probabilities is not None and answer.probabilities is not None:
        number = int(before.prediction)
        change = answer.probabilities[number] - before.probabilities[number]
    return Swapped(swaps, found, tuple(after), answer, change)

"""Two sides of one or more models, B against A: a test a task and one of overall, adjusted together.

One model a side: McNemar's exact test for accuracy, the paired bootstrap for every other score. Several: the bootstrap
over rows and seeds for all. A claim needs the p adjusted by Holm over all tests below α.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

import numpy as np

from smartcli.data.predictions import Predictions, TaskPredictions
from smartcli.metrics import score
from smartcli.significance.bootstrap import DRAWS, judge, resampled_scores
from smartcli.significance.holm import holm
from smartcli.significance.mcnemar import McNemar, mcnemar
from smartcli.significance.rows_needed import rows_needed
from smartcli.significance.seed_draws import differences, draw_seeds, own_share, seed_variance
from smartcli.tasks import CORRELATIONS, Task

ALPHA = 0.05
OVERALL = "overall"


@dataclass(frozen=True)
class ScoreTest:
    """One score of both sides: a value a model, B − A of their means, and how sure that is."""

    score: str
    """The task's name, or overall."""
    metric: str
    n: int
    a: tuple[float, ...]
    b: tuple[float, ...]
    interval: tuple[float, float]
    """95 %, of this score alone."""
    p: float
    p_holm: float = 1.0
    mcnemar: McNemar | None = None
    """None where the p is the bootstrap's."""
    row_variance: float = 0.0
    seed_variance: float = 0.0
    rows_needed: int | None = None
    """Where nothing is claimed, rows at which a difference of this size would be, four times in five."""

    @property
    def difference(self) -> float:
        return fmean(self.b) - fmean(self.a)

    @property
    def better(self) -> Literal["a", "b"] | None:
        """The side that may be called better."""
        if self.p_holm >= ALPHA or self.difference == 0:
            return None
        return "b" if self.difference > 0 else "a"


def compare(
    tasks: Sequence[Task],
    a: Sequence[Predictions],
    b: Sequence[Predictions],
    *,
    with_overall: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[list[ScoreTest], list[str]]:
    """Return a test for each task and for overall, and what could not be tested.

    Every member of both sides has labelled predictions of the same rows for every task. The same `seed` gives the same
    numbers. Overall is left out without `with_overall`, for one task alone, and where a task has no score.
    """
    seeds = draw_seeds(len(a), len(b), draws, np.random.default_rng([seed, 0]))
    tests: list[ScoreTest] = []
    notes: list[str] = []
    drawn: list[np.ndarray] = []
    for number, task in enumerate(tasks, 1):
        rows = [one[task.name] for one in (*a, *b)]
        scores, note = _scores(task, rows)
        if not scores:
            notes.append(note)
            continue
        labels = rows[0].labels
        assert labels is not None
        predictions = np.stack([one.predictions for one in rows])
        values = resampled_scores(task, labels, predictions, draws, np.random.default_rng([seed, number]))
        mine, others = tuple(scores[: len(a)]), tuple(scores[len(a) :])
        found = _tested(task.name, task.metric, len(labels), mine, others, values, seeds)
        if found is None:
            notes.append(f"{task.name}: too few rows to draw again; its {task.metric} is undefined in many draws")
            continue
        if task.metric == "accuracy" and len(rows) == 2:
            exact = mcnemar(labels, *predictions)
            found = replace(found, mcnemar=exact, p=exact.p)
        tests.append(found)
        drawn.append((values + 1) / 2 if task.metric in CORRELATIONS else values)
    if with_overall and len(tests) == len(tasks) > 1:
        if (overall := _overall(tests, drawn, seeds)) is None:
            notes.append("overall: too few rows to draw again; a task's score is undefined in many draws")
        else:
            tests.append(overall)
    return _adjusted(tests), notes


def _scores(task: Task, rows: Sequence[TaskPredictions]) -> tuple[list[float], str]:
    """Return a score a model; none, and why, where one is undefined."""
    found: list[float] = []
    for one in rows:
        given = score(task, one.labels, one.predictions)
        if given.value is None:
            return [], given.note
        found.append(given.value)
    return found, ""


def _tested(
    name: str,
    metric: str,
    n: int,
    a: tuple[float, ...],
    b: tuple[float, ...],
    values: np.ndarray,
    seeds: np.ndarray,
) -> ScoreTest | None:
    share = own_share(values, a, b)
    judged = judge(differences(values, len(a), seeds, share), fmean(b) - fmean(a))
    if judged is None:
        return None
    rows_alone = values[:, len(a) :].mean(axis=1) - values[:, : len(a)].mean(axis=1)
    of_seeds = share**2 * seed_variance(a, b)
    interval = (judged.low, judged.high)
    return ScoreTest(
        name, metric, n, a, b, interval, judged.p, row_variance=float(np.nanvar(rows_alone)), seed_variance=of_seeds
    )


def _overall(tests: Sequence[ScoreTest], drawn: Sequence[np.ndarray], seeds: np.ndarray) -> ScoreTest | None:
    a, b = (
        tuple(fmean(values) for values in zip(*(_parts(one, side) for one in tests), strict=True))
        for side in ("a", "b")
    )
    rows = sum(one.n for one in tests)
    return _tested(OVERALL, "mean", rows, a, b, np.mean(drawn, axis=0), seeds)


def _parts(one: ScoreTest, side: str) -> list[float]:
    values: tuple[float, ...] = getattr(one, side)
    return [(value + 1) / 2 for value in values] if one.metric in CORRELATIONS else list(values)


def _adjusted(tests: Sequence[ScoreTest]) -> list[ScoreTest]:
    out = []
    for one, p in zip(tests, holm([one.p for one in tests]), strict=True):
        found = replace(one, p_holm=p)
        if found.better is None:
            level = ALPHA / len(tests)
            needed = rows_needed(one.difference, one.n, one.row_variance, one.seed_variance, level)
            found = replace(found, rows_needed=needed)
        out.append(found)
    return out

"""`smart explain --swap-file`: a whole split with terms exchanged, and how often and how far predictions move."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from smartcli.data.predictions import TaskPredictions
from smartcli.errors import UserError, suggest
from smartcli.explain.moved import Mean, Moves, Share, alike, mean, moves, share, step_of
from smartcli.explain.swap_lists import Facts, SwapList, read_swap_list
from smartcli.explain.swaps import Exchange
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.tasks import Task
from smartcli.workflows.explaining.explain_inputs import check_kind, check_split, data_of
from smartcli.workflows.explaining.explanation import Answer, answer_of
from smartcli.workflows.explaining.neighbours import Progress, unheard
from smartcli.workflows.scoring.panel import Panel, load_panel
from smartcli.workflows.scoring.prediction import choose_task
from smartcli.workflows.scoring.sources import Say, silent

if TYPE_CHECKING:
    from smartcli.data.rows import SplitRows

SIDES: Mapping[str, tuple[int, ...]] = {"both": (0, 1), "first": (0,), "second": (1,)}
CHUNK = 2_048
"""Rows that are predicted at a time, between two signs of progress."""


@dataclass(frozen=True)
class MovedRow:
    """A row before and after; `change` is of the score, or of the probability of the class before."""

    id: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    answer: Answer
    answer_after: Answer
    change: float


@dataclass(frozen=True)
class PlantedFacts:
    """Pairs that state two different facts: how many look alike, their mean p(class 1) or score, and the paper's pair.

    For pairs of other classes than alike or not, `classes` counts the classes predicted instead.
    """

    alike: Share | None
    value: Mean | None
    classes: Mapping[str, int] | None
    paper: tuple[str, str]
    paper_answer: Answer


@dataclass(frozen=True)
class SwapReport:
    """What `--swap-file` found on a split."""

    checkpoint: str
    task: Task
    data: str
    split: str
    listed: SwapList
    sides: str
    rows: int
    found: Mapping[str, int]
    """How often each term was exchanged."""
    moves: Moves
    still_alike: Share | None
    """Facts on pairs: of the rows that looked alike, how many still do when one text states another fact."""
    planted: PlantedFacts | None
    top: tuple[MovedRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints; docs/explain.md lists the keys."""
        task, planted = self.task, self.planted
        return {
            "checkpoint": self.checkpoint,
            "task": task.name,
            "kind": task.kind,
            "data": self.data,
            "split": self.split,
            "swap_file": self.listed.name,
            "swap_in": self.sides,
            "rows": self.rows,
            "rows_with_a_term": self.moves.moved.n,
            "terms": dict(self.found),
            "moved_by_more_than": step_of(task),
            **self.moves.to_json(),
            "still_alike": None if self.still_alike is None else self.still_alike.to_json(),
            "planted": None if planted is None else _planted_json(task, planted),
            "top": [
                {
                    "id": row.id,
                    "texts": list(row.before),
                    "texts_after": list(row.after),
                    "before": row.answer.to_json(task),
                    "after": row.answer_after.to_json(task),
                    "change": row.change,
                }
                for row in self.top
            ],
        }


def _planted_json(task: Task, planted: PlantedFacts) -> dict[str, Any]:
    return {
        "alike": None if planted.alike is None else planted.alike.to_json(),
        "mean": None if planted.value is None else planted.value.to_json(),
        "classes": planted.classes,
        "paper": {"texts": list(planted.paper), **planted.paper_answer.to_json(task)},
    }


def swap_split(
    home: Home,
    name: str,
    task_name: str | None,
    named: str,
    *,
    split: str = "dev",
    data: str | None = None,
    sides: str | None = None,
    top: int = 5,
    say: Say = silent,
    progress: Progress = unheard,
) -> SwapReport:
    """Predict the rows of a split in which a listed term occurs, as they are and with all terms exchanged.

    `sides` says in which text of a pair (default both; second for the list of facts). All is checked before a model
    is loaded; UserErrors name the option, or the list's `file:line`.
    """
    checkpoint = Registry(home).open(name)
    task = choose_task(checkpoint, task_name)
    check_kind(task)
    chosen = _sides(task, sides, named)
    listed = read_swap_list(named)
    data_set = data_of(home, checkpoint, task, data)
    rows = data_set.rows(task.name, check_split(split))
    numbers, before, after, found = _exchanged(rows, Exchange(listed.terms), SIDES[chosen])
    say(f"{name}: {len(numbers):,} of {len(rows):,} {split} rows of {task.name} hold a term of {listed.title}")
    panel = load_panel(home, checkpoint)
    total = 2 * len(numbers)
    first = _label(panel, task, before, lambda done: progress("rows predicted", done, total))
    second = _label(panel, task, after, lambda done: progress("rows predicted", len(numbers) + done, total))
    moved = moves(task, first, second)
    facts = listed.facts if task.pair else None
    return SwapReport(
        checkpoint=name,
        task=task,
        data=data_set.name,
        split=split,
        listed=listed,
        sides=chosen,
        rows=len(rows),
        found=found,
        moves=moved,
        # With both texts exchanged a pair states one fact again, as it did.
        still_alike=None if facts is None or chosen == "both" else _still_alike(task, first, second),
        planted=None if facts is None else _planted(panel, task, facts),
        top=tuple(
            MovedRow(rows.id(numbers[i]), before[i], after[i], answer_of(first, i), answer_of(second, i), change)
            for i, change in moved.largest(top)
        ),
    )


def _sides(task: Task, sides: str | None, named: str) -> str:
    if sides is not None and sides not in SIDES:
        raise UserError(f'--swap-in must be one of {", ".join(SIDES)}; found "{sides}"{suggest(sides, SIDES)}')
    if sides is not None and not task.pair:
        raise UserError(f"--swap-in has no place here: the task {task.name} has one text; leave it out")
    if not task.pair:
        return "both"
    return sides or ("second" if named == "facts" else "both")


Rows = list[tuple[str, ...]]


def _exchanged(
    rows: SplitRows, exchange: Exchange, sides: Sequence[int]
) -> tuple[list[int], Rows, Rows, dict[str, int]]:
    """Return the numbers of the rows that change, their texts before and after, and how often each term was found."""
    numbers: list[int] = []
    before: Rows = []
    after: Rows = []
    found: dict[str, int] = {}
    texts = zip(*((text for part in rows.batches(side) for text in part) for side in range(rows.sides)), strict=True)
    for number, own in enumerate(texts):
        changed = list(own)
        for side in sides[: rows.sides] if rows.sides > 1 else (0,):
            changed[side], here = exchange.counted(own[side])
            for term, times in here.items():
                found[term] = found.get(term, 0) + times
        if tuple(changed) != own:
            numbers.append(number)
            before.append(own)
            after.append(tuple(changed))
    return numbers, before, after, {term: found[term] for term in exchange.terms if term in found}


def _label(panel: Panel, task: Task, texts: Rows, count: Callable[[int], None]) -> TaskPredictions:
    """Return predictions, some rows at a time."""
    parts = []
    for start in range(0, max(1, len(texts)), CHUNK):
        parts.append(panel.label(task, texts[start : start + CHUNK]))
        count(min(start + CHUNK, len(texts)))
    shares = [part.probabilities for part in parts if part.probabilities is not None]
    return TaskPredictions(
        task.name,
        [str(number) for number in range(len(texts))],
        None,
        np.concatenate([part.predictions for part in parts]),
        np.concatenate(shares) if shares else None,
    )


def _still_alike(task: Task, before: TaskPredictions, after: TaskPredictions) -> Share:
    were, are = alike(task, before), alike(task, after)
    if were is None or are is None:
        return share(int(np.sum(before.predictions == after.predictions)), len(before))
    return share(int(np.sum(were & are)), int(np.sum(were)))


def _planted(panel: Panel, task: Task, facts: Facts) -> PlantedFacts:
    found = panel.label(task, [facts.paper, *facts.planted])
    own = alike(task, found)
    paper = answer_of(found, 0)
    if own is None:
        names = [task.labels[int(number)] for number in found.predictions[1:]]
        return PlantedFacts(None, None, {name: names.count(name) for name in task.labels}, facts.paper, paper)
    values = found.predictions if found.probabilities is None else found.probabilities[:, 1]
    count = len(facts.planted)
    return PlantedFacts(share(int(np.sum(own[1:])), count), mean(np.asarray(values[1:])), None, facts.paper, paper)

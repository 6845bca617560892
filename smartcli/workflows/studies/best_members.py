"""The best of many checkpoints as an ensemble: the paper's way, and without scoring on what chose it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smartcli.data.predictions import Predictions
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.metrics import overall, score_tasks
from smartcli.report.compare import Line, spread
from smartcli.tasks import Task
from smartcli.voting import combine, halves, rank

Scores = Mapping[str, float | None]
SAME_SPLIT = "selected on this split"
OTHER_HALF = "selected on the other half"


@dataclass(frozen=True)
class Selection:
    """An ensemble of the best: its members by dev score, and the scores of both ways by row id."""

    members: tuple[str, ...]
    rows: Mapping[str, tuple[str, Scores]]
    """Row id to label and scores: best-member, median-member, ensemble, best-member-half, ensemble-half."""
    name: str | None = None

    @property
    def note(self) -> str:
        """What a reader must know about the two ways."""
        return (
            f"Members, best dev overall first: {', '.join(self.members)}. Choosing members on dev and reporting on "
            f'the same dev inflates the score; the rows marked "{OTHER_HALF}" chose on one half of dev and report on '
            "the other."
        )

    def lines(self, scores: Sequence[str], paper: Mapping[str, Mapping[str, float]] | None = None) -> list[Line]:
        """Return a line for each of the rows."""
        known = paper or {}
        return [
            Line(row, label, {score: spread([found.get(score)]) for score in scores}, dict(known.get(row, {})))
            for row, (label, found) in self.rows.items()
        ]


def choose(tasks: Sequence[Task], candidates: Mapping[str, Predictions], top: int, key: str) -> Selection:
    """Choose the `top` candidates by dev overall, and once more on half of the rows; `key` fixes the halves.

    `candidates` are dev predictions by name. A UserError when there are fewer candidates than `top`.
    """
    if not 2 <= top <= len(candidates):
        raise UserError(f"--top must be from 2 to the {len(candidates)} finished cells, found {top}")
    best = [name for name, _ in rank(tasks, candidates)[:top]]
    middle = best[(top - 1) // 2]
    parts = {name: halves(found, key) for name, found in candidates.items()}
    chosen = [name for name, _ in rank(tasks, {name: first for name, (first, _) in parts.items()})[:top]]
    rest = {name: second for name, (_, second) in parts.items()}
    rows = {
        "best-member": (f"best member ({SAME_SPLIT})", scores_on(tasks, candidates[best[0]])),
        "median-member": (f"median member ({SAME_SPLIT})", scores_on(tasks, candidates[middle])),
        "ensemble": (f"ensemble of {top} ({SAME_SPLIT})", _ensemble(tasks, candidates, best)),
        "best-member-half": (f"best member ({OTHER_HALF})", scores_on(tasks, rest[chosen[0]])),
        "ensemble-half": (f"ensemble of {top} ({OTHER_HALF})", _ensemble(tasks, rest, chosen)),
    }
    return Selection(tuple(best), rows)


def scores_on(tasks: Sequence[Task], predictions: Predictions) -> Scores:
    """Return the value of each task's metric by name, and `overall`."""
    found = score_tasks(tasks, predictions)
    values = {name: None if one is None else one.value for name, one in found.items()}
    return {**values, "overall": overall(list(found.values()))}


def _ensemble(tasks: Sequence[Task], candidates: Mapping[str, Predictions], names: Sequence[str]) -> Scores:
    return scores_on(tasks, combine(tasks, [candidates[name] for name in names], names))


def select_members(home: Home, names: Sequence[str], top: int, prefix: str, argv: list[str]) -> Selection:
    """Choose among registered checkpoints, and register the ensemble of the best (an existing one is reused).

    Its name does not start with the prefix of its members, so that a glob over them does not take it in.
    """
    from smartcli.registry.registry import Registry

    registry = Registry(home)
    opened = {name: registry.open(name) for name in names}
    first = next(iter(opened.values()))
    tasks = tuple(first.all_tasks)
    found = choose(tasks, {n: c.predictions() for n, c in opened.items()}, top, first.meta.data.fingerprint)
    known = "\0".join(f"{name}@{opened[name].manifest_hash}" for name in found.members)
    name = f"top{top}-{prefix}-{hashlib.sha256(known.encode()).hexdigest()[:8]}"
    if name not in registry.names():
        from smartcli.workflows.scoring.ensembling import ensemble

        ensemble(home, found.members, name=name, argv=argv)
    return Selection(found.members, found.rows, name)

"""`smart ensemble`: combine members' stored predictions and register the result."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from smartcli.data.predictions import Predictions
from smartcli.errors import UserError, suggest
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.registry import Registry
from smartcli.report.tables import ScoreRow, ScoreTable
from smartcli.tasks import VOTES, Vote
from smartcli.voting import combine, halves, rank
from smartcli.workflows.scoring.ensemble_record import ensemble_meta, fill_folder
from smartcli.workflows.scoring.evaluation import is_greedy_soup, remarks_on, score_row, table_of, undefined_scores
from smartcli.workflows.scoring.sources import Subject, data_words, subject_of

NO_FILES: Mapping[str, bytes] = MappingProxyType({})


@dataclass(frozen=True)
class Selection:
    """How members were chosen: the best `top` of `candidates` by the overall score on one half of dev."""

    top: int
    candidates: tuple[str, ...]
    chosen: tuple[str, ...]
    rows: dict[str, tuple[int, int]]
    """Rows a task: those that chose, those that report."""

    def to_json(self) -> dict[str, Any]:
        return {
            "top": self.top,
            "of": len(self.candidates),
            "candidates": list(self.candidates),
            "chosen_on": {task: counts[0] for task, counts in self.rows.items()},
            "reported_on": {task: counts[1] for task, counts in self.rows.items()},
        }


@dataclass(frozen=True)
class EnsembleOutcome:
    """The registered ensemble, and the table of members and ensemble; `selection` says how they were chosen."""

    checkpoint: Checkpoint
    table: ScoreTable
    selection: Selection | None

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints: evaluate's form, the ensemble's name, and how members were chosen."""
        selection = None if self.selection is None else self.selection.to_json()
        return {"ensemble": self.checkpoint.name, "selection": selection, **self.table.to_json()}


def ensemble(
    home: Home,
    patterns: Sequence[str],
    *,
    name: str | None = None,
    top: int | None = None,
    vote: str = "mode",
    argv: Sequence[str] = (),
    files: Mapping[str, bytes] = NO_FILES,
) -> EnsembleOutcome:
    """Combine the named members (with `top`: the best of them, chosen on one half of dev) and register the result.

    With `top` the table's scores are those on the other half. `vote` is mode or mean, as `combine` has them; `files`
    are stored beside the ensemble's own. UserErrors: fewer than two members, members of several data sets, one without
    a head for a task, or one that is an ensemble itself.
    """
    started = time.monotonic()
    how_to = check_vote(vote)
    registry = Registry(home)
    found = [registry.open(one) for one in registry.expand(patterns)]
    check_members(found, top)
    subject = subject_of(home, found)
    for member in found:
        check_heads(member, subject)
    dev = {member.name: member.predictions() for member in found}
    selection, report_on = None, dev
    if top is not None:
        selection, report_on = select(subject, dev, top)
    chosen = [member for member in found if selection is None or member.name in selection.chosen]
    if selection is not None:
        chosen.sort(key=lambda member: selection.chosen.index(member.name))
    names = [member.name for member in chosen]
    combined = combine(subject.tasks, [dev[one] for one in names], names, how_to)
    reported = combined
    if selection is not None:
        reported = combine(subject.tasks, [report_on[one] for one in names], names, how_to)
    with registry.claim(name) as taken:
        how = None if selection is None else selection.to_json()
        meta = ensemble_meta(taken, chosen, subject, combined, how, reported, argv, started, how_to)
        checkpoint = registry.commit(taken, lambda folder: fill_folder(folder, meta, combined, files))
    rows = [score_row(member, subject.tasks, report_on[member.name]) for member in chosen]
    rows.append(score_row(checkpoint, subject.tasks, reported))
    return EnsembleOutcome(checkpoint, _table(subject, rows, selection, remarks_on(chosen, subject)), selection)


def check_vote(vote: str) -> Vote:
    """Return a way of voting; a UserError lists those there are."""
    for known in VOTES:
        if vote == known:
            return known
    raise UserError(f'--vote must be one of {", ".join(VOTES)}; found "{vote}"{suggest(vote, VOTES)}')


def check_members(members: Sequence[Checkpoint], top: int | None) -> None:
    """Raise a UserError where these checkpoints cannot make an ensemble (of the best `top`)."""
    for member in members:
        if member.kind == "ensemble":
            raise UserError(f"{member.name} is an ensemble itself; name its members, or leave it out")
        if is_greedy_soup(member):
            raise UserError(
                f"{member.name} is a greedy soup, which one half of dev picked: an ensemble with it would be scored on "
                "that half too; name the runs it was picked from, or a soup made without --greedy"
            )
    if len(members) < 2:
        raise UserError(f"an ensemble needs at least two members, found {members[0].name} alone")
    if top is not None and not 2 <= top <= len(members):
        raise UserError(f"--top must be from 2 to the number of checkpoints named, {len(members)}; found {top}")
    other = next((m for m in members if m.fingerprint != members[0].fingerprint), None)
    if other is not None:
        raise UserError(
            f"members must be trained on the same data: {members[0].name} was on {data_words(members[0])}, "
            f"{other.name} on {data_words(other)}"
        )


def check_heads(member: Checkpoint, subject: Subject) -> None:
    """Raise a UserError naming a task of the data set that `member` has no head for."""
    heads = member.heads
    for task in member.all_tasks:
        if task.name not in heads:
            raise UserError(
                f'{member.name} has no head for "{task.name}", which every member needs on the data set '
                f'"{subject.name}"; leave {member.name} out'
            )


def select(subject: Subject, dev: dict[str, Predictions], top: int) -> tuple[Selection, dict[str, Predictions]]:
    """Choose the best `top` on one half of dev; also return everyone's predictions on the other half.

    Choosing on dev and reporting on the same dev would inflate the score.
    """
    split = {name: halves(found, subject.fingerprint) for name, found in dev.items()}
    ranked = rank(tuple(subject.tasks), {name: first for name, (first, _) in split.items()})
    first, second = next(iter(split.values()))
    counts = {task: (len(first[task]), len(second[task])) for task in first}
    selection = Selection(top, tuple(dev), tuple(name for name, _ in ranked[:top]), counts)
    return selection, {name: second for name, (_, second) in split.items()}


def _table(
    subject: Subject, rows: Sequence[ScoreRow], selection: Selection | None, remarks: Sequence[str]
) -> ScoreTable:
    notes = undefined_scores(rows)
    part = ""
    if selection is not None:
        part = "the half of dev that did not choose"
        notes.append(
            f"the {selection.top} members were chosen from {len(selection.candidates)} on one half of dev; "
            "the scores in the table are on the other half"
        )
    return table_of(subject, "dev", rows, notes, remarks, part)

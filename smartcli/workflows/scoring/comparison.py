"""`smart compare`: is B better than A, or is the difference chance?"""

from __future__ import annotations

from collections.abc import Sequence

from smartcli.data.predictions import Predictions
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.option_table import OPTION_OF
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.registry import Registry
from smartcli.report.differences import Differences, Side
from smartcli.significance.bootstrap import DRAWS
from smartcli.significance.two_sides import compare as test_all
from smartcli.tasks import Task
from smartcli.voting import check_same_rows, halves
from smartcli.workflows.scoring.evaluation import IN_INT8, check_labels, check_split, picked_on
from smartcli.workflows.scoring.over_seeds import all_but_the_seed
from smartcli.workflows.scoring.sources import Say, Subject, predictions_on, silent, subject_of

FEWEST_DRAWS, MOST_DRAWS = 1_000, 1_000_000


def compare(
    home: Home,
    a: str,
    b: str,
    *,
    split: str = "dev",
    data: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    int8: bool = False,
    say: Say = silent,
) -> Differences:
    """Compare two sides, each a name, a range, a glob, or several of these joined by commas; with `int8` B in int8.

    UserErrors: unknown names, data sets that differ or have changed, a split without labels, no task that all have a
    head for, fewer than 1,000 draws.
    """
    check_split(split)
    if not FEWEST_DRAWS <= draws <= MOST_DRAWS:
        raise UserError(
            f"--draws must be a whole number at least {FEWEST_DRAWS:,} and at most {MOST_DRAWS:,}, found {draws}"
        )
    if not 0 <= seed <= (OPTION_OF["seed"].high or seed):
        raise UserError(
            f"--seed must be a whole number at least 0 and at most {OPTION_OF['seed'].high:g}, found {seed}"
        )
    registry = Registry(home)
    sides = {label: _open(registry, given, label) for label, given in (("A", a), ("B", b))}
    everyone = [one for side in sides.values() for one in side]
    subject = subject_of(home, everyone, data)
    check_labels(subject, split)
    # B's predictions in int8 are others than A's of the same name.
    shown = {label: [one.name + (IN_INT8 if int8 and label == "B" else "") for one in own]
             for label, own in sides.items()}  # fmt: skip
    found = {
        name: predictions_on(home, registry, one, subject, split, say, int8=name.endswith(IN_INT8))
        for label, own in sides.items()
        for name, one in zip(shown[label], own, strict=True)
    }
    picked = [one.name for one in everyone if picked_on(one, split, subject)]
    if picked:
        found = {name: halves(rows, subject.fingerprint)[1] for name, rows in found.items()}
    tasks, notes = _common(subject, split, found)
    _check_rows(tasks, found)
    tests, untested = test_all(
        tasks,
        *([found[name] for name in side] for side in shown.values()),
        with_overall=len(tasks) == len(subject.tasks),
        draws=draws,
        seed=seed,
    )
    if not tests:
        raise UserError(f"there is nothing to compare on the {split} split of {subject.name}: {'; '.join(untested)}")
    return Differences(
        data=subject.name,
        fingerprint=subject.fingerprint,
        title=subject.title,
        split=split,
        a=Side(a, tuple(shown["A"])),
        b=Side(b + (IN_INT8 if int8 else ""), tuple(shown["B"])),
        tests=tests,
        draws=draws,
        seed=seed,
        notes=[*notes, *untested, *_on_one_half(picked), *_remarks(sides, int8=int8)],
    )


def _open(registry: Registry, given: str, label: str) -> list[Checkpoint]:
    patterns = [one.strip() for one in given.split(",")]
    if not all(patterns):
        raise UserError(f'{label}: expected a checkpoint, or several joined by commas; found "{given}"')
    return [registry.open(name) for name in registry.expand(patterns)]


def _common(subject: Subject, split: str, found: dict[str, Predictions]) -> tuple[list[Task], list[str]]:
    """Return the tasks that every checkpoint predicts on labelled rows, and a note on each of the others."""
    tasks, notes = [], []
    for task in subject.tasks:
        lacking = [name for name, one in found.items() if task.name not in one]
        if lacking:
            notes.append(
                f"{task.name} is left out, and overall with it: {', '.join(lacking)} has no predictions for it"
            )
        elif any(one[task.name].labels is None for one in found.values()):
            notes.append(f"{task.name} is left out, and overall with it: its {split} split has no labels")
        else:
            tasks.append(task)
    if not tasks:
        raise UserError(f"there is no task that all of {', '.join(found)} can be compared on: {'; '.join(notes)}")
    return tasks, notes


def _check_rows(tasks: Sequence[Task], found: dict[str, Predictions]) -> None:
    (first, one), *others = found.items()
    for name, other in others:
        for task in tasks:
            check_same_rows(task, one[task.name], other[task.name], first, name)


def _on_one_half(picked: Sequence[str]) -> list[str]:
    names = ", ".join(picked)
    return [f"all are compared on the half of dev that did not pick what is in {names}"] if picked else []


def _remarks(sides: dict[str, list[Checkpoint]], *, int8: bool) -> list[str]:
    """Say what makes a claim weaker than it looks."""
    a, b = sides.values()
    notes = []
    both = [one.name for one in a if one.name in {other.name for other in b}]
    if both and not int8:
        notes.append(f"{', '.join(both)} stands on both sides")
    for label, side in sides.items():
        if len({all_but_the_seed(one) for one in side}) > 1:
            notes.append(f"{label}'s checkpoints differ in more than the seed, which counts as spread over seeds here")
        seeds = [seed for one in side if not one.meta.ensemble and (seed := one.meta.settings.get("seed")) is not None]
        if len(set(seeds)) < len(seeds):
            notes.append(f"{label} has checkpoints of one seed; a seed that stands twice makes the spread too small")
    if len(a) + len(b) > 2:
        if min(len(a), len(b)) == 1:
            notes.append("one side has one checkpoint; it is taken to vary as the other side's seeds do")
    elif not (a[0].meta.ensemble or b[0].meta.ensemble):
        notes.append(
            "one checkpoint a side: this compares two models; whether one way of training is better takes several "
            "seeds a side"
        )
    return notes

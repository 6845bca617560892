"""The trials of a study as the N that were asked for, each with its attempts.

Optuna numbers every attempt: a trial whose worker was killed ends as FAIL, and its values are queued again under a new
number. Here the attempts of one trial stand together, so that it counts once, whoever ended it. All of it follows from
the list of attempts, which every worker reads from the storage: two that look at the same list see the same, and where
two act at once on an older list, the lower number counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["waiting", "running", "complete", "pruned", "fail"]
MOST_ATTEMPTS = 3
"""Attempts of a trial whose workers or processes were killed, before it counts as failed."""
ROOT, RELEASED, FAILURE, KILLED, MISTAKE = "trial", "released", "failure", "killed", "mistake"
"""Notes: the number of the trial's first attempt; given back by a worker that was stopped; why a training failed, which
ends the trial; what killed its process, which does not; where and for what mistake of the user's it was given back."""


@dataclass(frozen=True)
class Attempt:
    """One try at a trial, as the storage has it. `notes` are Optuna's user attributes."""

    number: int
    state: State
    params: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    value: float | None = None
    reports: Mapping[int, float] = field(default_factory=dict)
    """Epoch, counted from 1, to the score after it."""

    @property
    def root(self) -> int:
        """The number of the trial's first attempt."""
        return int(self.notes.get(ROOT, self.number))


@dataclass(frozen=True)
class Slot:
    """One trial: its attempts in order; the first one's number is its name."""

    attempts: tuple[Attempt, ...]

    @property
    def root(self) -> int:
        return self.attempts[0].root

    @property
    def params(self) -> Mapping[str, Any]:
        """The drawn values; an attempt that was killed at its very start may lack some."""
        return max((one.params for one in self.attempts), key=len)

    @property
    def result(self) -> Attempt | None:
        """The attempt that counts: the first that was completed or pruned."""
        return next((one for one in self.attempts if one.state in ("complete", "pruned")), None)

    @property
    def current(self) -> Attempt | None:
        """The attempt that goes on, or waits to."""
        if self.result is not None:
            return None
        return next((one for one in self.attempts if one.state in ("running", "waiting")), None)

    @property
    def failure(self) -> str | None:
        """Why it failed for good: a training's own error, or killed too often."""
        if self.result is not None or self.current is not None:
            return None
        said = next((str(one.notes[FAILURE]) for one in self.attempts if FAILURE in one.notes), None)
        killed = [one for one in self.attempts if RELEASED not in one.notes]
        if said is None and len(killed) >= MOST_ATTEMPTS:
            return f"{killed[-1].notes.get(KILLED, 'its worker was killed')}, {len(killed)} times"
        return said

    @property
    def ended(self) -> bool:
        return self.result is not None or self.failure is not None

    @property
    def orphaned(self) -> bool:
        """Whether nobody works at it, and nothing of it waits."""
        return not self.ended and self.current is None


def slots_of(attempts: Sequence[Attempt]) -> list[Slot]:
    """Return the trials in the order in which they were begun.

    A first attempt that was killed before anything was drawn is none: another one is drawn in its place.
    """
    groups: dict[int, list[Attempt]] = {}
    for one in sorted(attempts, key=lambda one: one.number):
        if ROOT in one.notes or one.state != "fail" or one.params:
            groups.setdefault(one.root, []).append(one)
    return [Slot(tuple(groups[root])) for root in sorted(groups)]


def holds(slots: Sequence[Slot], number: int, count: int) -> bool:
    """Return whether the attempt `number` is the one to go on with, of one of the first `count` trials."""
    return any(slot.current is not None and slot.current.number == number for slot in slots[:count])


def best(slots: Sequence[Slot]) -> Slot | None:
    """Return the completed trial with the highest value; of equal ones the first."""
    return next(iter(ranked(slots)), None)


def ranked(slots: Sequence[Slot]) -> list[Slot]:
    """Return the completed trials, best first."""
    done = [slot for slot in slots if slot.result is not None and slot.result.state == "complete"]
    return sorted(done, key=lambda slot: (-_value(slot), slot.root))


def _value(slot: Slot) -> float:
    result = slot.result
    return float("-inf") if result is None or result.value is None else result.value

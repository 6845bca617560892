"""What one update found, as Python numbers, and what of it was not finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from smartcli.engine.training.gradient_share import norms_of

Key = tuple[str, str, str]
"""Term, `value`, `scalar`, `skipped` or a log name, and task or name: one number that a step measures."""
TOTAL: Key = ("", "total", "")


def square_of(task: str) -> Key:
    """Return the name of the squared norm of a task's gradient."""
    return ("", "square", task)


def part_of(task: str) -> Key:
    """Return the name of a task's part of the total before its weights."""
    return ("", "part", task)


@dataclass
class Numbers:
    """A term's numbers of a step as Python floats: its values by task, and what the log shows beside them by name."""

    values: dict[str, float] = field(default_factory=dict)
    logged: dict[str, dict[str, float]] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)
    """Of several tasks' passes the lowest."""
    skipped: bool = False

    def add(self, kind: str, key: str, value: float) -> None:
        """Take one number that a pass over some of the tasks found."""
        if kind == "value":
            self.values[key] = value
        elif kind == "scalar":
            self.scalars[key] = min(value, self.scalars.get(key, value))
        elif kind == "skipped":
            self.skipped |= value > 0
        else:
            self.logged.setdefault(kind, {})[key] = value


@dataclass
class Outcome:
    """Numbers of one update as Python floats; `bad` names what was not finite, if anything."""

    lr: float
    found: dict[str, Numbers]
    """By term, in the order of the sum."""
    cosines: dict[str, float] = field(default_factory=dict)
    """Cosine of each pair of task gradients, `a,b`, with surgery on."""
    norms: dict[str, float] = field(default_factory=dict)
    """By task: the norm of its gradient by the word vectors, where it was measured."""
    weights: dict[str, float] = field(default_factory=dict)
    """By task: what its part was multiplied by, where that is learnt."""
    grad_norm: float = math.nan
    bad: str | None = None
    bad_tasks: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """The step's tasks."""
        return tuple(self.found["loss"].values)

    @property
    def skipped(self) -> bool:
        """Whether a term had to be left out."""
        return any(numbers.skipped for numbers in self.found.values())

    def take_norm(self, norm: float) -> None:
        """Take the norm of all gradients; one that is not finite is bad, whatever the losses are."""
        self.grad_norm = norm
        if not math.isfinite(norm):
            self.bad, self.bad_tasks = "gradient", self.tasks


def outcome_of(parts: Iterable[Mapping[Key, float]], lr: float) -> Outcome:
    """Return the outcome of a step whose passes found `parts`; bad names the first term that is not finite."""
    out, totals, squares = Outcome(lr, {}), [], {}
    for part in parts:
        for (term, kind, key), value in part.items():
            if kind == "total":
                totals.append(value)
            elif kind == "square":
                squares[key] = value
            elif kind != "part":
                out.found.setdefault(term, Numbers()).add(kind, key, value)
    out.norms = norms_of(squares)
    for name, numbers in out.found.items():
        # A term that was left out has no value in the log.
        numbers.values = {} if numbers.skipped else numbers.values
        tasks = tuple(task for task, value in numbers.values.items() if not math.isfinite(value))
        if tasks and out.bad is None:
            out.bad, out.bad_tasks = name, tasks
    if out.bad is None and not all(map(math.isfinite, totals)):
        out.bad, out.bad_tasks = "total loss", out.tasks
    return out


@dataclass
class Pending:
    """An update that was asked for and may still run."""

    read: Callable[[], Outcome | None]
    """Waits for it; None where it did nothing, since the one before it was bad."""

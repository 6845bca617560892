"""What is known of a task before it is declared: the user's answers, the guess with its reasons, and what is open."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answers:
    """What the user has said of a task: column names, a kind, label names in order."""

    text: tuple[str, ...] = ()
    label: str | None = None
    id: str | None = None
    kind: str | None = None
    labels: tuple[str, ...] = ()


NOTHING = Answers()


@dataclass(frozen=True)
class Open:
    """A choice that the columns leave open: the option that answers it, what is asked, and what may be answered."""

    option: str
    question: str
    choices: tuple[str, ...]


@dataclass
class TaskGuess:
    """A `[[task]]` table as far as it is known, the reason of each key, and what is open."""

    values: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    open: list[Open] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What deserves a look, though it is no choice."""

    def set(self, key: str, value: Any, reason: str) -> None:
        self.values[key], self.reasons[key] = value, reason

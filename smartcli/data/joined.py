"""Names joined by one separator in a column's cells, such as roads|parks: is it so, and by which?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

SEPARATORS = ("|", ";", ",", "/")
RECUR = 0.6
"""Of the names in joined cells so many must stand in several different cells."""
MOST = 300
"""More different names are words of a text."""
WORDS, LETTERS = 4, 40
"""The most that a label's name has; more is a sentence with commas."""
DIGITS = frozenset("0123456789.-+ ")


@dataclass(frozen=True)
class Joined:
    """How a column's names are joined."""

    separator: str
    names: tuple[str, ...]
    """All of them, by the alphabet."""
    sure: bool
    """Whether one of them also stands alone; else the joined names may be one class each, as in "Sales, EU"."""


def joined_names(values: Collection[str]) -> Joined | None:
    """Return how the different values of a column are joined; None where they are not."""
    found = [joined for separator in SEPARATORS if (joined := _by(separator, values)) is not None]
    # Of several separators the one that leaves fewer names is the one that was meant.
    return min(found, key=lambda joined: len(joined.names), default=None)


def _by(separator: str, values: Collection[str]) -> Joined | None:
    several = [parts for value in values if len(parts := parts_of(value, separator)) > 1]
    if len(several) < 2:
        return None
    alone = {value for value in values if separator not in value}
    names = {part for parts in several for part in parts}
    if separator in ",/" and all(set(name) <= DIGITS for name in names):
        return None  # Numbers with a decimal comma, or parts of dates.
    times = Counter(part for parts in several for part in parts) + Counter(alone)
    recurring = sum(times[name] > 1 for name in names)
    short = all(len(name.split()) <= WORDS and len(name) <= LETTERS for name in names | alone)
    apart = all(len(parts) == len(set(parts)) for parts in several)
    if not (short and apart) or len(names | alone) > MOST or recurring < RECUR * len(names):
        return None
    return Joined(separator, tuple(sorted(names | alone, key=str.casefold)), bool(names & alone))


def parts_of(value: str, separator: str) -> list[str]:
    """Return the names in a cell."""
    return [part.strip() for part in value.split(separator) if part.strip()]

"""Curves out of a checkpoint's log.jsonl: losses, penalties, dev scores, conflicts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smartcli.log_events import DevEvent, Event, StepEvent


@dataclass(frozen=True)
class Points:
    """A value by step."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def smooth(self) -> list[float]:
        """Return the running mean over a window of a thirtieth of the points (the points themselves if few)."""
        window = max(1, len(self.y) // 30)
        out = []
        for end in range(1, len(self.y) + 1):
            part = self.y[max(0, end - window) : end]
            out.append(sum(part) / len(part))
        return out


@dataclass(frozen=True)
class DevCurve:
    """A task's dev score by epoch, and that on the fixed training rows where the log has it."""

    epochs: tuple[int, ...]
    values: tuple[float, ...]
    train: tuple[float, ...] | None = None


def step_points(events: Iterable[Event], key: str) -> dict[str, Points]:
    """Return a task's values of `key` ("loss", "r_s") by step; values that are not finite are left out."""
    found: dict[str, list[tuple[float, float]]] = {}
    for event in events:
        if not isinstance(event, StepEvent):
            continue
        for task, value in event.numbers.get(key, {}).items():
            if value is not None and _finite(value):
                found.setdefault(task, []).append((float(event.step), float(value)))
    return {task: _points(pairs) for task, pairs in found.items()}


def dev_curves(events: Sequence[Event], tasks: Sequence[str]) -> dict[str, DevCurve]:
    """Return each task's score by epoch; epochs without a score of that task are left out.

    A sequential run counts each phase's epochs from 1: they are numbered on, over all its phases.
    """
    curves = {}
    dev = [event for event in events if isinstance(event, DevEvent)]
    for task in tasks:
        rows = [
            (epoch, score, score_of(_mapping(event.train).get(task)))
            for epoch, event in enumerate(dev, 1)
            if (score := score_of(event.scores.get(task))) is not None
        ]
        if rows:
            train = tuple(row[2] for row in rows if row[2] is not None)
            epochs, values = tuple(row[0] for row in rows), tuple(row[1] for row in rows)
            curves[task] = DevCurve(epochs, values, train if len(train) == len(rows) else None)
    return curves


def conflict_points(events: Iterable[Event]) -> tuple[dict[str, Points], dict[str, Points]]:
    """Return, for each pair of tasks ("a, b"), the cosine by step and each epoch's share of conflicts."""
    cosines: dict[str, list[tuple[float, float]]] = {}
    shares: dict[str, list[tuple[float, float]]] = {}
    for event in events:
        if isinstance(event, StepEvent):
            for pair, value in _mapping(event.cosine).items():
                if _finite(value):
                    cosines.setdefault(", ".join(pair.split(",")), []).append((float(event.step), float(value)))
        if isinstance(event, DevEvent):
            for pair, entry in _mapping(event.conflicts).items():
                if _finite(entry.get("share")):
                    shares.setdefault(", ".join(pair.split(",")), []).append((float(event.step), entry["share"]))
    return {k: _points(v) for k, v in cosines.items()}, {k: _points(v) for k, v in shares.items()}


def score_of(value: Any) -> float | None:
    """Return the metric's value of a task's entry (`{"accuracy": .5, "n": 10}` or a plain number), or None."""
    if isinstance(value, Mapping):
        value = next((v for key, v in value.items() if key != "n"), None)
    return float(value) if _finite(value) else None


def _points(pairs: Sequence[tuple[float, float]]) -> Points:
    return Points(tuple(x for x, _ in pairs), tuple(y for _, y in pairs))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

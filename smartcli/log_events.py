"""The events of a training: what stands on each line of log.jsonl, and what a listener hears besides.

The only schema of these lines: the engine makes the events, `to_json` writes them, `parse` reads them, in old logs too.
A line of an event that this version does not know is kept as an `Other`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from smartcli.errors import SmartCliError

ByTask = Mapping[str, float | None]
"""Task to number; None where it is not finite, which JSON cannot say."""


@dataclass(frozen=True, kw_only=True)
class StartEvent:
    """A training begins."""

    event: ClassVar[str] = "start"
    command: str = ""
    name: str = ""
    steps: int | None = None
    epochs: int | Mapping[str, int] | None = None
    """Of the run's one phase, or by phase."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    encoder: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    """Device, precision and why, threads, versions; in the log these keys stand beside the others."""

    def to_json(self) -> dict[str, Any]:
        return {"event": self.event, **_without(self, "machine"), **self.machine}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> StartEvent:
        known, more = _divided(cls, value)
        return cls(**known, machine=more)


@dataclass(frozen=True, kw_only=True)
class ResumeEvent:
    """A training goes on after `step`, on this machine."""

    event: ClassVar[str] = "resume"
    step: int
    machine: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"event": self.event, "step": self.step, **self.machine}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ResumeEvent:
        known, more = _divided(cls, value)
        return cls(**known, machine=more)


@dataclass(frozen=True, kw_only=True)
class StepEvent:
    """An update: counts over the run so far, and this update's numbers.

    `seconds`, `examples` and `tokens` are cumulative. `numbers` has by name (`loss`, `r_s`, what else a term logs, and
    where several tasks are trained `task_grad_norm`) the values by task, `scalars` those of the whole step.
    """

    event: ClassVar[str] = "step"
    step: int
    epoch: int = 0
    phase: str | None = None
    """Where a run has several."""
    seconds: float = 0.0
    examples: int = 0
    tokens: int = 0
    lr: float = 0.0
    numbers: Mapping[str, ByTask] = field(default_factory=dict)
    scalars: Mapping[str, float] = field(default_factory=dict)
    cosine: Mapping[str, float] = field(default_factory=dict)
    """Of each pair of task gradients `a,b`, with surgery on."""
    grad_norm: float | None = None
    bad_steps: int = 0
    skipped_penalties: int = 0

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"event": self.event, "step": self.step, "epoch": self.epoch}
        out |= {"phase": self.phase} if self.phase is not None else {}
        out |= {"seconds": self.seconds, "examples": self.examples, "tokens": self.tokens, "lr": self.lr}
        # Both stand there also where they are empty: readers of the log count on it.
        out |= {"loss": {}, "r_s": {}} | dict(self.numbers) | dict(self.scalars)
        out |= {"cosine": dict(self.cosine)} if self.cosine else {}
        out["grad_norm"] = self.grad_norm
        counts = {"bad_steps": self.bad_steps, "skipped_penalties": self.skipped_penalties}
        return out | {key: count for key, count in counts.items() if count}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> StepEvent:
        known, more = _divided(cls, value)
        numbers = {key: found for key, found in more.items() if isinstance(found, Mapping)}
        return cls(**known, numbers=numbers, scalars={key: more[key] for key in more.keys() - numbers.keys()})


@dataclass(frozen=True, kw_only=True)
class DevEvent:
    """Scores after an epoch: `scores` by task, `{metric: value, "n": n}` or None, and on fixed training rows."""

    event: ClassVar[str] = "dev"
    epoch: int = 0
    step: int = 0
    phase: str | None = None
    seconds: float = 0.0
    scores: Mapping[str, Any] = field(default_factory=dict)
    """In the log these keys stand beside the others."""
    overall: float | None = None
    train: Mapping[str, Any] = field(default_factory=dict)
    conflicts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Of each pair of tasks `a,b` in this epoch: share of steps in conflict, mean cosine, steps; with surgery on."""
    grad_share: Mapping[str, float] = field(default_factory=dict)
    """By task its share of the gradient in this epoch, of the steps that are logged; where several are trained."""

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"event": self.event, "epoch": self.epoch, "step": self.step}
        out |= {"phase": self.phase} if self.phase is not None else {}
        out |= {"seconds": self.seconds, **self.scores, "overall": self.overall, "train": dict(self.train)}
        out |= {"conflicts": dict(self.conflicts)} if self.conflicts else {}
        return out | ({"grad_share": dict(self.grad_share)} if self.grad_share else {})

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DevEvent:
        known, more = _divided(cls, value)
        return cls(**known, scores=more)


@dataclass(frozen=True, kw_only=True)
class EndEvent:
    """A training is finished: its totals."""

    event: ClassVar[str] = "end"
    step: int | None = None
    seconds: float | None = None
    examples: int = 0
    tokens: int = 0
    truncated: int = 0
    bad_steps: int = 0
    best_epoch: int | None = None
    peak_memory: int | None = None
    """Bytes."""

    def to_json(self) -> dict[str, Any]:
        return {"event": self.event, **_without(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EndEvent:
        return cls(**_divided(cls, value)[0])


@dataclass(frozen=True)
class NoteEvent:
    """Something to tell; listeners hear it, the log does not have it."""

    event: ClassVar[str] = "note"
    message: str

    def to_json(self) -> dict[str, Any]:
        return {"event": self.event, "message": self.message}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NoteEvent:
        return cls(str(value.get("message")))


@dataclass(frozen=True)
class WarningEvent(NoteEvent):
    """What is not wrong but worth knowing."""

    event: ClassVar[str] = "warning"


@dataclass(frozen=True)
class OtherEvent:
    """An event of another version."""

    value: Mapping[str, Any]

    @property
    def event(self) -> Any:
        return self.value.get("event")

    def to_json(self) -> dict[str, Any]:
        return dict(self.value)


Event = StartEvent | ResumeEvent | StepEvent | DevEvent | EndEvent | NoteEvent | OtherEvent
_KINDS = {
    kind.event: kind for kind in (StartEvent, ResumeEvent, StepEvent, DevEvent, EndEvent, NoteEvent, WarningEvent)
}


def parse(value: Mapping[str, Any]) -> Event:
    """Read what `to_json` gave; a key that is absent has its default. ValueError where `step` is not a whole number."""
    kind = _KINDS.get(value.get("event", ""))
    if kind is None:
        return OtherEvent(value)
    if kind in (StepEvent, DevEvent, ResumeEvent) and not isinstance(value.get("step", 0), int):
        raise ValueError(f'"step" must be a whole number, found {value["step"]!r}')
    if kind in (StepEvent, ResumeEvent) and "step" not in value:
        raise ValueError('there is no "step"')
    return kind.from_json(value)


def read_log(raw: bytes, where: str) -> list[Event]:
    """Return the events of a log, one JSON object a line; a SmartCliError names `where` and the line."""
    events = []
    for number, line in enumerate(raw.splitlines(), 1):
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise SmartCliError(f"{where}:{number}: expected one JSON object, found {line[:60]!r}")
        try:
            events.append(parse(value))
        except ValueError as error:
            raise SmartCliError(f"{where}:{number}: {error}") from error
    return events


def _names(kind: type) -> list[str]:
    return [one.name for one in fields(kind)]


def _without(event: Any, *left_out: str) -> dict[str, Any]:
    return {name: getattr(event, name) for name in _names(type(event)) if name not in left_out}


def _divided(kind: type, value: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keys that are fields of `kind`, and the others; those that hold the others are no keys."""
    own = set(_names(kind)) - {"machine", "numbers", "scalars", "scores"}
    known = {key: found for key, found in value.items() if key in own}
    return known, {key: found for key, found in value.items() if key not in own and key != "event"}

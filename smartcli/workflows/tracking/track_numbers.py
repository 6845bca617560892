"""The numbers of an event under flat names, such as `loss/sst` and `dev/overall`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from smartcli.log_events import DevEvent, EndEvent, Event, StepEvent

_NOT_TRACKED = frozenset({"event", "step", "phase"})
_UNUSUAL = re.compile(r"[^A-Za-z0-9_. /-]")


def numbers_of(event: Event) -> dict[str, float]:
    """Return an event's numbers; nothing for one that has none.

    A step's are those of its line in log.jsonl, what stands by task as `loss/TASK`. An epoch's are `dev/TASK/METRIC`,
    `dev/overall`, `train/TASK/METRIC`, and what else it has by task. The totals of the end are `end/…`. What is null or
    not finite is left out, since MLflow refuses the one and TensorBoard cannot draw the other.
    """
    if isinstance(event, StepEvent):
        return dict(_flat("", {key: value for key, value in event.to_json().items() if key not in _NOT_TRACKED}))
    if isinstance(event, DevEvent):
        dev = {**event.scores, "overall": event.overall, "epoch": event.epoch}
        beside = {key: value for key, value in vars(event).items() if isinstance(value, Mapping) and key != "scores"}
        return dict(_flat("", {"dev": dev, **beside}))
    if isinstance(event, EndEvent):
        return dict(_flat("end", {key: value for key, value in event.to_json().items() if key not in _NOT_TRACKED}))
    return {}


def step_of(event: Event) -> int | None:
    """Return the update after which an event happened."""
    return event.step if isinstance(event, StepEvent | DevEvent | EndEvent) else None


def plain_settings(settings: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Return settings as trackers take them: one value a name, `lambda/sst` where it differs by task; no null."""
    out: dict[str, str | int | float | bool] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            out |= plain_settings({f"{key}/{name}": one for name, one in value.items()})
        elif isinstance(value, list | tuple):
            out[key] = ",".join(map(str, value))
        elif value is not None:
            out[key] = value if isinstance(value, str | int | float | bool) else str(value)
    return {_UNUSUAL.sub("-", key): value for key, value in out.items()}


def _flat(name: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        scored = "n" in value and len(value) > 1
        for key, one in value.items():
            if not (scored and key == "n"):
                yield from _flat(f"{name}/{_UNUSUAL.sub('-', str(key))}" if name else _UNUSUAL.sub("-", str(key)), one)
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield name, float(value)

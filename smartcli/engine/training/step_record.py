"""A step's line of the log."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from smartcli.engine.training.batches import Prepared
from smartcli.engine.training.snapshot import Position
from smartcli.engine.training.update import Outcome


def step_record(
    prepared: Prepared, outcome: Outcome, phase: str | None, at: Position, seconds: float
) -> dict[str, Any]:
    """Return the `step` record: counts so far, and losses and measurements of this step by task.

    `phase` names the phase where a run has several; a number that is not finite is None, since JSON has none.
    """
    record: dict[str, Any] = {"event": "step", "step": at.total, "epoch": prepared.step.epoch}
    if phase is not None:
        record["phase"] = phase
    record |= {"seconds": seconds, "examples": at.examples, "tokens": at.tokens, "lr": outcome.lr}
    # R_s stands there also where it is off: readers of the log count on it.
    record |= {"loss": {}, "r_s": {}}
    for name, numbers in outcome.found.items():
        record[name] = _finite(numbers.values)
        record |= {key: _finite(values) for key, values in numbers.logged.items()} | numbers.scalars
    if outcome.cosines:
        record["cosine"] = outcome.cosines
    record["grad_norm"] = outcome.grad_norm if math.isfinite(outcome.grad_norm) else None
    if at.bad_steps:
        record["bad_steps"] = at.bad_steps
    if at.skipped_penalties:
        record["skipped_penalties"] = at.skipped_penalties
    return record


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {task: value if math.isfinite(value) else None for task, value in values.items()}

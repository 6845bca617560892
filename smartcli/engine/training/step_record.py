"""The log's event of an update, from what the update and its terms found."""

from __future__ import annotations

import math
from collections.abc import Mapping

from smartcli.engine.training.batches import Prepared
from smartcli.engine.training.outcome import Outcome
from smartcli.engine.training.snapshot import Position
from smartcli.log_events import StepEvent


def step_event(prepared: Prepared, outcome: Outcome, phase: str | None, at: Position, seconds: float) -> StepEvent:
    """Return the event: counts so far, and losses and measurements of this step by task.

    `phase` names the phase where a run has several; a number that is not finite is None, since JSON has none.
    """
    numbers: dict[str, dict[str, float | None]] = {}
    scalars: dict[str, float] = {}
    for name, found in outcome.found.items():
        numbers[name] = _finite(found.values)
        numbers |= {key: _finite(values) for key, values in found.logged.items()}
        scalars |= found.scalars
    if outcome.norms:
        numbers["task_grad_norm"] = _finite(outcome.norms)
    if outcome.weights:
        numbers["task_weight"] = _finite(outcome.weights)
    return StepEvent(
        step=at.total,
        epoch=prepared.step.epoch,
        phase=phase,
        seconds=seconds,
        examples=at.examples,
        tokens=at.tokens,
        lr=outcome.lr,
        numbers=numbers,
        scalars=scalars,
        cosine=outcome.cosines,
        grad_norm=outcome.grad_norm if math.isfinite(outcome.grad_norm) else None,
        bad_steps=at.bad_steps,
        skipped_penalties=at.skipped_penalties,
    )


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {task: value if math.isfinite(value) else None for task, value in values.items()}

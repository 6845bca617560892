"""The phases of a run by hand-worked numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from small_model import TASKS

from smartcli.config import PerTask, Settings
from smartcli.engine.training.phases import plan

SIZES = {"mood": 10, "same": 6, "near": 9}


def phases(**changes: Any) -> list[tuple[str, int, int]]:
    chosen = replace(Settings(batch_size=PerTask(4), epochs=PerTask(2)), **changes)
    return [(phase.key, phase.epochs, phase.steps) for phase in plan(TASKS, chosen, SIZES)]


def test_simultaneous_is_one_phase_of_the_first_tasks_passes() -> None:
    assert phases() == [("mood+same+near", 2, 6)]
    assert phases(batch_size=PerTask(4, (("mood", 5),))) == [("mood+same+near", 2, 4)]


def test_sequential_goes_from_the_second_task_to_the_last_then_the_first() -> None:
    found = phases(schedule="sequential", epochs=PerTask(1, (("same", 2),)))
    assert found == [("same", 2, 4), ("near", 1, 3), ("mood", 1, 3)]


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (100, [("same", 2, 4), ("near", 2, 6), ("mood", 2, 6)]),
        (10, [("same", 2, 4), ("near", 2, 6)]),
        (5, [("same", 2, 4), ("near", 2, 1)]),
        (1, [("same", 2, 1)]),
    ],
)
def test_max_steps_counts_over_all_phases(most: int, expected: list[tuple[str, int, int]]) -> None:
    assert phases(schedule="sequential", max_steps=most) == expected


def test_max_steps_keeps_the_full_number_beside() -> None:
    (phase,) = plan(TASKS, Settings(batch_size=PerTask(4), epochs=PerTask(2), max_steps=5), SIZES)
    assert (phase.steps, phase.full_steps) == (5, 6)

"""The phases of a run, which rows a step has, counted over epochs, and learning rates by hand-worked numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from small_model import TASKS as TABLE

from smartcli.config import PerTask, Settings
from smartcli.engine.training.schedule import batches_of, learning_rate, steps, total_steps
from smartcli.engine.training.schedule import plan as plan_phases

SIZES = {"first": 10, "small": 5, "equal": 12, "large": 25}
BATCH = {"first": 4, "small": 4, "equal": 4, "large": 4}
TASKS = ("first", "small", "equal", "large")
EPOCHS = 3


@pytest.fixture(scope="module")
def plan() -> list:
    return list(steps(7, SIZES, BATCH, TASKS, EPOCHS))


def rows(plan: list, task: str, epoch: int | None = None) -> list[int]:
    return [int(row) for step in plan if epoch in (None, step.epoch) for row in step.rows[task]]


def test_steps_are_numbered_and_the_last_of_an_epoch_is_marked(plan: list) -> None:
    assert [step.number for step in plan] == list(range(1, 10))
    assert [step.epoch for step in plan] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert [step.ends_epoch for step in plan] == [False, False, True] * 3
    assert total_steps(SIZES, BATCH, TASKS, EPOCHS) == len(plan)
    assert (batches_of(10, 4), batches_of(8, 4), batches_of(1, 4)) == (3, 2, 1)


def test_every_row_of_the_first_task_once_an_epoch_in_another_order(plan: list) -> None:
    orders = [rows(plan, "first", epoch) for epoch in (1, 2, 3)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert [len(step.rows["first"]) for step in plan] == [4, 4, 2] * 3


def test_a_smaller_task_starts_afresh_in_each_epoch_and_repeats(plan: list) -> None:
    # 5 rows are batches of 4 and 1; three steps are one pass and the first batch of the next.
    assert [len(step.rows["small"]) for step in plan] == [4, 1, 4] * 3
    firsts = []
    for epoch in (1, 2, 3):
        of_epoch = rows(plan, "small", epoch)
        assert sorted(of_epoch[:5]) == list(range(5))
        assert set(Counter(of_epoch).values()) == {1, 2}
        firsts.append(tuple(of_epoch[:5]))
    assert len(set(firsts)) > 1


def test_a_task_with_as_many_batches_is_passed_over_once_an_epoch(plan: list) -> None:
    for epoch in (1, 2, 3):
        assert sorted(rows(plan, "equal", epoch)) == list(range(12))


def test_a_larger_task_goes_on_across_epochs_and_is_reshuffled_when_it_ends(plan: list) -> None:
    # 25 rows are 7 batches (the last of one row): nine steps are one pass and two batches of the next.
    every = rows(plan, "large")
    assert [len(step.rows["large"]) for step in plan] == [4, 4, 4, 4, 4, 4, 1, 4, 4]
    assert sorted(every[:25]) == list(range(25))
    assert len(set(every[25:])) == 8
    assert every[25:] != every[:8]


def test_size_counts_in_batches_and_not_in_rows() -> None:
    # 20 rows in batches of 10 are fewer batches than 9 rows in batches of 3.
    plan = list(steps(0, {"a": 9, "b": 20}, {"a": 3, "b": 10}, ("a", "b"), 2))
    assert sorted(rows(plan, "b", 1)[:20]) == list(range(20))
    assert sorted(rows(plan, "b", 2)[:20]) == list(range(20))  # afresh, not where it stopped


def test_a_task_alone_has_the_rows_that_it_has_as_first_task(plan: list) -> None:
    alone = list(steps(7, SIZES, BATCH, ("first",), EPOCHS))
    assert rows(alone, "first") == rows(plan, "first")
    assert rows(list(steps(8, SIZES, BATCH, ("first",), EPOCHS)), "first") != rows(plan, "first")


@pytest.mark.parametrize(
    ("step", "warmup", "decay", "expected"),
    [
        (1, 0.0, "constant", 1.0),
        (10, 0.0, "constant", 1.0),
        (1, 0.3, "constant", 1 / 3),  # three rising steps of ten
        (2, 0.3, "constant", 2 / 3),
        (3, 0.3, "constant", 1.0),
        (4, 0.3, "constant", 1.0),
        (3, 0.3, "linear", 1.0),
        (4, 0.3, "linear", 1.0),  # then seven falling ones, to 0 after the last
        (5, 0.3, "linear", 6 / 7),
        (10, 0.3, "linear", 1 / 7),
        (1, 0.0, "linear", 1.0),
        (10, 0.0, "linear", 0.1),
        (5, 1.0, "linear", 0.5),
        (10, 1.0, "linear", 1.0),
        (1, 0.09, "linear", 1.0),  # less than one step: no warm-up
    ],
)
def test_learning_rates_by_hand(step: int, warmup: float, decay: str, expected: float) -> None:
    found = learning_rate(step, 10, peak=2e-5, warmup=warmup, decay=decay)
    assert found == pytest.approx(2e-5 * expected, rel=1e-12)


def test_a_share_that_is_a_whole_number_of_steps_is_that_number() -> None:
    # .29 · 100 is 28.999… in floating point.
    assert learning_rate(29, 100, peak=1.0, warmup=0.29, decay="linear") == 1.0
    assert learning_rate(28, 100, peak=1.0, warmup=0.29, decay="linear") == pytest.approx(28 / 29)


PHASE_SIZES = {"mood": 10, "same": 6, "near": 9}


def planned(**changes: Any) -> list[tuple[str, int, int]]:
    chosen = replace(Settings(batch_size=PerTask(4), epochs=PerTask(2)), **changes)
    return [(phase.key, phase.epochs, phase.steps) for phase in plan_phases(TABLE, chosen, PHASE_SIZES)]


def test_simultaneous_is_one_phase_of_the_first_tasks_passes() -> None:
    assert planned() == [("mood+same+near", 2, 6)]
    assert planned(batch_size=PerTask(4, (("mood", 5),))) == [("mood+same+near", 2, 4)]


def test_sequential_goes_from_the_second_task_to_the_last_then_the_first() -> None:
    found = planned(schedule="sequential", epochs=PerTask(1, (("same", 2),)))
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
def test_max_steps_counts_over_all_planned(most: int, expected: list[tuple[str, int, int]]) -> None:
    assert planned(schedule="sequential", max_steps=most) == expected


def test_max_steps_keeps_the_full_number_beside() -> None:
    (phase,) = plan_phases(TABLE, Settings(batch_size=PerTask(4), epochs=PerTask(2), max_steps=5), PHASE_SIZES)
    assert (phase.steps, phase.full_steps) == (5, 6)

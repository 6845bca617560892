"""How often and how far: numbers worked out by hand, intervals against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from smartcli.data.predictions import TaskPredictions
from smartcli.explain.moved import alike, mean, moves, share, step_of
from smartcli.tasks import Task
from tests.hand_made import TASKS

SST, QQP, STS = TASKS


def classes(task: Task, shares: list[list[float]]) -> TaskPredictions:
    values = np.array(shares)
    ids = [str(i) for i in range(len(values))]
    return TaskPredictions(task.name, ids, None, values.argmax(axis=1).astype(float), values)


def scores(values: list[float]) -> TaskPredictions:
    return TaskPredictions(STS.name, [str(i) for i in range(len(values))], None, np.array(values))


@pytest.mark.parametrize(("k", "n"), [(0, 5), (3, 10), (40, 40), (1, 1)])
def test_the_interval_of_a_share_is_wilsons(k: int, n: int) -> None:
    z = 1.959963984540054
    centre = (k / n + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(k / n * (1 - k / n) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    found = share(k, n)
    assert found.value == k / n
    assert (found.low, found.high) == pytest.approx((max(0, centre - half), min(1, centre + half)), abs=1e-9)


def test_no_rows_and_one_row_have_no_interval() -> None:
    assert share(0, 0).to_json() == {"k": 0, "n": 0, "share": None, "low": None, "high": None}
    assert mean(np.array([])).to_json() == {"n": 0, "mean": None, "low": None, "high": None}
    assert mean(np.array([2.0])).to_json() == {"n": 1, "mean": 2.0, "low": None, "high": None}


def test_the_interval_of_a_mean_is_the_same_each_time_and_near_the_normal_one() -> None:
    values = np.random.default_rng(3).normal(1.0, 2.0, 400)
    found = mean(values)
    assert found == mean(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)
    assert mean(np.full(5, 0.5)) == mean(np.full(5, 0.5))
    assert (mean(np.full(5, 0.5)).low, mean(np.full(5, 0.5)).high) == (0.5, 0.5)


def test_a_class_moves_when_another_is_predicted() -> None:
    before = classes(QQP, [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    after = classes(QQP, [[0.8, 0.2], [0.4, 0.6], [0.2, 0.8]])
    found = moves(QQP, before, after)
    assert (found.moved.k, found.moved.n) == (1, 3)
    np.testing.assert_allclose(found.changes, [-0.1, -0.2, 0.0])
    assert found.size.value == pytest.approx(0.1)
    assert found.signed is None
    assert [row for row, _ in found.largest(2)] == [1, 0]


def test_a_score_moves_when_it_goes_farther_than_a_tenth_of_the_range() -> None:
    assert step_of(STS) == 0.5
    found = moves(STS, scores([1.0, 2.0, 3.0, 4.0]), scores([1.5, 2.51, 3.0, 3.0]))
    assert (found.moved.k, found.moved.n) == (2, 4)
    assert found.size.value == pytest.approx((0.5 + 0.51 + 1.0) / 4)
    assert found.signed is not None
    assert found.signed.value == pytest.approx((0.5 + 0.51 - 1.0) / 4)


def test_alike_is_class_one_or_a_score_from_the_middle_on() -> None:
    assert alike(QQP, classes(QQP, [[0.9, 0.1], [0.2, 0.8]])).tolist() == [False, True]
    assert alike(STS, scores([2.49, 2.5, 5.0])).tolist() == [False, True, True]
    assert alike(SST, classes(SST, [[1.0, 0, 0, 0, 0]])) is None

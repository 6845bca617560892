from __future__ import annotations

import numpy as np
import pytest

from smartcli.data.predictions import Predictions, TaskPredictions
from smartcli.metrics import overall, score_tasks
from smartcli.significance.two_sides import compare
from smartcli.tasks import parse_task

MOOD = parse_task({"name": "mood", "kind": "classification", "text": "a", "label": "l", "labels": ["x", "y", "z"]}, "t")
SAME = parse_task({"name": "same", "kind": "binary", "text": ["a", "b"], "label": "l"}, "t")
NEAR = parse_task({"name": "near", "kind": "regression", "text": ["a", "b"], "label": "l", "range": [0, 5]}, "t")
TASKS = (MOOD, SAME, NEAR)


class World:
    """Rows of three tasks, and models that err on them at random: some rows are harder, some seeds better."""

    def __init__(self, seed: int, rows: int) -> None:
        self.random = np.random.default_rng(seed)
        self.labels = {
            "mood": self.random.integers(0, 3, rows).astype(float),
            "same": self.random.integers(0, 2, rows).astype(float),
            "near": self.random.uniform(0, 5, rows),
        }
        self.ease = {"mood": self.random.beta(1, 1, rows), "same": self.random.beta(3, 1, rows)}
        self.bias = self.random.normal(0, 0.8, rows)

    def model(self, better: float = 0.0, spread: float = 0.0) -> Predictions:
        found: Predictions = {}
        for task in TASKS:
            labels, skill = self.labels[task.name], better + self.random.normal(0, spread)
            n = len(labels)
            if task.classes:
                right = self.random.random(n) < np.clip(self.ease[task.name] + skill, 0, 1)
                values = np.where(right, labels, (labels + 1) % task.classes)
            else:
                values = labels + self.bias + self.random.normal(0, 0.6 * np.exp(-3 * skill), n)
            found[task.name] = TaskPredictions(task.name, [f"r{i}" for i in range(n)], labels, values)
        return found


def claims(a: list[Predictions], b: list[Predictions], seed: int, draws: int = 1000) -> bool:
    return any(one.better for one in compare(TASKS, a, b, draws=draws, seed=seed)[0])


@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (3, 0.02)], ids=["two models", "three seeds a side"])
def test_equal_models_are_told_apart_in_at_most_8_percent_of_200_calls(seeds: int, spread: float) -> None:
    false = 0
    for number in range(200):
        world = World(number, 120)
        a, b = ([world.model(spread=spread) for _ in range(seeds)] for _ in "ab")
        false += claims(a, b, number)
    assert 1 <= false <= 16  # and not so careful that nothing is ever claimed


def test_a_better_model_is_found_and_named() -> None:
    world = World(0, 1000)
    tests, notes = compare(TASKS, [world.model()], [world.model(better=0.1)])
    assert notes == []
    assert [(one.score, one.better) for one in tests] == [(name, "b") for name in ("mood", "same", "near", "overall")]
    for one in tests:
        assert one.interval[0] < one.difference < one.interval[1]
        assert one.rows_needed is None
    swapped, _ = compare(TASKS, [world.model(better=0.1)], [world.model()])
    assert {one.better for one in swapped} == {"a"}


def test_several_better_seeds_are_found() -> None:
    world = World(1, 1000)
    a, b = ([world.model(better, 0.01) for _ in range(3)] for better in (0.0, 0.08))
    tests, _ = compare(TASKS, a, b)
    assert {one.better for one in tests} == {"b"}
    assert {one.mcnemar for one in tests} == {None}
    assert {(len(one.a), len(one.b)) for one in tests} == {(3, 3)}


def test_a_model_against_itself_is_no_difference() -> None:
    one = World(2, 200).model()
    tests, _ = compare(TASKS, [one], [one], draws=1000)
    for found in tests:
        assert (found.difference, found.p, found.p_holm, found.better) == (0, 1, 1, None)
        assert found.interval == (0, 0)
        assert found.rows_needed is None


def test_scores_are_those_of_evaluate() -> None:
    world = World(3, 150)
    a, b = world.model(), world.model()
    tests, _ = compare(TASKS, [a], [b], draws=1000)
    for side, model in (("a", a), ("b", b)):
        scores = score_tasks(TASKS, model)
        expected = [*(scores[task.name].value for task in TASKS), overall(list(scores.values()))]  # type: ignore[union-attr]
        assert [getattr(one, side)[0] for one in tests] == pytest.approx(expected)


def test_the_same_seed_gives_the_same_numbers_and_another_one_others() -> None:
    world = World(4, 150)
    a, b = [world.model()], [world.model()]
    assert compare(TASKS, a, b, draws=1000, seed=5) == compare(TASKS, a, b, draws=1000, seed=5)
    assert compare(TASKS, a, b, draws=1000, seed=5) != compare(TASKS, a, b, draws=1000, seed=6)


def of_right(a: np.ndarray, b: np.ndarray) -> tuple[Predictions, Predictions]:
    """Two models of a binary task whose every label is 1."""
    ids, labels = [f"r{i}" for i in range(len(a))], np.ones(len(a))
    one, other = (TaskPredictions("same", ids, labels, values.astype(float)) for values in (a, b))
    return {"same": one}, {"same": other}


def test_a_difference_that_takes_more_rows_is_found_in_so_many() -> None:
    # A is right in 60 of 100 rows and B in 70, by chance of each other: A alone in 18, B alone in 28. The variance is
    # (.6 * .3 + .4 * .7 - .1^2) / n = .45 / n, and (1.95996 + .84162)^2 * .45 / .1^2 = 353 rows
    a = np.array([1] * 42 + [1] * 18 + [0] * 28 + [0] * 12)
    b = np.array([1] * 42 + [0] * 18 + [1] * 28 + [0] * 12)
    (test,), _ = compare([SAME], *([side] for side in of_right(a, b)))
    assert (test.better, test.mcnemar and (test.mcnemar.a_alone, test.mcnemar.b_alone)) == (None, (18, 28))
    assert test.rows_needed == pytest.approx(353, abs=15)
    random, found = np.random.default_rng(0), 0
    for _ in range(100):
        sides = of_right(random.random(353) < 0.6, random.random(353) < 0.7)
        found += compare([SAME], *([side] for side in sides), draws=1000)[0][0].better == "b"
    assert 70 <= found <= 90


def test_a_task_without_a_score_is_left_out_with_a_reason_and_so_is_overall() -> None:
    world = World(6, 100)
    a, b = world.model(), world.model()
    b["near"] = TaskPredictions("near", b["near"].ids, b["near"].labels, np.full(100, 2.0))
    tests, notes = compare(TASKS, [a], [b], draws=1000)
    assert [one.score for one in tests] == ["mood", "same"]
    assert notes == ["every prediction of near is the same, so its pearson is undefined"]


def test_an_overall_that_too_many_draws_leave_undefined_is_a_note() -> None:
    tasks = [
        parse_task({"name": name, "kind": "regression", "text": "a", "label": "l", "range": [0, 5]}, "t")
        for name in ("near", "far")
    ]
    labels = np.array([1.0, 1.0, 3.0, 3.0, 3.0])
    sides = []
    for values in ([1.0, 2.0, 3.0, 2.5, 4.0], [2.0, 1.0, 3.0, 4.0, 3.5]):
        rows = [TaskPredictions(task.name, list("abcde"), labels, np.array(values)) for task in tasks]
        sides.append([{one.task: one for one in rows}])
    tests, notes = compare(tasks, *sides)
    assert [one.score for one in tests] == ["near", "far"]
    assert notes == ["overall: too few rows to draw again; a task's score is undefined in many draws"]

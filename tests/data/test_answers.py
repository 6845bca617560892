"""Columns behind a labelled row, by hand-worked numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from smartcli.data.answers import Wish, answers, check_free, columns_for, type_of_prediction
from smartcli.data.predictions import TaskPredictions
from smartcli.errors import UserError
from smartcli.tasks import Task

TOPIC = Task(name="topic", kind="classification", text=("m",), label="t", labels=("waste", "roads", "parks"))
URGENT = Task(name="urgent", kind="binary", text=("m",), label="u", labels=("no", "yes"))
STARS = Task(name="stars", kind="classification", text=("m",), label="s", labels=("0", "1", "2"))
NEAR = Task(name="near", kind="regression", text=("a", "b"), label="n", range=(0, 5), metric="pearson")
SHARES = [[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]]


def found(classes: list[int], shares: list[list[float]] | None) -> TaskPredictions:
    rows = [str(i) for i in range(len(classes))]
    return TaskPredictions("t", rows, None, np.array(classes, float), None if shares is None else np.array(shares))


def test_names_numbers_and_probabilities() -> None:
    out = answers(TOPIC, found([1, 0], SHARES), Wish())
    assert out == {"prediction": ["roads", "waste"], "class": [1, 0], "probability": [0.5, 0.4]}
    assert answers(STARS, found([1, 0], SHARES), Wish()) == {"prediction": [1, 0], "probability": [0.5, 0.4]}
    assert answers(NEAR, found([3, 4], None), Wish()) == {"prediction": [3.0, 4.0]}


def test_of_equal_shares_the_lower_class_comes_first() -> None:
    out = answers(TOPIC, found([1, 0], SHARES), Wish(top=3))
    assert (out["top1"], out["top2"], out["top3"]) == (["roads", "waste"], ["parks", "parks"], ["waste", "roads"])
    assert out["top2_probability"] == [0.3, 0.4]


def test_a_threshold_leaves_a_class_open_and_moves_the_border_of_a_binary_task() -> None:
    out = answers(TOPIC, found([1, 0], SHARES), Wish(threshold=0.5))
    assert (out["prediction"], out["class"], out["probability"]) == (["roads", None], [1, None], [0.5, 0.4])
    one = found([0, 1], [[0.3], [0.9]])
    assert answers(URGENT, one, Wish())["probability"] == pytest.approx([0.7, 0.9])
    assert answers(URGENT, one, Wish(threshold=0.25))["prediction"] == ["yes", "yes"]
    assert answers(URGENT, one, Wish(threshold=0.95))["prediction"] == ["no", "no"]
    assert answers(URGENT, one, Wish(threshold=0.95))["probability"] == pytest.approx([0.7, 0.1])


def test_a_vote_against_the_highest_mean_has_the_probability_of_its_own_class() -> None:
    vote = found([0], [[0.4, 0.5, 0.1]])
    for threshold, said in ((None, "waste"), (0.45, None)):
        out = answers(TOPIC, vote, Wish(threshold=threshold, top=1))
        assert (out["prediction"], out["probability"], out["top1"]) == ([said], [0.4], ["roads"])


@pytest.mark.parametrize("task", [TOPIC, URGENT, STARS, NEAR])
def test_the_type_of_a_prediction_is_known_before_a_model_runs(task: Task) -> None:
    out = answers(task, found([1], None if task.kind == "regression" else [[0.1] * task.classes]), Wish())
    assert type(out["prediction"][0]) is type_of_prediction(task)


def test_no_rows_give_empty_columns() -> None:
    none = TaskPredictions("t", [], None, np.empty(0), np.empty((0, 3)))
    wish = Wish(probabilities=True, threshold=0.5, top=1)
    assert answers(TOPIC, none, wish) == {name: [] for name in columns_for(TOPIC, wish)}


@pytest.mark.parametrize("task", [TOPIC, URGENT, STARS, NEAR])
@pytest.mark.parametrize("wish", [Wish(), Wish(probabilities=True), Wish(top=2)])
def test_the_columns_are_known_before_a_model_runs(task: Task, wish: Wish) -> None:
    if task.kind == "regression":
        rows, wish = found([1], None), Wish()
    else:
        rows = found([1], [[0.1] * task.classes])
    assert tuple(answers(task, rows, wish)) == columns_for(task, wish)


def test_a_column_that_is_there_is_refused_but_class_is_left_out() -> None:
    added: Any = ("prediction", "class", "probability")
    assert check_free(["m", "class"], added, "in.csv: has") == ("prediction", "probability")
    with pytest.raises(UserError, match=r'in\.csv: has a column "probability" already'):
        check_free(["probability"], added, "in.csv: has")


TOPICS = Task(
    name="topics", kind="multilabel", text=("m",), label="t", labels=("waste", "roads", "parks"), labels_separator=","
)


def test_several_labels_are_joined_as_in_the_tasks_own_files() -> None:
    rows = TaskPredictions(
        "t", ["0", "1"], None, np.array([[0, 1, 1], [0, 0, 0]]), np.array([[0.1, 0.6, 0.7], [0.4, 0.2, 0.1]])
    )
    assert answers(TOPICS, rows, Wish()) == {"prediction": ["roads,parks", ""]}
    out = answers(TOPICS, rows, Wish(probabilities=True, threshold=0.4, top=1))
    assert tuple(out) == columns_for(TOPICS, Wish(probabilities=True, threshold=0.4, top=1))
    assert out["prediction"] == ["roads,parks", "waste"]
    assert (out["p_waste"], out["top1"], out["top1_probability"]) == ([0.1, 0.4], ["parks", "waste"], [0.7, 0.4])
    columns = Task(name="c", kind="multilabel", text=("m",), label="0, 1", label_columns=("0", "1"), labels=("0", "1"))
    both = TaskPredictions("c", ["0"], None, np.array([[1, 1]]), np.array([[0.9, 0.8]]))
    assert answers(columns, both, Wish()) == {"prediction": ["0|1"]}

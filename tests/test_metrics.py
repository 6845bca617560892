from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcli.data.predictions import TaskPredictions
from smartcli.errors import SmartCliError
from smartcli.metrics import Score, by_class, overall, score, score_tasks
from smartcli.tasks import Task, parse_task


def task(kind: str, metric: str | None = None) -> Task:
    entry: dict[str, object] = {"name": "mood", "kind": kind, "text": "line", "label": "mood"}
    if kind == "classification":
        entry["labels"] = ["bad", "fair", "good"]
    if kind == "regression":
        entry["range"] = [0, 5]
    return parse_task(entry | ({"metric": metric} if metric else {}), "test")


def value(kind: str, metric: str, labels: list[float], predictions: list[float]) -> float | None:
    return score(task(kind, metric), np.array(labels, float), np.array(predictions, float)).value


PAPER_ROWS = [((0.530, 0.906, 0.873), 0.791), ((0.545, 0.908, 0.894), 0.800)]


@pytest.mark.parametrize(("values", "expected"), PAPER_ROWS)
def test_overall_reproduces_the_papers_rows(values: tuple[float, float, float], expected: float) -> None:
    metrics = ("accuracy", "accuracy", "pearson")
    found = overall([Score(m, v, 10) for m, v in zip(metrics, values, strict=True)])
    assert found == pytest.approx(expected, abs=0.0006)


def test_overall_by_hand() -> None:
    # (.5 + (−.2 + 1)/2 + 0) / 3 = .9 / 3
    assert overall([Score("accuracy", 0.5, 4), Score("mcc", -0.2, 4), Score("f1", 0.0, 4)]) == pytest.approx(0.3)


@pytest.mark.parametrize("missing", [None, Score("pearson", None, 7)])
def test_overall_is_none_when_a_task_has_no_score(missing: Score | None) -> None:
    assert overall([Score("accuracy", 1.0, 7), missing]) is None


def test_overall_of_nothing_is_none() -> None:
    assert overall([]) is None


HAND_WORKED = [
    ("classification", "accuracy", [0, 1, 2, 2], [0, 1, 1, 2], 0.75),
    ("binary", "accuracy", [0, 1, 1, 0, 1], [0, 0, 1, 1, 1], 0.6),
    # precision 2/3, recall 2/3
    ("binary", "f1", [0, 1, 1, 0, 1], [0, 0, 1, 1, 1], 2 / 3),
    ("binary", "f1", [0, 0], [0, 0], 0.0),
    # class 0: 1; class 1: 2·1/(1+2); class 2: 2·1/(2+1)
    ("classification", "f1", [0, 1, 2, 2], [0, 1, 1, 2], (1 + 2 / 3 + 2 / 3) / 3),
    # TP 2, TN 1, FP 1, FN 1: (2·1 − 1·1) / √(3·3·2·2)
    ("binary", "mcc", [0, 1, 1, 0, 1], [0, 0, 1, 1, 1], 1 / 6),
    ("binary", "mcc", [0, 1, 1], [1, 1, 1], 0.0),
    ("classification", "mcc", [0, 1, 2], [0, 1, 2], 1.0),
    # Gorodkin: c·s − Σ t·p = 3·4 − (1·1 + 1·2 + 2·1) = 7; √(16 − 6)·√(16 − 6) = 10
    ("classification", "mcc", [0, 1, 2, 2], [0, 1, 1, 2], 0.7),
    # centred (−1, 0, 1) and (−1, −1, 2): 3 / √(2·6)
    ("regression", "pearson", [1, 2, 3], [0, 0, 3], 3 / 12**0.5),
    # ranks (1, 2, 3, 4) and (1, 3.5, 2, 3.5): centred products sum to 3, squares 5 and 4.5
    ("regression", "spearman", [1, 2, 3, 9], [0, 5, 2, 5], 3 / 22.5**0.5),
    ("regression", "pearson", [1, 2], [5, -5], -1.0),
]


@pytest.mark.parametrize(("kind", "metric", "labels", "predictions", "expected"), HAND_WORKED)
def test_metric_by_hand(kind: str, metric: str, labels: list[float], predictions: list[float], expected: float) -> None:
    assert value(kind, metric, labels, predictions) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
@pytest.mark.parametrize("constant", [0.0, 3.3, 1e300, 0.1 + 0.2])
def test_constant_prediction_has_no_correlation_and_says_why(metric: str, constant: float) -> None:
    found = score(task("regression", metric), np.arange(5.0), np.full(5, constant))
    assert found.value is None
    assert found.n == 5
    assert found.note == f"every prediction of mood is the same, so its {metric} is undefined"


def test_prediction_that_is_constant_but_for_rounding_has_no_correlation() -> None:
    wobble = np.full(50, 2.5) + np.tile([0.0, 4e-16], 25)
    assert wobble.std() > 0
    assert score(task("regression"), np.arange(50.0), wobble).value is None


def test_constant_label_is_named_as_the_reason() -> None:
    assert "every label of mood" in score(task("regression"), np.ones(4), np.arange(4.0)).note


def test_unlabelled_rows_have_no_value_but_are_counted() -> None:
    found = score(task("binary"), None, np.zeros(6))
    assert (found.value, found.n) == (None, 6)
    assert found.to_json() == {"accuracy": None, "n": 6}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_prediction_that_is_not_finite_is_an_error_that_names_task_and_row(bad: float) -> None:
    with pytest.raises(SmartCliError, match="mood: prediction 2 of 3"):
        score(task("regression"), np.arange(3.0), np.array([1.0, bad, 2.0]))


def test_tasks_without_predictions_score_none() -> None:
    tasks = [task("binary"), parse_task({"name": "gist", "kind": "binary", "text": "a", "label": "b"}, "test")]
    rows = TaskPredictions("mood", ["1", "2"], np.array([0.0, 1.0]), np.array([1.0, 1.0]), np.eye(2))
    assert score_tasks(tasks, {"mood": rows}) == {"mood": Score("accuracy", 0.5, 2), "gist": None}


numbers = st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(-40, 40)), min_size=3, max_size=40)


@settings(max_examples=60, deadline=None)
@given(numbers)
def test_correlations_agree_with_numpy_and_ranks_with_their_definition(rows: list[tuple[float, int]]) -> None:
    a, b = np.array([r[0] for r in rows]), np.array([float(r[1]) for r in rows])
    # numpy's own squares are 0 for values below 1e-162.
    if np.ptp(a) > max(1e-3 * np.abs(a).max(), 1e-100) and np.ptp(b) > 0:
        assert value("regression", "pearson", a.tolist(), b.tolist()) == pytest.approx(
            np.corrcoef(a, b)[0, 1], abs=1e-9
        )
        # The rank of a value: how many are below it, and half of those that equal it.
        by_hand = [[(v < one).sum() + ((v == one).sum() + 1) / 2 for one in v] for v in (a, b)]
        expected = np.corrcoef(by_hand)[0, 1]
        assert value("regression", "spearman", a.tolist(), b.tolist()) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_correlation_of_two_classes_is_mcc_and_mcc_is_symmetric(rows: list[tuple[int, int]]) -> None:
    a, b = [float(r[0]) for r in rows], [float(r[1]) for r in rows]
    assert value("classification", "mcc", a, b) == pytest.approx(value("classification", "mcc", b, a), abs=1e-12)
    ones, others = [float(x > 0) for x in a], [float(x > 0) for x in b]
    if len(set(ones)) == len(set(others)) == 2:
        expected = value("regression", "pearson", ones, others)
        assert value("binary", "mcc", ones, others) == pytest.approx(expected, abs=1e-12)


TOPICS = parse_task(
    {
        "name": "topics",
        "kind": "multilabel",
        "text": "line",
        "label": "t",
        "labels": ["x", "y", "z"],
        "labels_separator": "|",
    },
    "test",
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.booleans()] * 6), min_size=1, max_size=12))
def test_f1_of_several_labels_agrees_with_scikit_learn(rows: list[tuple[bool, ...]]) -> None:
    from sklearn.metrics import f1_score

    both = np.array(rows, dtype=np.float64)
    labels, predictions = both[:, :3], both[:, 3:]
    occurs = [c for c in range(3) if labels[:, c].any() or predictions[:, c].any()]
    for metric, average in (("micro_f1", "micro"), ("macro_f1", "macro")):
        found = score(parse_task({**TOPICS.to_json(), "metric": metric}, "t"), labels, predictions).value
        wanted = f1_score(labels, predictions, average=average, zero_division=0, labels=occurs) if occurs else 0.0
        assert found == pytest.approx(wanted)


def test_several_labels_by_class_by_hand() -> None:
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]])
    predictions = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0]])
    scores = by_class(TOPICS, labels, predictions)
    assert [(one.name, one.precision, one.recall, one.support) for one in scores] == [
        ("x", 1.0, 1.0, 2),
        ("y", 0.5, 0.5, 2),
        ("z", 0.0, 0.0, 0),
    ]
    # 2 · 3 / (4 + 4), and the mean of 1 and ½.
    assert score(TOPICS, labels, predictions).value == pytest.approx(0.75)
    macro = parse_task({**TOPICS.to_json(), "metric": "macro_f1"}, "t")
    assert score(macro, labels, predictions).value == pytest.approx(0.75)

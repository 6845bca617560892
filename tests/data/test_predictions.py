"""Stored predictions: one CSV form, read back exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smartcli.data.predictions import TaskPredictions, read_predictions, write_predictions
from smartcli.errors import SmartCliError

BY_HAND = (
    "task,id,label,prediction,p0,p1,p2\n"
    "mood,r1,2,1,0.1,0.7,0.2\n"
    'mood,"r,2",0,0,0.5,0.25,0.25\n'
    "same,7,,1,0.25,0.75,\n"
    "alike,x,2.5,0.1,,,\n"
)


def by_hand() -> dict[str, TaskPredictions]:
    return {
        "mood": TaskPredictions(
            "mood",
            ["r1", "r,2"],
            np.array([2.0, 0]),
            np.array([1.0, 0]),
            np.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]]),
        ),
        "same": TaskPredictions("same", ["7"], None, np.array([1.0]), np.array([[0.25, 0.75]])),
        "alike": TaskPredictions("alike", ["x"], np.array([2.5]), np.array([0.1]), None),
    }


def assert_same(left: dict[str, TaskPredictions], right: dict[str, TaskPredictions]) -> None:
    assert list(left) == list(right)
    for task, rows in left.items():
        assert rows.ids == right[task].ids
        for name in ("labels", "predictions", "probabilities"):
            a, b = getattr(rows, name), getattr(right[task], name)
            assert (a is None) == (b is None), name
            if a is not None:
                np.testing.assert_array_equal(a, b)


def test_the_file_has_the_documented_form() -> None:
    assert write_predictions(by_hand()).decode() == BY_HAND
    assert_same(read_predictions(BY_HAND.encode(), "p.csv"), by_hand())


@settings(max_examples=60, deadline=None)
@example(ids=["\r", "a\r\nb", '"', "x" * 200_000], value=0.1)
@given(
    ids=st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")), min_size=1, max_size=6),
    value=st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_id_and_float_come_back_exactly(ids: list[str], value: float) -> None:
    n = len(ids)
    rows = TaskPredictions("t", ids, np.full(n, value), np.full(n, -value), None)
    assert_same(read_predictions(write_predictions({"t": rows}), "p.csv"), {"t": rows})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "expected the columns"),
        ("task,id,prediction,label\n", "expected the columns"),
        ("task,id,label,prediction\nt,a,1\n", "line 2: expected 4 fields"),
        ("task,id,label,prediction\nt,a,1,nan\n", "line 2: expected a finite number"),
        ("task,id,label,prediction\nt,a,1,x\n", "line 2"),
        ("task,id,label,prediction\nt,a,1,1\nt,b,,1\n", "some rows only"),
        ('task,id,label,prediction\nt,"a,1,1\n', "not a predictions file"),
        ("task,id,label,prediction,p0,p1\nt,a,1,99,0.5,0.5\n", 'task "t": prediction 99 is none of the 2 classes'),
        ("task,id,label,prediction,p0,p1\nt,a,0.5,1,0.5,0.5\n", 'task "t": label 0.5 is none of the 2 classes'),
    ],
)
def test_anything_else_is_refused_with_its_line(content: str, says: str) -> None:
    with pytest.raises(SmartCliError, match=says):
        read_predictions(content.encode(), "p.csv")


SETS = "task,id,label,prediction,p0,p1\ntopics,a,0|1,1|1,0.75,0.5\ntopics,b,0|0,0|1,0.25,0.5\n"


def test_several_labels_stand_as_0_and_1_a_class() -> None:
    found = read_predictions(SETS.encode(), "p.csv")
    labels = found["topics"].labels
    assert labels is not None
    assert labels.tolist() == [[0, 1], [0, 0]]
    assert found["topics"].predictions.tolist() == [[1, 1], [0, 1]]
    assert write_predictions(found).decode() == SETS


@pytest.mark.parametrize(
    "row",
    ["topics,a,0|1,1,0.75,0.5", "topics,a,0|2,1|1,0.75,0.5", "topics,a,0|1,1|1|0,0.75,0.5", "topics,a,0|1,1|1,,"],
)
def test_several_labels_of_another_form_are_refused(row: str) -> None:
    with pytest.raises(SmartCliError, match="not a predictions file"):
        read_predictions(f"task,id,label,prediction,p0,p1\n{row}\n".encode(), "p.csv")

"""From a label column's values to kind, labels or range, and metric."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from smartcli.data.guess_kind import guess_kind
from smartcli.data.profile import column_of
from smartcli.data.task_guess import NOTHING, Answers, TaskGuess
from smartcli.errors import UserError


def kind_of(values: Sequence[object], name: str = "x", answers: Answers = NOTHING) -> TaskGuess:
    guess = TaskGuess()
    guess_kind(guess, column_of(name, [str(value) for value in values]), answers, "a.csv")
    return guess


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["yes", "no"], ["no", "yes"]),
        (["TRUE", "FALSE"], ["FALSE", "TRUE"]),
        ([1, 0], ["0", "1"]),
        (["spam", "Fine"], ["Fine", "spam"]),
    ],
)
def test_two_values_are_binary_in_order(values: list[object], labels: list[str]) -> None:
    guess = kind_of(values * 4)
    assert guess.values == {"kind": "binary", "labels": labels, "metric": "accuracy"}


def test_more_names_are_classes_by_the_alphabet() -> None:
    assert kind_of(["roads", "Parks", "waste"] * 3).values["labels"] == ["Parks", "roads", "waste"]


def test_whole_numbers_are_classes_by_size_where_the_name_says_so() -> None:
    guess = kind_of([10, 9, 2] * 3, "topic")
    assert (guess.values["kind"], guess.values["labels"]) == ("classification", ["2", "9", "10"])


@pytest.mark.parametrize("name", ["stars", "Rating", "similarity_score"])
def test_whole_numbers_are_scores_where_the_name_says_so(name: str) -> None:
    assert kind_of([1, 7, 3], name).values == {"kind": "regression", "range": [1, 7]}


def test_whole_numbers_are_open_where_the_name_says_nothing() -> None:
    guess = kind_of([1, 7, 3], "urgency")
    assert [(choice.option, choice.choices) for choice in guess.open] == [("--kind", ("classification", "regression"))]
    assert "kind" not in guess.values


@pytest.mark.parametrize(("values", "ends"), [([0.5, 4.2, 3], [0, 5]), ([-2.5, 2], [-3, 2]), (range(30), [0, 29])])
def test_fractions_and_many_numbers_are_scores_between_whole_ends(values: Sequence[object], ends: list[int]) -> None:
    answers = Answers(kind="regression") if len(values) == 2 else NOTHING
    assert kind_of(values, answers=answers).values == {"kind": "regression", "range": ends}


def test_named_labels_keep_their_order_and_say_the_kind() -> None:
    guess = kind_of([1, 2, 3], "stars", Answers(labels=("3", "2", "1")))
    assert (guess.values["kind"], guess.values["labels"]) == ("classification", ["3", "2", "1"])


def test_one_value_in_nine_of_ten_rows_asks_for_another_metric_and_a_look() -> None:
    guess = kind_of(["fine"] * 98 + ["spam"] * 2)
    assert guess.values["metric"] == "f1"
    assert guess.notes == [
        '98% of the rows are "fine", so accuracy says little: the metric is f1; class_weights = "balanced" makes the '
        "rare label count more"
    ]


def test_a_value_that_may_mean_nothing_and_two_of_one_spelling_deserve_a_look() -> None:
    notes = " | ".join(kind_of(["N/A", "roads", "Waste", "waste"] * 3).notes)
    assert '"N/A" counts as a label' in notes
    assert '"Waste", "waste" are different labels' in notes
    assert not kind_of(["roads", "waste", "parks"]).notes


@pytest.mark.parametrize(
    ("values", "answers", "said"),
    [
        (["0,5", "1,5", "2"], NOTHING, r'^a\.csv: "x" holds numbers with a decimal comma \(0,5\)'),
        (["1", "2", "high"], Answers(kind="regression"), "holds 'high'; expected numbers"),
        (["3", "3"], Answers(kind="regression"), "every row of .* holds 3"),
        (["a", "b", "c"], Answers(kind="binary"), r"holds 3 different labels \(a, b, c\); expected two"),
        (["a", "b", "c"], Answers(labels=("a", "c")), "holds 'b' too; name every label"),
    ],
)
def test_what_cannot_be_is_refused(values: list[str], answers: Answers, said: str) -> None:
    with pytest.raises(UserError, match=said):
        kind_of(values, answers=answers)


def test_decimal_commas_may_be_names() -> None:
    guess = kind_of(["0,5", "1,5", "2"], answers=Answers(kind="classification"))
    assert guess.values["labels"] == ["0,5", "1,5", "2"]


SEVERAL = ["roads", "waste", "roads|waste", "parks|roads", ""]


def test_names_joined_in_a_cell_are_several_labels() -> None:
    guess = kind_of(SEVERAL * 3)
    assert guess.values == {
        "kind": "multilabel",
        "labels_separator": "|",
        "labels": ["parks", "roads", "waste"],
        "metric": "micro_f1",
    }
    assert guess.notes == ["3 rows have an empty cell, which says that none of the labels fits"]


def test_joined_names_that_never_stand_alone_are_open() -> None:
    values = ["Sales, EU", "Sales, US", "Help, EU", "Help, US"] * 3
    guess = kind_of(values)
    assert [(choice.option, choice.choices) for choice in guess.open] == [("--kind", ("classification", "multilabel"))]
    assert kind_of(values, answers=Answers(kind="classification")).values["labels"][0] == "Help, EU"
    several = kind_of(values, answers=Answers(kind="multilabel", labels=("US", "EU", "Help", "Sales")))
    assert several.values["labels"] == ["US", "EU", "Help", "Sales"]


def test_what_is_not_joined_is_refused_as_multilabel() -> None:
    with pytest.raises(UserError, match="are no names joined by one of"):
        kind_of(["roads", "waste"] * 3, answers=Answers(kind="multilabel"))
    with pytest.raises(UserError, match="holds 'waste' too"):
        kind_of(SEVERAL * 3, answers=Answers(labels=("parks", "roads")))

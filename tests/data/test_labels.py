"""A label's cell becomes a number, or is named as wrong with what was expected."""

from __future__ import annotations

import pytest

from smartcli.data.labels import LabelReader, WrongLabel
from smartcli.tasks import Task, parse_task

BASE = {"name": "t", "text": ["a"], "label": "y"}
FIVE = parse_task({**BASE, "kind": "classification", "labels": ["0", "1", "2", "3", "4"]}, "t")
NAMED = parse_task({**BASE, "kind": "classification", "labels": ["bad", "so-so", "good"]}, "t")
BINARY = parse_task({**BASE, "kind": "binary"}, "t")
YES_NO = parse_task({**BASE, "kind": "binary", "labels": ["no", "yes"]}, "t")
SCORE = parse_task({**BASE, "kind": "regression", "range": [0, 5]}, "t")
SIGNED = parse_task({**BASE, "kind": "regression", "range": [-2, 2]}, "t")
SCALED = parse_task({**BASE, "kind": "regression", "range": [0, 5], "scale": 5}, "t")


@pytest.mark.parametrize(
    ("task", "cell", "value"),
    [
        (FIVE, "0", 0), (FIVE, "4", 4), (FIVE, " 3 ", 3), (FIVE, "2.0", 2), (FIVE, 1, 1), (FIVE, 4.0, 4),
        (NAMED, "bad", 0), (NAMED, "good", 2), (BINARY, "1.0", 1), (BINARY, "0", 0), (BINARY, True, 1),
        (BINARY, False, 0), (YES_NO, "yes", 1), (SCORE, "0", 0), (SCORE, "5.0", 5), (SCORE, "2.75", 2.75),
        (SCORE, "1e-1", 0.1), (SCORE, 3, 3), (SIGNED, "-1", -1), (SCALED, "1", 5), (SCALED, "0.2", 1),
    ],
)  # fmt: skip
def test_right_labels(task: Task, cell: str, value: float) -> None:
    assert LabelReader(task).read(cell) == value


@pytest.mark.parametrize(
    ("task", "cell", "expected"),
    [
        *(
            (FIVE, cell, "a whole number from 0 to 4")
            for cell in ("5", "-1", "1.5", "nan", "inf", "x", "1_0", "٣", "1e9")
        ),
        *((BINARY, cell, "one of 0, 1") for cell in ("2", "-1", "1.5", "nan", "inf", "yes", "0.5", 2, float("nan"))),
        *((NAMED, cell, "one of bad, so-so, good") for cell in ("Bad", "1", "NA")),
        *(
            (SCORE, cell, "a number from 0 to 5")
            for cell in ("5.1", "-0.1", "nan", "NaN", "inf", "-inf", "1e400", "four")
        ),
        *((SCALED, cell, r"a number from 0 to 1 \(times 5\)") for cell in ("1.01", "5")),
        (SCORE, True, "a number from 0 to 5"),
        (YES_NO, "1", "one of no, yes"),
    ],
)
def test_wrong_labels(task: Task, cell: str, expected: str) -> None:
    with pytest.raises(WrongLabel, match=f"expected {expected}, found"):
        LabelReader(task).read(cell)


def test_undeclared_classes_are_learnt_from_whole_numbers() -> None:
    task = parse_task({**BASE, "kind": "classification"}, "t")
    reader = LabelReader(task)
    assert [reader.read(cell) for cell in ("2", "0", "1.0", "2")] == [0, 1, 2, 0], "in the order of first sight"
    assert list(reader.finish_learning()) == ["0", "1", "2"]
    assert reader.renumbered == (2, 0, 1)
    assert reader.read("2.0") == 2
    with pytest.raises(WrongLabel, match="0 to 2"):
        reader.read("3")


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["parks", "waste", "Roads"], ["parks", "Roads", "waste"]),
        (["yes", "no"], ["no", "yes"]),
        (["TRUE", "FALSE"], ["FALSE", "TRUE"]),
        (["7", "1", "3", "10"], ["1", "3", "7", "10"]),
        (["3.5", "-1", "2"], ["-1", "2", "3.5"]),
        (["010", "007", "1"], ["1", "007", "010"]),
        (["b", "2", "a"], ["2", "a", "b"]),
        ([3, 1.0, "2"], ["1", "2", "3"]),
        ([True, False], ["0", "1"]),
    ],
)
def test_names_are_learnt_in_the_order_of_numbers_or_of_the_alphabet(cells: list[object], names: list[str]) -> None:
    reader = LabelReader(parse_task({**BASE, "kind": "classification"}, "t"))
    first = [reader.read(cell) for cell in cells]  # type: ignore[arg-type]
    assert list(reader.finish_learning()) == names
    assert [reader.renumbered[int(number)] for number in first] == [reader.read(cell) for cell in cells]  # type: ignore[arg-type]
    with pytest.raises(WrongLabel, match="found 'other'"):
        reader.read("other")


def test_a_true_of_a_typed_file_is_what_train_spells_true() -> None:
    reader = LabelReader(parse_task({**BASE, "kind": "classification"}, "t"))
    for cell in ("TRUE", "false"):
        reader.read(cell)
    assert list(reader.finish_learning()) == ["false", "TRUE"]
    assert [reader.read(cell) for cell in (True, False)] == [1, 0]


def test_labels_that_differ_in_case_alone_are_told() -> None:
    reader = LabelReader(parse_task({**BASE, "kind": "classification"}, "t"))
    for cell in ("Yes", "no", "yes"):
        reader.read(cell)
    reader.finish_learning()
    assert reader.alike() == ['the labels "Yes" and "yes" differ in the case of letters alone, and are two classes']
    assert LabelReader(parse_task({**BASE, "kind": "classification", "labels": ["a", "b"]}, "t")).alike() == []


def test_a_binary_task_learns_two_names_and_numbers_stay_0_and_1() -> None:
    task = parse_task({**BASE, "kind": "binary"}, "t").with_labels(())
    for cells, names in ((["yes", "no"], ["no", "yes"]), (["1"], ["0", "1"]), (["0", "1.0"], ["0", "1"])):
        reader = LabelReader(task)
        for cell in cells:
            reader.read(cell)
        assert list(reader.finish_learning()) == names
    reader = LabelReader(task)
    for cell in ("a", "b", "c"):
        reader.read(cell)
    with pytest.raises(WrongLabel, match='expected two different labels in "y", found 3: a, b, c'):
        reader.finish_learning()


def test_too_few_and_too_many_labels_are_refused() -> None:
    task = parse_task({**BASE, "kind": "classification"}, "t")
    reader = LabelReader(task)
    reader.read("one")
    with pytest.raises(WrongLabel, match="at least two different labels"):
        reader.finish_learning()
    reader = LabelReader(task)
    for number in range(1000):
        reader.read(f"{number / 7:.5f}")
    with pytest.raises(WrongLabel, match=r'at most 1000 different labels.*kind = "regression"'):
        reader.read("0.5")


def test_minus_one_marks_no_label_only_where_it_is_none() -> None:
    assert [LabelReader(task).marks_unlabelled("-1") for task in (FIVE, BINARY, SCORE, SIGNED)] == [True] * 3 + [False]
    assert LabelReader(BINARY).marks_unlabelled(-1)
    assert not LabelReader(BINARY).marks_unlabelled(True)
    minus = parse_task({**BASE, "kind": "binary", "labels": ["-1", "1"]}, "t")
    assert not LabelReader(minus).marks_unlabelled("-1")

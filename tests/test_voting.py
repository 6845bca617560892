from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcli.data.predictions import Predictions, TaskPredictions
from smartcli.errors import SmartCliError, UserError
from smartcli.tasks import parse_task
from smartcli.voting import combine, halves, rank

MOOD = parse_task({"name": "mood", "kind": "classification", "text": "a", "label": "l", "labels": ["x", "y", "z"]}, "t")
SAME = parse_task({"name": "same", "kind": "binary", "text": ["a", "b"], "label": "l"}, "t")
NEAR = parse_task({"name": "near", "kind": "regression", "text": ["a", "b"], "label": "l", "range": [0, 5]}, "t")


def rows(task: str, predictions: list[float], probabilities: list[list[float]] | None = None) -> TaskPredictions:
    ids = [f"r{i}" for i in range(len(predictions))]
    shares = None if probabilities is None else np.array(probabilities, float)
    return TaskPredictions(task, ids, None, np.array(predictions, float), shares)


def classes(*votes: list[float], shares: list[list[list[float]]]) -> list[Predictions]:
    return [{"mood": rows("mood", vote, share)} for vote, share in zip(votes, shares, strict=True)]


def test_mode_wins_even_against_a_higher_mean_probability() -> None:
    # mean probabilities: 0 → .4667, 2 → .3667; two of three say 2
    members = classes([0], [2], [2], shares=[[[0.8, 0.1, 0.1]], [[0.3, 0.2, 0.5]], [[0.3, 0.2, 0.5]]])
    combined = combine([MOOD], members)["mood"]
    assert combined.predictions.tolist() == [2.0]
    assert combined.probabilities == pytest.approx(np.array([[1.4 / 3, 0.5 / 3, 1.1 / 3]]))


def test_tie_goes_to_the_highest_mean_probability_among_the_tied() -> None:
    # one vote for 0, one for 2: means .40, .35, .25 → 0
    members = classes([0], [2], shares=[[[0.7, 0.3, 0.0]], [[0.1, 0.4, 0.5]]])
    assert combine([MOOD], members)["mood"].predictions.tolist() == [0.0]


def test_tie_is_never_won_by_a_class_without_the_most_votes() -> None:
    # class 1 has the highest mean, .45, but no vote; 0 has .25 and 2 has .30
    members = classes([0], [2], shares=[[[0.46, 0.45, 0.09]], [[0.04, 0.45, 0.51]]])
    assert combine([MOOD], members)["mood"].predictions.tolist() == [2.0]


def test_full_tie_goes_to_the_lowest_class_whatever_the_rounding() -> None:
    # .1 + .2 is not .3 in binary floating point
    members = classes([2], [1], shares=[[[0.7, 0.2, 0.1]], [[0.7, 0.1, 0.2]]])
    assert combine([MOOD], members)["mood"].predictions.tolist() == [1.0]
    assert combine([MOOD], members[::-1])["mood"].predictions.tolist() == [1.0]


def test_one_logit_binary_task_breaks_ties_by_both_probabilities() -> None:
    # p1 = .9 and .3: means are .4 for 0 and .6 for 1; then .6 and .2: .6 for 0 and .4 for 1
    two_columns = [
        {"same": rows("same", [1, 1], [[0.1, 0.9], [0.4, 0.6]])},
        {"same": rows("same", [0, 0], [[0.7, 0.3], [0.8, 0.2]])},
    ]
    one_column = [
        {"same": rows("same", [1, 1], [[0.9], [0.6]])},
        {"same": rows("same", [0, 0], [[0.3], [0.2]])},
    ]
    for members in (two_columns, one_column):
        combined = combine([SAME], members)["same"]
        assert combined.predictions.tolist() == [1.0, 0.0]
        assert combined.probabilities == pytest.approx(np.array([[0.4, 0.6], [0.6, 0.4]]))


def test_scores_are_medians_of_odd_and_even_numbers_of_members() -> None:
    members = [{"near": rows("near", [v, -v])} for v in (1.0, 9.0, 2.0)]
    assert combine([NEAR], members)["near"].predictions.tolist() == [2.0, -2.0]
    members.append({"near": rows("near", [3.0, 0.0])})
    assert combine([NEAR], members)["near"].predictions.tolist() == [2.5, -1.5]


def test_member_without_a_head_is_named() -> None:
    members = [{"near": rows("near", [1.0])}, {}]
    with pytest.raises(UserError, match='ckpt7 has no head for task "near"'):
        combine([NEAR], members, ["ckpt2", "ckpt7"])


def test_a_task_without_rows_in_any_member_is_left_out() -> None:
    members = [{"near": rows("near", [1.0])}, {"near": rows("near", [3.0])}]
    assert list(combine([MOOD, NEAR], members)) == ["near"]


def test_rows_that_differ_are_refused() -> None:
    one = {"near": rows("near", [1.0, 2.0])}
    short = {"near": rows("near", [1.0])}
    other = {"near": TaskPredictions("near", ["r0", "other"], None, np.zeros(2))}
    labelled = {"near": TaskPredictions("near", ["r0", "r1"], np.zeros(2), np.zeros(2))}
    for member, message in (
        (short, "2 rows against 1"),
        (other, 'row 2 is "r1" against "other"'),
        (labelled, "labels"),
    ):
        with pytest.raises(SmartCliError, match=message):
            combine([NEAR], [one, member])


def test_missing_probabilities_and_unknown_classes_are_refused() -> None:
    with pytest.raises(SmartCliError, match="no probabilities"):
        combine([MOOD], [{"mood": rows("mood", [1.0])}])
    with pytest.raises(SmartCliError, match="a class other than 0 to 2"):
        combine([MOOD], classes([7], shares=[[[0.2, 0.3, 0.5]]]))
    with pytest.raises(SmartCliError, match="not a finite number"):
        combine([NEAR], [{"near": rows("near", [np.nan])}])


shares3 = st.lists(st.integers(1, 4), min_size=3, max_size=3).map(lambda parts: [p / sum(parts) for p in parts])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), shares3, st.floats(0, 5)), min_size=2, max_size=4))
def test_order_of_members_does_not_matter(members: list[tuple[int, list[float], float]]) -> None:
    found = []
    for order in itertools.permutations(members):
        parts = [{"mood": rows("mood", [c], [p]), "near": rows("near", [s])} for c, p, s in order]
        combined = combine([MOOD, NEAR], parts)
        found.append(
            (combined["mood"].predictions[0], *combined["mood"].probabilities[0], combined["near"].predictions[0])
        )
    assert len(set(found)) == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.lists(st.tuples(st.integers(0, 2), shares3), min_size=1, max_size=5))
def test_copies_of_one_member_are_that_member(copies: int, cells: list[tuple[int, list[float]]]) -> None:
    one = {"mood": rows("mood", [c for c, _ in cells], [p for _, p in cells])}
    combined = combine([MOOD], [one] * copies)["mood"]
    assert combined.predictions.tolist() == one["mood"].predictions.tolist()
    assert combined.probabilities == pytest.approx(one["mood"].probabilities)


def test_halves_share_no_row_cover_all_and_depend_on_the_key_alone() -> None:
    one = {"near": TaskPredictions("near", [f"r{i}" for i in range(41)], np.arange(41.0), np.arange(41.0))}
    first, second = halves(one, "fingerprint")
    assert (len(first["near"]), len(second["near"])) == (21, 20)
    assert sorted(first["near"].ids + second["near"].ids) == sorted(one["near"].ids)
    assert first["near"].predictions.tolist() == [float(i[1:]) for i in first["near"].ids]
    assert halves(one, "fingerprint")[0]["near"].ids == first["near"].ids
    assert halves(one, "another")[0]["near"].ids != first["near"].ids


def test_rank_is_by_overall_and_keeps_the_order_of_equals() -> None:
    def member(predictions: list[float]) -> Predictions:
        return {"same": TaskPredictions("same", ["a", "b"], np.array([0.0, 1.0]), np.array(predictions), np.eye(2))}

    candidates = {
        "low": member([1.0, 0.0]),
        "half": member([1.0, 1.0]),
        "best": member([0.0, 1.0]),
        "tie": member([0.0, 0.0]),
    }
    assert rank([SAME], candidates) == [("best", 1.0), ("half", 0.5), ("tie", 0.5), ("low", 0.0)]
    assert rank([SAME, NEAR], {"low": member([0.0, 1.0])}) == [("low", -1.0)]


def test_mean_probability_wins_by_mean_against_the_most_votes() -> None:
    # the rows of the first test: two of three say 2, and the means are .4667, .1667, .3667
    members = classes([0], [2], [2], shares=[[[0.8, 0.1, 0.1]], [[0.3, 0.2, 0.5]], [[0.3, 0.2, 0.5]]])
    combined = combine([MOOD], members, vote="mean")["mood"]
    assert combined.predictions.tolist() == [0.0]
    assert combined.probabilities == pytest.approx(np.array([[1.4 / 3, 0.5 / 3, 1.1 / 3]]))


def test_by_mean_a_tie_goes_to_the_lowest_class_whatever_the_order() -> None:
    # means .4, .3 and .3, then .2, .4 and .4 but for rounding
    members = classes([0, 1], [0, 2], shares=[[[0.4, 0.2, 0.4], [0.2, 0.7, 0.1]], [[0.4, 0.4, 0.2], [0.2, 0.1, 0.7]]])
    for order in (members, members[::-1]):
        assert combine([MOOD], order, vote="mean")["mood"].predictions.tolist() == [0.0, 1.0]


def test_scores_by_mean_are_means() -> None:
    members = [{"near": rows("near", [value])} for value in (1.0, 2.0, 4.5)]
    assert combine([NEAR], members, vote="mean")["near"].predictions.tolist() == [2.5]
    assert combine([NEAR], members)["near"].predictions.tolist() == [2.0]


SETS = parse_task(
    {"name": "sets", "kind": "multilabel", "text": "a", "label": "l", "labels": ["x", "y"], "labels_separator": ","},
    "t",
)


def sets(predictions: list[list[int]], shares: list[list[float]]) -> Predictions:
    ids = [f"r{i}" for i in range(len(predictions))]
    return {"sets": TaskPredictions("sets", ids, None, np.array(predictions, float), np.array(shares))}


def test_each_label_goes_by_the_majority_and_a_tie_by_the_mean_probability() -> None:
    three = [sets([[1, 0]], [[0.6, 0.1]]), sets([[1, 0]], [[0.6, 0.1]]), sets([[0, 1]], [[0.1, 0.95]])]
    found = combine([SETS], three)["sets"]
    assert found.predictions.tolist() == [[1.0, 0.0]], "two of three, against a mean of .43 for x"
    assert found.probabilities == pytest.approx(np.array([[1.3 / 3, 1.15 / 3]]))
    two = [sets([[1, 1]], [[0.6, 0.9]]), sets([[0, 0]], [[0.3, 0.4]])]
    assert combine([SETS], two)["sets"].predictions.tolist() == [[0.0, 1.0]], "means .45 and .65"


def test_a_vote_that_is_neither_0_nor_1_is_refused() -> None:
    with pytest.raises(SmartCliError, match="other than 0 or 1"):
        combine([SETS], [sets([[2, 0]], [[0.6, 0.1]]), sets([[1, 0]], [[0.6, 0.1]])])


def test_by_mean_each_label_goes_by_its_mean_probability() -> None:
    three = [sets([[1, 0]], [[0.6, 0.1]]), sets([[1, 0]], [[0.6, 0.5]]), sets([[0, 1]], [[0.1, 0.9]])]
    found = combine([SETS], three, vote="mean")["sets"]
    assert found.predictions.tolist() == [[0.0, 1.0]], "means .43 and .50"

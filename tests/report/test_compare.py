"""Means, spreads, differences and orderings, worked out by hand."""

from __future__ import annotations

import pytest

from smartcli.report.compare import (
    Line,
    Spread,
    comparison_table,
    judge,
    markdown_table,
    plain_table,
    signed,
    spread,
    to_json,
)


def line(name: str, *values: float, paper: float | None = None) -> Line:
    return Line(name, name, {"near": spread(values)}, {} if paper is None else {"near": paper})


def test_mean_and_sample_deviation_by_hand():
    found = Spread((0.4, 0.6))
    assert found.mean == pytest.approx(0.5)
    assert found.sd == pytest.approx(0.02**0.5)
    assert found.text() == ".500 ± .141"
    assert Spread((0.5,)).text() == ".500"


def test_a_seed_without_a_score_leaves_no_mean():
    assert spread([0.5, None]) is None
    assert spread([]) is None
    assert spread([0.5, float("nan")]) is None


def test_paper_ours_and_difference_stand_below_each_other():
    header, rows = comparison_table([line("a", 0.5, paper=0.545), line("b")], ["near", "overall"])
    assert header == ["row", "", "near", "overall"]
    assert rows == [
        ["a", "paper", ".545", "–"],
        ["", "ours", ".500", "–"],
        ["", "difference", "-.045", "–"],
        ["b", "paper", "–", "–"],
        ["", "ours", "–", "–"],
        ["", "difference", "–", "–"],
    ]


def test_the_table_of_a_sweep_has_our_scores_alone():
    assert plain_table([line("a", 0.4, 0.6)], ["near"]) == (["cell", "near"], [["a", ".500 ± .141"]])


@pytest.mark.parametrize(
    ("better", "worse", "holds", "said"),
    [
        (line("a", 0.6), [line("b", 0.5)], True, ".600 against .500, +.100; one seed, no spread"),
        (line("a", 0.6), [line("b", 0.5), line("c", 0.7)], False, ".600 against .700, -.100"),
        (line("a", 0.5), [line("b", 0.5)], False, "+.000"),
        (line("a", 0.6, 0.7), [line("b", 0.5, 0.7)], True, "within the spread over seeds"),
        (line("a", 0.6, 0.601), [line("b", 0.5, 0.501)], True, "+.100"),
        (None, [line("b", 0.5)], None, "no near score"),
        (line("a", 0.6), [None], None, "no near score"),
        (line("a"), [line("b", 0.5)], None, "no near score"),
    ],
)
def test_an_ordering_is_judged_by_means_and_its_spread_is_said(better, worse, holds, said):
    verdict = judge("a beats b", better, worse, "near")
    assert verdict.holds is holds
    assert said in verdict.detail
    assert verdict.text().startswith({True: "holds:", False: "does not hold:", None: "not measured:"}[holds])


def test_differences_have_a_sign_and_nothing_is_not_negative():
    assert [signed(v) for v in (0.021, -0.003, -0.0001, 0.0)] == ["+.021", "-.003", "+.000", "+.000"]


def test_markdown_escapes_the_bar():
    assert markdown_table(["a"], [["x|y"]]) == "| a |\n|---|\n| x\\|y |"


def test_json_has_numbers_not_text():
    (row,) = to_json([line("a", 0.4, 0.6, paper=0.45)], ["near", "overall"])
    assert row["scores"]["near"]["ours"]["values"] == [0.4, 0.6]
    assert row["scores"]["near"]["difference"] == pytest.approx(0.05)
    assert row["scores"]["overall"] == {"paper": None, "ours": None, "difference": None}

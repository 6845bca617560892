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


def test_paper_ours_and_difference_stand_below_each_other_and_a_row_of_ours_has_no_paper_line():
    header, rows = comparison_table([line("a", 0.5, paper=0.545), line("b")], ["near", "overall"])
    assert header == ["row", "", "near", "overall"]
    assert rows == [
        ["a", "paper", ".545", "–"],
        ["", "ours", ".500", "–"],
        ["", "difference", "-.045", "–"],
        ["b", "ours", "–", "–"],
    ]


def test_the_table_of_a_sweep_has_our_scores_alone():
    assert plain_table([line("a", 0.4, 0.6)], ["near"]) == (["cell", "near"], [["a", ".500 ± .141"]])


@pytest.mark.parametrize(
    ("better", "worse", "holds", "said"),
    [
        ([line("a", 0.6)], [line("b", 0.5)], True, ".600 against .500, +.100; one seed, no spread"),
        ([line("a", 0.6)], [line("b", 0.5), line("c", 0.7)], False, ".600 against .700, -.100"),
        ([line("a", 0.6), line("d", 0.8)], [line("b", 0.5), line("c", 0.7)], True, ".800 against .700, +.100"),
        ([line("a", 0.5)], [line("b", 0.5)], False, "+.000"),
        ([line("a", 0.6, 0.7)], [line("b", 0.5, 0.7)], True, "+.050; 2 seeds, no spread"),
        # Differences .1, .2 and -.15 by seed: mean .05, sample deviation √(.0325).
        ([line("a", 0.6, 0.7, 0.65)], [line("b", 0.5, 0.5, 0.8)], True, "+.050 ± .180 over 3 seeds; within the spread"),
        # The rows move together from seed to seed, so their difference does not.
        ([line("a", 0.1, 0.5, 0.9)], [line("b", 0.0, 0.4, 0.8)], True, "+.100 ± .000 over 3 seeds"),
        ([line("a", 0.6, paper=0.545)], [line("b", 0.5, paper=0.53)], True, "no spread; the paper +.015"),
        ([None], [line("b", 0.5)], None, "no near score"),
        ([line("a", 0.6)], [None], None, "no near score"),
        ([line("a")], [line("b", 0.5)], None, "no near score"),
    ],
)
def test_an_ordering_is_judged_by_means_and_its_spread_is_said(better, worse, holds, said):
    verdict = judge("a beats b", better, worse, "near")
    assert verdict.holds is holds
    assert said in verdict.detail
    assert verdict.text().startswith({True: "holds:", False: "does not hold:", None: "not measured:"}[holds])


@pytest.mark.parametrize(
    ("better", "worse", "holds"),
    [
        (line("a", 0.601), line("b", 0.6), True),
        (line("a", 0.599), line("b", 0.6), True),
        (line("a", 0.602), line("b", 0.6), False),
        (line("a", 0.6, 0.7, 0.65), line("b", 0.5, 0.5, 0.8), True),
        (line("a", 0.1, 0.5, 0.9), line("b", 0.0, 0.4, 0.8), False),
    ],
)
def test_a_claim_of_no_difference_holds_within_its_bound_or_the_spread(better, worse, holds):
    assert judge("a is like b", [better], [worse], "near", 0.001).holds is holds


def test_a_verdict_in_json_has_difference_spread_and_the_papers_difference():
    better, worse = line("a", 0.6, 0.7, 0.8, paper=0.5), line("b", 0.5, 0.5, 0.8, paper=0.4)
    found = judge("a beats b", [better], [worse], "near").to_json()
    assert (found["says"], found["holds"]) == ("a beats b", True)
    assert [found[key] for key in ("difference", "sd", "paper")] == pytest.approx([0.1, 0.1, 0.1])


def test_differences_have_a_sign_and_nothing_is_not_negative():
    assert [signed(v) for v in (0.021, -0.003, -0.0001, 0.0)] == ["+.021", "-.003", "+.000", "+.000"]


def test_markdown_escapes_the_bar():
    assert markdown_table(["a"], [["x|y"]]) == "| a |\n|---|\n| x\\|y |"


def test_json_has_numbers_not_text():
    (row,) = to_json([line("a", 0.4, 0.6, paper=0.45)], ["near", "overall"])
    assert row["scores"]["near"]["ours"]["values"] == [0.4, 0.6]
    assert row["scores"]["near"]["difference"] == pytest.approx(0.05)
    assert row["scores"]["overall"] == {"paper": None, "ours": None, "difference": None}

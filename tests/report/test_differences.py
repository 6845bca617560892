from __future__ import annotations

from dataclasses import replace

import pytest

from smartcli.report.differences import Differences, Side, points
from smartcli.significance.two_sides import ScoreTest

SST = ScoreTest("sst", "accuracy", 1000, (0.50,), (0.518,), (0.003, 0.034), 0.001, p_holm=0.004)
STS = ScoreTest("sts", "pearson", 800, (0.87,), (0.866,), (-0.02, 0.01), 0.5, p_holm=0.9, rows_needed=2400)
OVERALL = ScoreTest("overall", "mean", 1800, (0.7,), (0.701,), (-0.02, 0.01), 0.5, p_holm=0.9, rows_needed=1900)


def sentence(*tests: ScoreTest) -> str:
    a, b = Side("plain", ("plain",)), Side("smart", ("smart",))
    return Differences("demo", "f", "Demo", "dev", a, b, tests, 10_000, 0).sentence()


def test_each_claim_stands_in_the_sentence_with_its_interval() -> None:
    assert sentence(SST, STS) == "smart is better on sst by 1.8 points, 95 % interval .3 to 3.4"
    worse = replace(STS, p_holm=0.01, interval=(-0.007, -0.001), rows_needed=None)
    assert sentence(SST, worse).endswith("; plain is better on sts by .4 points, 95 % interval .1 to .7")


def test_without_a_claim_it_says_how_many_rows_it_takes() -> None:
    assert sentence(STS, OVERALL) == (
        "no difference can be claimed: it would take about 2,400 rows of sts (here 800) to tell that plain is "
        "better by .4 points"
    )


def test_more_rows_are_not_promised_where_they_would_not_do() -> None:
    assert "more seeds" in sentence(replace(STS, rows_needed=None))
    assert "100 times as many rows would not do" in sentence(replace(STS, rows_needed=90_000))
    assert "the same scores" in sentence(replace(STS, b=STS.a, rows_needed=None))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.018, "1.8"), (0.003, ".3"), (-0.004, "-.4"), (-0.0001, "0.0"), (0.1, "10.0"), (-0.2, "-20.0")],
)
def test_points_have_one_decimal_and_no_zero_before_it(value: float, text: str) -> None:
    assert points(value) == text

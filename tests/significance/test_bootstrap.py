from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats

from smartcli.significance.bootstrap import judge, resampled_scores
from smartcli.tasks import parse_task

BINARY = parse_task({"name": "same", "kind": "binary", "text": "a", "label": "l"}, "t")
NEAR = parse_task({"name": "near", "kind": "regression", "text": "a", "label": "l", "range": [0, 5]}, "t")


@pytest.mark.parametrize("n", [40, 4000])
def test_drawn_accuracies_have_the_binomial_spread(n: int) -> None:
    # 40 rows are drawn one by one, 4,000 in a count for each of four groups
    labels = np.zeros(n)
    predictions = np.stack([np.arange(n) % 4 == 0, np.arange(n) % 2 == 0]).astype(float)
    found = resampled_scores(BINARY, labels, predictions, 4000, np.random.default_rng(1))
    assert found.mean(axis=0) == pytest.approx([0.75, 0.5], abs=5 * 0.5 / np.sqrt(n * 4000))
    assert found.std(axis=0) == pytest.approx(np.sqrt([0.75 * 0.25 / n, 0.25 / n]), rel=0.06)
    # the rows are the same for both: those that only the first has right are a quarter
    assert (found[:, 0] - found[:, 1]).std() == pytest.approx(np.sqrt(0.25 * 0.75 / n), rel=0.06)


def test_the_interval_of_a_correlation_is_scipys() -> None:
    random = np.random.default_rng(2)
    labels = random.uniform(0, 5, 200)
    predictions = labels + random.normal(size=200)
    drawn = resampled_scores(NEAR, labels, predictions[None], 4000, np.random.default_rng(3))[:, 0]
    expected = stats.bootstrap(
        (labels, predictions),
        lambda x, y: stats.pearsonr(x, y).statistic,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=2000,
        rng=np.random.default_rng(4),
    ).confidence_interval
    assert np.percentile(drawn, [2.5, 97.5]) == pytest.approx([expected.low, expected.high], abs=0.006)


def test_sets_of_labels_are_drawn_by_rows() -> None:
    task = parse_task(
        {"name": "s", "kind": "multilabel", "text": "a", "label": "l", "labels": ["x", "y"], "labels_separator": ","},
        "t",
    )
    labels = np.tile([[1.0, 0.0], [0.0, 1.0]], (50, 1))
    half = np.where(np.arange(100)[:, None] < 50, labels, 1 - labels)
    found = resampled_scores(task, labels, np.stack([labels, half]), 2000, np.random.default_rng(0))
    assert (found[:, 0] == 1).all()
    assert found[:, 1].mean() == pytest.approx(0.5, abs=0.01)
    assert found[:, 1].std() == pytest.approx(0.05, rel=0.06)


def test_p_counts_the_draws_that_are_as_far_from_the_difference_as_it_is_from_zero() -> None:
    # of 99 draws one is 0 and two are 4, which is as far from 2, and the sample itself: 4 of 100
    found = judge(np.array([0.0] + [4.0] * 2 + [2.5] * 96), 2.0)
    assert found is not None
    assert found.p == pytest.approx(0.04)


def test_a_few_rows_that_all_speak_for_one_side_are_no_more_than_mcnemar_has() -> None:
    labels = np.ones(200)
    predictions = np.stack([np.arange(200) >= 6, np.ones(200)]).astype(float)
    drawn = resampled_scores(BINARY, labels, predictions, 10_000, np.random.default_rng(0))
    found = judge(drawn[:, 1] - drawn[:, 0], 6 / 200)
    assert found is not None
    # of Poisson(6): none, or twelve and more
    assert found.p == pytest.approx(0.0225, abs=0.005)


def test_no_difference_at_all_has_p_one() -> None:
    found = judge(np.zeros(100) + 1e-17, 1e-17)
    assert found is not None
    assert (found.p, found.low, found.high) == (1.0, 0.0, 0.0)


def test_draws_that_are_mostly_undefined_are_no_answer() -> None:
    assert judge(np.array([0.1] * 80 + [np.nan] * 20), 0.1) is None
    assert judge(np.array([0.1] * 95 + [np.nan] * 5), 0.1) is not None


@pytest.mark.parametrize(
    ("rows", "models", "most"), [(863, 10, 2.0), pytest.param(40_429, 2, 18.0, marks=pytest.mark.slow)]
)
def test_ten_thousand_draws_take_seconds(rows: int, models: int, most: float) -> None:
    """Rows of scores are the dearest: no two are alike. CPU time, since other processes may share the machine."""
    random = np.random.default_rng(0)
    labels = random.uniform(0, 5, rows)
    predictions = labels + random.normal(size=(models, rows))
    before = time.process_time()
    assert resampled_scores(NEAR, labels, predictions, 10_000, random).shape == (10_000, models)
    assert time.process_time() - before < most

from __future__ import annotations

import numpy as np
import pytest

from smartcli.significance.seed_draws import differences, draw_seeds, own_share, seed_variance

DRAWS = 40_000


def drawn(a: list[float], b: list[float], share: float = 1.0) -> np.ndarray:
    """Differences where the rows never change."""
    scores = np.tile([*a, *b], (DRAWS, 1))
    return differences(scores, len(a), draw_seeds(len(a), len(b), DRAWS, np.random.default_rng(0)), share)


def test_one_seed_a_side_adds_nothing() -> None:
    assert np.allclose(drawn([0.5], [0.7]), 0.2)


def test_many_seeds_give_the_standard_error_of_a_difference_of_means() -> None:
    random = np.random.default_rng(1)
    a, b = random.normal(0.5, 0.01, 20).tolist(), random.normal(0.6, 0.02, 20).tolist()
    found = drawn(a, b)
    assert found.mean() == pytest.approx(np.mean(b) - np.mean(a), abs=1e-3)
    # Student's t of 38 degrees has variance 38/36
    assert found.var() == pytest.approx(seed_variance(a, b) * 38 / 36, rel=0.06)


def test_few_seeds_have_the_wide_tails_of_students_t() -> None:
    # three seeds a side: t(4) leaves 95 % within 2.776 standard errors, where a normal one has 1.96
    a, b = [0.49, 0.50, 0.51], [0.49, 0.50, 0.51]
    width = np.percentile(np.abs(drawn(a, b)), 95) / np.sqrt(seed_variance(a, b))
    assert width == pytest.approx(2.776, rel=0.08)


def test_one_seed_varies_as_those_of_the_other_side() -> None:
    assert seed_variance([0.5], [0.4, 0.6]) == pytest.approx(0.02 + 0.01)
    assert drawn([0.5], [0.4, 0.5, 0.6, 0.5, 0.5]).std() > drawn([0.5] * 5, [0.4, 0.5, 0.6, 0.5, 0.5]).std()


def test_seeds_of_equal_scores_add_nothing() -> None:
    assert np.allclose(drawn([0.5] * 3, [0.6] * 3), 0.1)


def test_spread_that_rows_explain_does_not_count_twice() -> None:
    random = np.random.default_rng(2)
    a, b = [0.48, 0.50, 0.52], [0.48, 0.50, 0.52]
    by_rows = np.array([*a, *b]) + random.normal(0, 0.02, (DRAWS, 6))
    # as much as the seeds differ by: nothing is their own; a quarter of it: 1 - 1/4 of the variance is
    assert own_share(by_rows, a, b) < 0.2
    assert own_share(np.array([*a, *b]) + random.normal(0, 0.01, (DRAWS, 6)), a, b) == pytest.approx(0.866, abs=0.01)


def test_the_spread_of_very_few_seeds_is_taken_whole() -> None:
    assert own_share(np.random.default_rng(3).normal(size=(100, 4)), [0.5, 0.5], [0.6, 0.6]) == 1.0

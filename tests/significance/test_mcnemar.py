from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from smartcli.significance.mcnemar import mcnemar, mcnemar_of_counts


def test_a_table_worked_by_hand() -> None:
    # A alone is right in 1 row, B alone in 5: p = 2 (C(6,0) + C(6,1)) / 2^6 = 14/64
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1], float)
    a = np.array([0, 0, 0, 1, 0, 1, 0, 0], float)  # right in rows 0 and 6
    b = np.array([0, 1, 2, 0, 1, 2, 1, 0], float)  # right in rows 0 to 5
    found = mcnemar(labels, a, b)
    assert (found.a_alone, found.b_alone) == (1, 5)
    assert found.p == pytest.approx(14 / 64)


@given(st.integers(0, 60), st.integers(0, 60))
def test_p_is_the_binomial_test_of_the_rarer_side(b: int, c: int) -> None:
    expected = binomtest(min(b, c), b + c).pvalue if b + c else 1.0
    assert mcnemar_of_counts(b, c).p == pytest.approx(expected)
    assert mcnemar_of_counts(c, b).p == mcnemar_of_counts(b, c).p


def test_rows_that_both_have_wrong_say_nothing() -> None:
    labels, wrong = np.zeros(4), np.ones(4)
    assert mcnemar(labels, wrong, wrong * 2).p == 1.0

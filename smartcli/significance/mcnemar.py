"""McNemar's exact test (McNemar 1947) of two classifiers on the same rows.

Only the rows that one side has right and the other wrong say which is better. Were the sides equal, each such row
would fall to either side like a coin: the number b of those that A alone has right is Binomial(b + c, 1/2), where c is
the number of those that B alone has right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class McNemar:
    """Rows that one side alone has right, and the two-sided p."""

    a_alone: int
    b_alone: int
    p: float


def mcnemar(labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> McNemar:
    """Return the test of two sides' (n,) classes against (n,) labels; p is 1 where no row tells the sides apart."""
    a_right, b_right = a == labels, b == labels
    return mcnemar_of_counts(int((a_right & ~b_right).sum()), int((b_right & ~a_right).sum()))


def mcnemar_of_counts(a_alone: int, b_alone: int) -> McNemar:
    """Return the test where `a_alone` and `b_alone` rows are right on one side alone."""
    if a_alone + b_alone == 0:
        return McNemar(0, 0, 1.0)
    # Here and not above: importing it takes half a second.
    from scipy import stats

    p = float(stats.binomtest(min(a_alone, b_alone), a_alone + b_alone).pvalue)
    return McNemar(a_alone, b_alone, p)

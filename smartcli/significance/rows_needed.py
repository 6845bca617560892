"""How many rows it would take to claim a difference of the size that was found.

A difference d whose standard error is s is claimed at level α with power 1 − β where |d| ≥ (z(1 − α/2) + z(1 − β)) s.
The rows' part of s² falls as 1/rows; that of the seeds does not.
"""

from __future__ import annotations

import math
from statistics import NormalDist

POWER = 0.8


def rows_needed(difference: float, rows: int, row_variance: float, seed_variance: float, alpha: float) -> int | None:
    """Return the rows at which `difference` would be claimed four times in five, to two digits.

    `row_variance` is the variance that `rows` rows give the difference, `seed_variance` the seeds' share. None where
    no number of rows would do: the difference is 0, or lost in what the seeds differ by.
    """
    normal = NormalDist()
    wanted = normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(POWER)
    left = (difference / wanted) ** 2 - seed_variance
    if left <= 0:
        return None
    exact = rows * row_variance / left
    return max(rows + 1, _two_digits(exact))


def _two_digits(value: float) -> int:
    if value < 10:
        return math.ceil(value)
    unit: int = 10 ** (math.floor(math.log10(value)) - 1)
    return int(round(value / unit) * unit)

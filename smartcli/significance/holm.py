"""Holm's step-down adjustment (Holm 1979): of several tests, the chance of one false claim or more stays below α.

The smallest of m p-values is multiplied by m, the next by m − 1, and so on; none becomes smaller than one before it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float]) -> list[float]:
    """Return the adjusted p-values in the given order, at most 1."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(one) for one in adjusted]

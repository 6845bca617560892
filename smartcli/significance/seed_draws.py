"""Seeds drawn again, each side's by itself: what a difference between two recipes owes to the luck of their seeds.

A drawn mean of k values has a variance that is (k − 1)/k of what it should be, and k values say little about their own
spread. So its distance from the mean of all is multiplied by √(k/(k − 1)) and divided by √(χ²/f), f = the seeds of both
sides less one a side, which gives it the tails of Student's t. Without this, three seeds a side would claim too much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

ENOUGH = 3
"""Seeds of the smaller side below which the seeds' spread is taken whole: too few to divide it."""


def draw_seeds(k_a: int, k_b: int, draws: int, random: np.random.Generator) -> np.ndarray:
    """Return (draws, kA + kB) weights: what the seeds drawn add to B − A, as a sum over the models' scores.

    They sum to 0, so that seeds of equal scores add nothing. One seed against several deviates as one of those would.
    """
    out = np.zeros((draws, k_a + k_b))
    a, b = out[:, :k_a], out[:, k_a:]
    if k_a > 1:
        a -= _deviations(k_a, k_a, draws, random)
    elif k_b > 1:
        b -= _deviations(k_b, 1, draws, random)
    if k_b > 1:
        b += _deviations(k_b, k_b, draws, random)
    elif k_a > 1:
        a += _deviations(k_a, 1, draws, random)
    free = k_a + k_b - 2
    return out * np.sqrt(free / random.chisquare(free, size=(draws, 1))) if free else out


def _deviations(k: int, drawn: int, draws: int, random: np.random.Generator) -> np.ndarray:
    """Return weights (draws, k) that give the distance of a mean of `drawn` seeds from that of all."""
    counts = random.multinomial(drawn, np.full(k, 1 / k), size=draws)
    return np.asarray((counts / drawn - 1 / k) * math.sqrt(k / (k - 1)))


def own_share(scores: np.ndarray, a: Sequence[float], b: Sequence[float]) -> float:
    """Return the share of the deviation between seeds that drawing other rows does not explain, 0 to 1.

    Seeds of equal quality differ too, since each errs on rows of its own. The rows that are drawn bring that in
    already; drawn a second time with the seeds it would count twice. `scores` are (draws, kA + kB), `a` and `b` those
    on the rows as they are. With fewer than `ENOUGH` seeds on a side it is 1.
    """
    if min(len(a), len(b)) < ENOUGH:
        return 1.0
    found, by_rows = 0.0, 0.0
    for side, values in ((a, scores[:, : len(a)]), (b, scores[:, len(a) :])):
        k = len(side)
        if k > 1:
            found += float(np.var(side, ddof=1))
            apart = values - values.mean(axis=1, keepdims=True)
            by_rows += float(np.nanvar(apart, axis=0).mean()) * k / (k - 1)
    return math.sqrt(max(0.0, 1 - by_rows / found)) if found > 0 else 0.0


def seed_variance(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the variance that B − A of the sides' means has from the seeds; 0 for one seed a side."""
    spreads = [float(np.var(side, ddof=1)) for side in (a, b) if len(side) > 1]
    return sum((float(np.var(side, ddof=1)) if len(side) > 1 else spreads[0]) / len(side) for side in (a, b) if spreads)


def differences(scores: np.ndarray, k_a: int, seeds: np.ndarray, share: float) -> np.ndarray:
    """Return B − A (draws,) of the sides' means; `scores` (draws, kA + kB) has A's models first.

    `seeds` are the weights of `draw_seeds`, `share` what counts of them.
    """
    middle = scores[:, k_a:].mean(axis=1) - scores[:, :k_a].mean(axis=1)
    return np.asarray(middle + share * (scores * seeds).sum(axis=1))

"""A regression's squared error with the labels' range counted as 1, `--regression-loss unit`.

ℓ = mean ((f(x) − y) / (high − low))², the error of labels that lie between 0 and 1. Cross entropy starts near log C
whatever the task; a squared error starts at the labels' variance, which on 0 to 5 is over ten times what it is on
0 to 1, and so is its share of the gradient in joint training. Predictions stay in the labels' own units, and so does
SMART's divergence: it is λ that weighs it (`--lambda sts=…`).
"""

from __future__ import annotations

from smartcli.tasks import Task


def unit_factor(task: Task) -> float:
    """Return what the squared error of a task in its labels' units is multiplied by: 1 / (high − low)²."""
    assert task.range is not None, "a regression has a range"
    low, high = task.range
    return 1.0 / (high - low) ** 2

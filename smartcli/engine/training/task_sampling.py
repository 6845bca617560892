"""`--task-sampling`: each step trains one task, drawn by size, in place of the paper's one batch of every task.

With N_i rows of task i, counted in batches, a step takes a batch of i with probability p_i = N_i^a / Σ_j N_j^a:

- proportional, a = 1: every row comes about equally often;
- sqrt, a = ½: small tasks come more often, large ones less;
- annealed: a = 1 − .8·(e − 1)/(E − 1) in epoch e of E (Stickland & Murray 2019, arXiv 1902.02671), from
  proportional to nearly even, since towards the end a small task would be forgotten between two of its batches. One
  epoch alone is proportional.

An epoch has as many steps as all tasks' passes together. Rows go round as ever: a task's pass goes on in the next
epoch, and is shuffled anew when it ends. The draw is a function of seed and epoch, so that every process draws the
same task, and a resumed run too. Axes: n tasks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from smartcli.engine.streams import stream

ALL = "all"
"""The paper's way: a batch of every task in each step."""
ANNEALED_BY = 0.8


def exponent(way: str, epoch: int, epochs: int) -> float:
    """Return a in `epoch` (from 1) of `epochs`."""
    if way == "sqrt":
        return 0.5
    if way == "annealed" and epochs > 1:
        return 1.0 - ANNEALED_BY * (epoch - 1) / (epochs - 1)
    return 1.0


def shares(sizes: Sequence[float], way: str, epoch: int, epochs: int) -> list[float]:
    """Return p (n,) from the tasks' sizes (n,), all above 0."""
    # By the largest, since a power of a large number may overflow.
    scaled = [(size / max(sizes)) ** exponent(way, epoch, epochs) for size in sizes]
    return [value / sum(scaled) for value in scaled]


def drawn_tasks(seed: int, way: str, sizes: Sequence[float], steps: int, epoch: int, epochs: int) -> list[int]:
    """Return the number of the task of each of an epoch's `steps`; the same for the same arguments."""
    weights = torch.tensor(shares(sizes, way, epoch, epochs), dtype=torch.float64)
    generator = stream(seed, "task sampling", epoch)
    # By the cumulative sum, and not torch.multinomial, whose draws are no matter of the generator's numbers alone.
    drawn = torch.rand(steps, dtype=torch.float64, generator=generator)
    found: list[int] = torch.searchsorted(weights.cumsum(0)[:-1].contiguous(), drawn, right=True).tolist()
    return found

"""`--balance uncertainty`: each task is weighted by the noise of its labels, which is learnt.

Kendall, Gal & Cipolla 2018 (arXiv 1705.07115), section 3.2. With s_i = log σ_i² the loss is
Σ_i a_i·exp(−s_i)·L_i + c_i·s_i/2. A Gaussian of scores has a = ½ (their L is the squared error, without its half);
a softmax at temperature σ² has a = 1, a multilabel task as many of them as it has labels: c is their number, else 1.
At the optimum exp(−s_i) = c_i / (2·a_i·L_i): no task's part is larger than another's for its units alone. The gradient
by s_i is c_i/2 − a_i·exp(−s_i)·L_i. Adam follows it at a rate of its own (`--balance-lr`), since at the encoder's
s would hardly move. Here L_i is all of a task's part, penalties included. Axes: n tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from smartcli.engine.training.balance import Balance
from smartcli.tasks import Task

LARGEST = 5.0
"""Largest |s|: a task that is learnt by heart, with L near 0, must not outweigh the rest without bound."""


class Uncertainty(Balance):
    """s (n,), which starts at 0, and from it the weights a·exp(−s)."""

    def __init__(self, tasks: Sequence[Task], fixed: Mapping[str, float], rate: float, device: torch.device) -> None:
        super().__init__(tasks, fixed, rate, device)
        scores = [task.kind == "regression" for task in tasks]
        labels = [task.classes if task.kind == "multilabel" else 1 for task in tasks]
        self.factors = torch.where(torch.tensor(scores), 0.5, 1.0).to(self.weights)
        self.halves = torch.tensor(labels).to(self.weights) / 2
        self.log_variances = torch.zeros_like(self.weights)
        self.weights.copy_(self.factors)

    def learnt(self, parts: Tensor, norms: Tensor, here: Tensor) -> dict[str, Tensor]:
        new = self.adam.change(self.halves - self.weights * parts, here)
        s = (self.log_variances + new.pop("by")).clamp(-LARGEST, LARGEST)
        return new | {"log_variances": s, "weights": self.factors * torch.exp(-s)}

    def tensors(self) -> dict[str, Tensor]:
        return super().tensors() | {"log_variances": self.log_variances}

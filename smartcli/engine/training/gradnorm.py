"""`--balance gradnorm`: weights under which every task's gradient has the norm that its progress calls for.

Chen, Badrinarayanan, Lee & Rabinovich 2018 (arXiv 1711.02257), Algorithm 1. With G_i the norm of the gradient of
w_i·L_i at a shared layer, Ḡ their mean, and r_i = (L_i / L_i(0)) / mean_j (L_j / L_j(0)) the relative inverse training
rate, the weights follow the gradient of Σ_i |G_i − Ḡ·r_i^α|, the targets held constant, and are scaled to Σ w_i = n.
α = 0 makes all norms equal; a larger one favours tasks that learn slowly. G_i = w_i·‖∇L_i‖, so the gradient by
w_i is sign(G_i − target_i)·G_i / w_i. Adam follows it at the rate `--balance-lr`.

The paper takes the last shared layer's weights, to save most of a backward pass a task. Here the layer is the lowest
one, the word vectors, where every step has each task's gradient already and nothing needs saving; it is also nearer to
the norm over all shared weights (gradient_share.py). L_i(0) is the mean of the first ten steps, since one batch says
little; until then the weights stay at 1. L_i is all of a task's part, penalties included. Axes: n tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from smartcli.engine.training.balance import Balance
from smartcli.tasks import Task

START = 10
"""Steps whose mean is L_i(0)."""
LEAST = 1e-2
"""Least weight before scaling: Adam could step over 0."""


class GradNorm(Balance):
    """Weights (n,), which start at 1."""

    reads_gradients = True

    def __init__(
        self, tasks: Sequence[Task], fixed: Mapping[str, float], rate: float, device: torch.device, alpha: float
    ) -> None:
        super().__init__(tasks, fixed, rate, device)
        self.alpha = alpha
        self.weights.fill_(1.0)
        self.started = torch.zeros_like(self.weights)
        """Steps that went into `first`."""
        self.first = torch.zeros_like(self.weights)
        """The sum of L_i over them."""

    def learnt(self, parts: Tensor, norms: Tensor, here: Tensor) -> dict[str, Tensor]:
        starts = self.started < START
        tiny = torch.finfo(parts.dtype).tiny
        done = parts / (self.first / self.started.clamp_min(1)).clamp_min(tiny)
        rates = done / done.mean().clamp_min(tiny)
        target = norms.mean() * rates**self.alpha
        new = self.adam.change(torch.sign(norms - target) * norms / self.weights, here & ~starts)
        weights = (self.weights + new.pop("by")).clamp_min(LEAST)
        return new | {
            "weights": weights * (len(weights) / weights.sum()),
            "started": self.started + starts,
            "first": self.first + torch.where(starts, parts, torch.zeros_like(parts)),
        }

    def tensors(self) -> dict[str, Tensor]:
        return super().tensors() | {"started": self.started, "first": self.first}

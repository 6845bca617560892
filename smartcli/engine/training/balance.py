"""`--balance`: weights of the tasks that are learnt as training goes, and what every way to learn them shares.

A way (uncertainty.py, gradnorm.py) keeps weights (n,) in the order of the phase's tasks, by which the tasks' parts of
the loss are multiplied. It learns them from what a step finds: each task's part before weights, L_i = ℓ_i + λ_i·R_i
and so on, and where it asks for it the norm of the task's gradient (gradient_share.py). Nothing is differentiated by
the weights, since their gradients are known in closed form. All of it is float64 in memory that stays, and no value is
read on the host, so that a step may be recorded. Axes: n tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from smartcli.tasks import Task

FILE = "balance"
"""In a snapshot."""


class Adam:
    """Adam (Kingma & Ba 2015, Algorithm 1) over n numbers, some of which may stand still in a step.

    Not the model's optimizer, whose learning rate is another and whose gradients are clipped together.
    """

    BETAS, EPS = (0.9, 0.999), 1e-8

    def __init__(self, n: int, rate: float, device: torch.device) -> None:
        self.rate = rate
        self.tensors = {
            name: torch.zeros(n, dtype=torch.float64, device=device) for name in ("mean", "square", "count")
        }

    def change(self, gradient: Tensor, moves: Tensor) -> dict[str, Tensor]:
        """Return the next moments, and under `by` what is added to the numbers (n,): 0 where `moves` (n,) is false."""
        own, (first, second) = self.tensors, self.BETAS
        gradient = torch.where(moves, gradient, torch.zeros_like(gradient))
        out = {
            "mean": torch.where(moves, first * own["mean"] + (1 - first) * gradient, own["mean"]),
            "square": torch.where(moves, second * own["square"] + (1 - second) * gradient**2, own["square"]),
            "count": own["count"] + moves,
        }
        times = out["count"].clamp_min(1)
        size = (out["square"] / (1 - second**times)).sqrt() + self.EPS
        by = -self.rate * out["mean"] / (1 - first**times) / size
        return out | {"by": torch.where(moves, by, torch.zeros_like(by))}


class Balance:
    """Weights of a phase's tasks, learnt from each update. A subclass says how."""

    reads_gradients = False
    """Whether each step must measure the norms of the tasks' gradients."""

    def __init__(self, tasks: Sequence[Task], fixed: Mapping[str, float], rate: float, device: torch.device) -> None:
        self.names = tuple(task.name for task in tasks)
        self.adam = Adam(len(tasks), rate, device)
        zeros = torch.zeros(len(tasks), dtype=torch.float64, device=device)
        self.weights = zeros.clone()
        self._fixed = torch.tensor([fixed[name] for name in self.names], dtype=torch.float64, device=device)
        self._parts, self._norms, self._here = zeros.clone(), zeros.clone(), zeros.clone()

    def weight(self, task: str) -> Tensor:
        """Return what the task's part of the loss is multiplied by, a scalar."""
        return self.weights[self.names.index(task)]

    def take(self, parts: Mapping[str, Tensor], squares: Mapping[str, Tensor]) -> None:
        """Keep what a pass over some of the tasks found: L_i of each, and the squared norms of their gradients."""
        for task, part in parts.items():
            at = self.names.index(task)
            self._parts[at], self._here[at] = part.detach().double(), 1.0
            if task in squares:
                # That of w_i·L_i alone: a weight that the user fixed multiplies what is learnt.
                self._norms[at] = squares[task].double().sqrt() / self._fixed[at]

    @torch.no_grad()
    def follow(self, halted: Tensor | None = None) -> None:
        """Learn from what an update's passes found, or with `halted` (a scalar) above 0 nothing; then forget it."""
        new = self.learnt(self._parts, self._norms, self._here > 0)
        for name, tensor in self.tensors().items():
            tensor.copy_(new[name] if halted is None else torch.where(halted > 0, tensor, new[name]))
        self._here.zero_()

    def learnt(self, parts: Tensor, norms: Tensor, here: Tensor) -> dict[str, Tensor]:
        """Return what `tensors` shall be after an update, of which `here` (n,) says which tasks it had."""
        raise NotImplementedError

    def tensors(self) -> dict[str, Tensor]:
        """Return all that is learnt, by name, each (n,)."""
        return {"weights": self.weights, **self.adam.tensors}

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Return what resuming needs, by the file that keeps it."""
        return {FILE: self.tensors()}

    @torch.no_grad()
    def restore(self, files: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take what `state` returned in an earlier process."""
        for name, tensor in self.tensors().items():
            tensor.copy_(files[FILE][name])

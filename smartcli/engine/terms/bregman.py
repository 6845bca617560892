"""Bregman proximal point, D = mean ℓ_s(f(x; θ), f(x; θ̃)), and its averaged teacher θ̃.

Jiang et al. 2020 (arXiv 1911.03437), section 3.2.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from smartcli.config import Settings
from smartcli.engine.model.multitask import MultiTaskModel
from smartcli.engine.streams import Streams
from smartcli.engine.terms.base import CleanPass, Context, Measured, Term
from smartcli.engine.terms.losses import divergence

EARLY_BETA, LATE_BETA, EARLY_SHARE = 0.99, 0.999, 0.1


def momentum(step: int, steps: int, beta: float | None) -> float:
    """Return β after update `step` (from 1) of `steps`: .99 for the first tenth, then .999; or `beta`."""
    if beta is not None:
        return beta
    return EARLY_BETA if step <= EARLY_SHARE * steps else LATE_BETA


@torch.no_grad()
def move_towards(own: list[Tensor], source: list[Tensor], beta: float | Tensor) -> None:
    """Set `own` to β·own + (1 − β)·source; β = 0 copies it exactly, β = 1 leaves it. A tensor β is not read."""
    if isinstance(beta, Tensor):
        # In this form both ends are exact, and β is not read.
        torch._foreach_mul_(own, beta)
        torch._foreach_add_(own, torch._foreach_mul(source, 1.0 - beta))
    elif beta == 0.0:
        torch._foreach_copy_(own, source)
    elif beta < 1.0:
        get_ema_multi_avg_fn(beta)(own, source, 0)  # type: ignore[no-untyped-call]


class Teacher:
    """A copy of a module whose weights follow θ̃ ← β·θ̃ + (1 − β)·θ; it is never trained itself."""

    def __init__(self, copy: nn.Module, source: nn.Module) -> None:
        self.module = copy.requires_grad_(False).eval()
        self._own = [p.data for p in copy.parameters()]
        self._source = [p.data for p in source.parameters()]
        self.copy_source()

    @torch.no_grad()
    def copy_source(self) -> None:
        """Set every teacher weight to the student's."""
        torch._foreach_copy_(self._own, self._source)

    @torch.no_grad()
    def follow(self, beta: float | Tensor) -> None:
        """Move the teacher towards the student once; β = 0 copies it exactly, β = 1 leaves the teacher."""
        move_towards(self._own, self._source, beta)

    def tensors(self) -> dict[str, Tensor]:
        """Return the teacher's weights by parameter name."""
        return {name: p.data for name, p in self.module.named_parameters()}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Set the teacher's weights from `tensors()` of an earlier run."""
        for name, target in self.tensors().items():
            target.copy_(tensors[name])


class Bregman(Term):
    """μ·D, with gradient through the student alone; the teacher's passes have no dropout."""

    name = method = "bregman"
    file = "teacher"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.weights, self.beta = context.settings.mu, context.settings.beta
        self.teacher = Teacher(copy.deepcopy(context.model), context.model)

    @classmethod
    def active(cls, settings: Settings, tasks: Sequence[str]) -> tuple[str, ...]:
        return tuple(task for task in tasks if settings.mu[task] > 0)

    def weight(self, task: str) -> float:
        return self.weights[task]

    def measure(self, clean: CleanPass, streams: Streams, *, probe: bool, check: bool) -> Measured:
        batch, module = clean.given.of_term[self.name].batch, self.teacher.module
        assert isinstance(module, MultiTaskModel)
        with torch.no_grad():
            target = module(module.encoder.look_up(batch), batch)
        return Measured(
            {
                task: batch.mean(divergence(self.kind(task), clean.logits[task], target[task]), task)
                for task in batch.outputs
            }
        )

    def momentum(self, number: int, steps: int) -> float:
        return momentum(number, steps, self.beta)

    def move(self, momentum: float | Tensor) -> None:
        self.teacher.follow(momentum)

    def followers(self) -> list[nn.Module]:
        return [self.teacher.module]

    def state(self) -> dict[str, dict[str, Tensor]]:
        return {self.file: self.teacher.tensors()}

    def restore(self, files: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.teacher.restore(files[self.file])

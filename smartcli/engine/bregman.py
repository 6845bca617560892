"""Bregman proximal point: the averaged teacher θ̃ and its momentum schedule (Jiang et al. 2020, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

EARLY_BETA, LATE_BETA, EARLY_SHARE = 0.99, 0.999, 0.1


def momentum(step: int, steps: int, beta: float | None) -> float:
    """Return β after update `step` (from 1) of `steps`: .99 for the first tenth, then .999; or `beta`."""
    if beta is not None:
        return beta
    return EARLY_BETA if step <= EARLY_SHARE * steps else LATE_BETA


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
    def follow(self, beta: float) -> None:
        """Move the teacher towards the student once; β = 0 copies it exactly, β = 1 leaves the teacher."""
        if beta == 0.0:
            self.copy_source()
        elif beta < 1.0:
            torch._foreach_lerp_(self._own, self._source, 1.0 - beta)

    def tensors(self) -> dict[str, Tensor]:
        """Return the teacher's weights by parameter name."""
        return {name: p.data for name, p in self.module.named_parameters()}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Set the teacher's weights from `tensors()` of an earlier run."""
        for name, target in self.tensors().items():
            target.copy_(tensors[name])

"""Averaged weights (EMA): what is evaluated and kept is an average over the training, not its last step.

Polyak & Juditsky 1992, in the exponential form: after update t, θ̄ ← d_t·θ̄ + (1 − d_t)·θ with
d_t = min(d, (1 + t) / (10 + t)). The ramp lets the start go out of the average in the first updates, so that a short
training has one too. The training itself never reads θ̄. Dev scores, the choice of the epoch, the checkpoint, and in
sequential training the next phase's start take θ̄ in place of θ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from smartcli.engine.terms.bregman import move_towards

FILE = "average"
"""In a snapshot."""


def momentum(number: int, decay: float) -> float:
    """Return d_t after update `number` (from 1)."""
    return min(decay, (1 + number) / (10 + number))


class AveragedWeights:
    """θ̄ of the trained parameters by name; it starts at θ."""

    def __init__(self, named: Sequence[tuple[str, nn.Parameter]], decay: float) -> None:
        self.decay = decay
        self.names = [name for name, _ in named]
        self._source = [p.data for _, p in named]
        self._own = [p.clone() for p in self._source]

    def momentum(self, number: int, steps: int) -> float:
        """Return how much of θ̄ stays after update `number` (from 1)."""
        return momentum(number, self.decay)

    def move(self, momentum: float | Tensor) -> None:
        """Move θ̄ towards θ; a scalar tensor is not read on the host, and 1 leaves θ̄ as it is."""
        move_towards(self._own, self._source, momentum)

    def follow(self, number: int, steps: int) -> None:
        """Take that update `number` of `steps` was made."""
        self.move(self.momentum(number, steps))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have the model hold θ̄ inside, and θ again after it, bit for bit."""
        kept = [p.clone() for p in self._source]
        self._write(self._own)
        try:
            yield
        finally:
            self._write(kept)

    @torch.no_grad()
    def _write(self, values: Sequence[Tensor]) -> None:
        if self._source:
            torch._foreach_copy_(self._source, list(values))

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Return what resuming needs, by the file that keeps it."""
        return {FILE: dict(zip(self.names, self._own, strict=True))}

    @torch.no_grad()
    def restore(self, files: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take what `state` returned in an earlier process."""
        for name, tensor in zip(self.names, self._own, strict=True):
            tensor.copy_(files[FILE][name])

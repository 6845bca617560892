"""Dropout as a function of a generator: fresh masks, the same masks again, or none.

torch's dropout takes no generator, so its draws would depend on every other draw in the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

Axis = str
"""token, sentence, example:TASK:SIDE, or attentionG for group G."""


class Dropout(Protocol):
    """Drops entries of `x`; `axis` says what its first dimension counts, `key` names the place."""

    def __call__(self, x: Tensor, p: float, axis: Axis, key: str) -> Tensor: ...


def keep_mask(shape: Sequence[int], p: float, generator: torch.Generator, device: torch.device) -> Tensor:
    """Return a bool mask that is true with probability 1 − p."""
    return torch.empty(tuple(shape), dtype=torch.bool, device=device).bernoulli_(1.0 - p, generator=generator)


class _Scaled(torch.autograd.Function):
    """x · mask / (1 − p), saving the one-byte mask only."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, mask: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.scale = scale  # type: ignore[attr-defined]
        return torch.mul(x, mask).mul_(scale)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None]:
        (mask,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return torch.mul(grads[0], mask).mul_(ctx.scale), None, None  # type: ignore[attr-defined]


def drop(x: Tensor, mask: Tensor, p: float) -> Tensor:
    """Return `x` with the entries where `mask` is false set to 0 and the others divided by 1 − p."""
    out: Tensor = _Scaled.apply(x, mask, 1.0 / (1.0 - p))  # type: ignore[no-untyped-call]
    return out


def no_dropout(x: Tensor, p: float, axis: Axis, key: str) -> Tensor:
    """Return `x` as it is (evaluation, teacher, `--smart-dropout off`)."""
    return x


class FreshDropout:
    """Draws a new mask at each place; with `record` the masks stay for a `ReplayDropout`."""

    def __init__(self, generator: torch.Generator, *, record: bool = False) -> None:
        self.generator = generator
        self.masks: dict[str, tuple[Axis, Tensor]] | None = {} if record else None

    def __call__(self, x: Tensor, p: float, axis: Axis, key: str) -> Tensor:
        if p == 0.0:
            return x
        mask = keep_mask(x.shape, p, self.generator, x.device)
        if self.masks is not None:
            self.masks[key] = (axis, mask)
        return drop(x, mask, p)


class ReplayDropout:
    """Applies recorded masks again; `rows` picks, for each axis, the entries that the new batch holds."""

    def __init__(self, masks: dict[str, tuple[Axis, Tensor]], rows: dict[str, Tensor] | None = None) -> None:
        self.masks = masks
        self.rows = rows

    def __call__(self, x: Tensor, p: float, axis: Axis, key: str) -> Tensor:
        if p == 0.0:
            return x
        _, mask = self.masks[key]
        if self.rows is not None and axis in self.rows:
            mask = mask.index_select(0, self.rows[axis])
        return drop(x, mask, p)

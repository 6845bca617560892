"""Task losses, and the divergences ℓ_s that SMART and Bregman measure between two outputs.

Axes: n examples, C classes. Logits are (n, C), or (n,) for one logit or one score.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from smartcli.engine.model.packing import mean
from smartcli.engine.terms.soft_targets import SoftTargets
from smartcli.tasks import Kind


def check_shapes(a: Tensor, b: Tensor) -> None:
    """Raise unless both shapes are the same: [B, 1] against [B] would broadcast to B × B."""
    if a.shape != b.shape:
        raise ValueError(f"outputs must have the same shape, found {tuple(a.shape)} and {tuple(b.shape)}")


def task_loss(
    kind: Kind,
    logits: Tensor,
    labels: Tensor,
    count: int | Tensor | None = None,
    weights: Sequence[float] | None = None,
    present: Tensor | None = None,
    soft: SoftTargets | None = None,
) -> Tensor:
    """Return the mean loss, a scalar: cross entropy, binary cross entropy (multilabel: their sum), or squared error.

    With `count` it is these examples' part in the mean over so many; `present` (n,) is 0 for rows that do not count.

    `labels` (n,) holds class numbers or scores as floats. A binary task with two logits (cosine mode)
    takes the two-class cross entropy. With class `weights` (C) each row's loss is multiplied by its class's; the mean
    stays one over rows, so that a rare class counts more in a batch that has it. Of a multilabel task labels are
    (n, C) of 0 and 1, a row's loss is the sum over its labels (minus the logarithm of the probability of the whole
    set), and `weights` multiply the part of the labels that it has. With `soft` labels are not taken as given.
    """
    if soft is not None:
        own = None if weights is None else _on(tuple(weights), logits.device).to(logits.dtype)
        each = soft.loss(kind, logits, labels, own)
        if own is not None and kind != "multilabel":
            each = each * own[labels.long()]
        return mean(each, count, present)
    if kind == "multilabel":
        check_shapes(logits, labels)
        own = None if weights is None else _on(tuple(weights), logits.device).to(logits.dtype)
        each = F.binary_cross_entropy_with_logits(logits, labels, reduction="none", pos_weight=own)
        return mean(each.sum(dim=-1), count, present)
    if weights is not None or present is not None:
        each = _loss(kind, logits, labels, "none")
        if weights is not None:
            each = each * _on(tuple(weights), labels.device)[labels.long()].to(each.dtype)
        return mean(each, count, present)
    loss = _loss(kind, logits, labels, "mean" if count is None else "sum")
    return loss if count is None else loss / count


@lru_cache(maxsize=64)
def _on(weights: tuple[float, ...], device: torch.device) -> Tensor:
    # Kept, since a captured step must not copy from the CPU.
    with torch.inference_mode(False):
        return torch.tensor(weights, dtype=torch.float32, device=device)


def _loss(kind: Kind, logits: Tensor, labels: Tensor, reduction: str) -> Tensor:
    if kind == "regression":
        check_shapes(logits, labels)
        return F.mse_loss(logits, labels, reduction=reduction)
    if logits.dim() == 1:
        check_shapes(logits, labels)
        return F.binary_cross_entropy_with_logits(logits, labels, reduction=reduction)
    return F.cross_entropy(logits, labels.long(), reduction=reduction)


def symmetric_kl(a: Tensor, b: Tensor) -> Tensor:
    """Return KL(p‖q) + KL(q‖p) for each row of logits (n, C), as Σ (p − q)(log p − log q).

    Every term is non-negative; the sum of two separate KL calls cancels at 1e-6 and can go below zero.
    """
    log_p, log_q = F.log_softmax(a, dim=-1), F.log_softmax(b, dim=-1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=-1)


def symmetric_kl_binary(a: Tensor, b: Tensor) -> Tensor:
    """Return the same on Bernoulli(σ(logit)) for each logit: (σ(a) − σ(b))(a − b)."""
    return (torch.sigmoid(a) - torch.sigmoid(b)) * (a - b)


def divergence(kind: Kind, a: Tensor, b: Tensor) -> Tensor:
    """Return ℓ_s(a, b) for each example, (n,): symmetric KL (multilabel: summed over labels), or (a − b)² of scores."""
    check_shapes(a, b)
    if kind == "regression":
        return (a - b) ** 2
    if kind == "multilabel":
        return symmetric_kl_binary(a, b).sum(dim=-1)
    if a.dim() == 1:
        return symmetric_kl_binary(a, b)
    return symmetric_kl(a, b)

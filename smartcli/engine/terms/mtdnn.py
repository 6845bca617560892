"""The perturbation and losses of mt-dnn, which most published "SMART" code runs (`--smart-variant mtdnn`).

Its δ has |δ|∞ ≈ 1, about 1e5 times the paper's ε. Axes: T tokens, E embedding size, n examples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from smartcli.engine.terms.ascent import gradient_of, sentence_norm
from smartcli.engine.terms.losses import check_shapes
from smartcli.tasks import Kind

TINY = 1e-6


def two_logits(kind: Kind, logits: Tensor) -> Tensor:
    """Return the logits of one-logit outputs, (n,) or (n, C) of a multilabel task, as those of two classes: (0, z)."""
    apart = logits.dim() == 1 or kind == "multilabel"
    return torch.stack([torch.zeros_like(logits), logits], dim=-1) if apart else logits


def inner_divergence(kind: Kind, perturbed: Tensor, clean: Tensor) -> Tensor:
    """Return the sum over examples of mt-dnn's inner objective, a scalar.

    2 Σ p (r_p − r_y) with r = −log(1/(p + 1e-6) − 1 + 1e-6) held constant, p from `perturbed` and y from
    `clean`; for regression the summed squared error.
    """
    check_shapes(perturbed, clean)
    if kind == "regression":
        return ((perturbed - clean.detach()) ** 2).sum()
    p = F.softmax(two_logits(kind, perturbed), dim=-1)
    y = F.softmax(two_logits(kind, clean.detach()), dim=-1)
    r_p = -(1.0 / (p + TINY) - 1.0 + TINY).detach().log()
    r_y = -(1.0 / (y + TINY) - 1.0 + TINY).detach().log()
    return (p * (r_p - r_y) * 2.0).sum()


def outer_divergence(kind: Kind, perturbed: Tensor, clean: Tensor) -> Tensor:
    """Return KL + KL with each target detached, for each example (n,); for regression the squared difference."""
    check_shapes(perturbed, clean)
    if kind == "regression":
        return (perturbed - clean) ** 2
    log_p = F.log_softmax(two_logits(kind, perturbed), dim=-1)
    log_q = F.log_softmax(two_logits(kind, clean), dim=-1)
    forth = F.kl_div(log_p, log_q.detach(), log_target=True, reduction="none").sum(dim=-1)
    back = F.kl_div(log_q, log_p.detach(), log_target=True, reduction="none").sum(dim=-1)
    each = forth + back
    return each.sum(dim=-1) if kind == "multilabel" else each


def normalise(noise: Tensor, sentence: Tensor | None, sentences: int, norm: str) -> Tensor:
    """Return noise / (norm + 1e-6), per token (T,) by default or per sentence where `sentence` is given."""
    if sentence is None:
        size = noise.abs().amax(dim=1) if norm == "inf" else noise.norm(dim=1)
    else:
        size = sentence_norm(noise, sentence, sentences, norm)[sentence]
    return noise / (size[:, None] + TINY)


def find_perturbation(
    divergence_at: Callable[[Tensor], Tensor], start: Tensor, *, step_size: float, norm: str, steps: int
) -> tuple[Tensor, Tensor]:
    """Return δ (T, E) ← (δ + η·g)/(per-token norm + 1e-6), by the raw gradient, not projected; and whether it holds.

    Where a gradient is not finite that is False, and δ is 0: mt-dnn leaves the penalty out of such a step.
    """
    delta = start.detach()
    holds = torch.ones((), dtype=torch.bool, device=delta.device)
    for _ in range(steps):
        gradient = gradient_of(divergence_at, delta)
        holds = holds & torch.isfinite(gradient.norm())
        delta = normalise(delta + step_size * gradient, None, 0, norm)
    return torch.where(holds, delta, torch.zeros_like(delta)).detach(), holds

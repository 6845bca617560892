"""A task's loss where a teacher says what it thinks of each row: knowledge distillation.

Hinton, Vinyals & Dean 2015 (arXiv 1503.02531): L = α·ℓ(z, y) + (1 − α)·T²·KL(p_T ‖ q_T), with the student's q_T =
softmax(z/T) and the teacher's p_T ∝ p^(1/T), which is softmax of its logits over T. T² keeps the size of the gradient
whatever T is. KL differs from the paper's cross entropy by the teacher's entropy, which has no gradient, and is 0 where
both agree. One logit is a pair of classes; of several labels the sum over them is taken; a score has (s − t)², without
T. A row without a label (NaN) has the teacher's part alone, in full.

Axes: n examples, C classes. A batch's targets (n, L + K) hold the labels first, L = 1 or C columns, then the teacher's
probabilities, K = C columns, or its score, K = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from smartcli.config import Settings
from smartcli.tasks import Kind

TEMPERATURE, LABEL_SHARE = 2.0, 0.5
"""Where the options do not say."""
_TINY = 1e-30
"""Keeps rows of padding, whose probabilities are all 0, finite."""


@dataclass(frozen=True)
class Distilled:
    """How a teacher's word counts: `temperature` T, and `label_share` α, the labels' part of the loss."""

    temperature: float
    label_share: float

    @classmethod
    def of(cls, settings: Settings) -> Distilled | None:
        """Return how the teacher counts; None where there is none."""
        if settings.teacher is None:
            return None
        temperature = TEMPERATURE if settings.temperature is None else settings.temperature
        return cls(temperature, LABEL_SHARE if settings.label_share is None else settings.label_share)

    def split(self, kind: Kind, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return labels as `losses.task_loss` takes them, 0 where unknown; whether known (n,); the teacher's (n, K)."""
        width = targets.shape[1] // 2 if kind == "multilabel" else 1
        labels, teacher = targets[:, :width], targets[:, width:]
        known = (~torch.isnan(labels).any(dim=1)).to(targets.dtype)
        labels = torch.where(torch.isnan(labels), torch.zeros_like(labels), labels)
        return labels if kind == "multilabel" else labels[:, 0], known, teacher

    def label_weights(self, known: Tensor) -> Tensor:
        """Return what each row's loss against its label counts, (n,)."""
        return known * self.label_share

    def teacher_weights(self, known: Tensor) -> Tensor:
        """Return what each row's loss against the teacher counts, (n,)."""
        return 1.0 - self.label_weights(known)

    def loss(self, kind: Kind, logits: Tensor, teacher: Tensor) -> Tensor:
        """Return T²·KL(p_T ‖ q_T) of each row, (n,); of scores (s − t)².

        `logits` (n, C) or (n,), `teacher` (n, K) as in the module's axes.
        """
        teacher = teacher.to(logits.dtype)
        if kind == "regression":
            return (logits - teacher[:, 0]) ** 2
        heat = self.temperature
        if kind == "multilabel":
            # Each label is two classes of its own, without it and with it.
            shares = tempered(torch.stack([1.0 - teacher, teacher], dim=-1), heat)[..., 1]
            return heat**2 * _kl_binary(shares, logits / heat).sum(dim=-1)
        shares = tempered(teacher, heat)
        if logits.dim() == 1:
            return heat**2 * _kl_binary(shares[:, 1], logits / heat)
        log_q = F.log_softmax(logits / heat, dim=-1)
        return heat**2 * (torch.xlogy(shares, shares) - shares * log_q).sum(dim=-1)


def tempered(shares: Tensor, heat: float) -> Tensor:
    """Return probabilities (…, C) at a temperature: p^(1/T), normed."""
    # Over the largest, which so stays 1: at a low temperature all powers of smaller numbers would vanish.
    powers = (shares.clamp(min=0.0) / shares.amax(dim=-1, keepdim=True).clamp(min=_TINY)) ** (1.0 / heat)
    return powers / powers.sum(dim=-1, keepdim=True).clamp(min=_TINY)


def _kl_binary(shares: Tensor, logits: Tensor) -> Tensor:
    """Return KL of Bernoulli(shares) and Bernoulli(σ(logits)), each number alone."""
    cross = F.binary_cross_entropy_with_logits(logits, shares, reduction="none")
    return cross + torch.xlogy(shares, shares) + torch.xlogy(1.0 - shares, 1.0 - shares)

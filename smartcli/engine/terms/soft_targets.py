"""The loss of labels that are not taken as given: smoothed, or graded (label_smoothing.py, ordinal.py).

Axes: n examples, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from smartcli.config import Settings
from smartcli.engine.terms.label_smoothing import smoothed, smoothed_apart
from smartcli.engine.terms.ordinal import graded
from smartcli.tasks import GRADES, Kind


@dataclass(frozen=True)
class SoftTargets:
    """How a task's labels become targets."""

    smoothing: float = 0.0
    ordinal: float = 0.0
    """The sharpness of graded classes; 0: they have no order."""

    @classmethod
    def of(cls, settings: Settings, task: str, kind: Kind) -> SoftTargets | None:
        """Return how the labels of `task` become targets; None where they are taken as given."""
        ordinal = settings.ordinal[task] if kind == "classification" else 0.0
        smoothing = 0.0 if kind == "regression" else settings.label_smoothing[task]
        return cls(smoothing, ordinal) if smoothing > 0 or ordinal > 0 else None

    def loss(self, kind: Kind, logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the loss (n,) of each example; `logits` and `labels` as `losses.task_loss` takes them.

        Of a multilabel task `weights` (C) multiply the part of the labels that a row has.
        """
        if kind == "multilabel":
            targets = smoothed_apart(labels, self.smoothing).to(logits.dtype)
            return F.binary_cross_entropy_with_logits(logits, targets, reduction="none", pos_weight=weights).sum(dim=-1)
        if logits.dim() == 1:
            targets = smoothed_apart(labels, self.smoothing).to(logits.dtype)
            return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        targets = self._targets(labels, logits.shape[-1]).to(logits.dtype)
        return -(targets * F.log_softmax(logits, dim=-1)).sum(dim=-1)

    def _targets(self, labels: Tensor, classes: int) -> Tensor:
        if self.ordinal > 0 and classes >= GRADES:
            found = graded(labels, classes, self.ordinal)
        else:
            # Not F.one_hot, which reads the lowest label on the host.
            found = (labels[:, None] == torch.arange(classes, device=labels.device)).to(labels.dtype)
        return smoothed(found, self.smoothing) if self.smoothing > 0 else found

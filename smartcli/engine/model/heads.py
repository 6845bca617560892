"""Task heads, by kind and pair mode, never by a task's name.

Axes: n examples, D width, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smartcli.engine.streams import stream
from smartcli.tasks import Task

INIT_STD = 0.02
HALF = 0.5
"""From this probability on a multilabel row has a label."""


class Head(nn.Module):
    """Sentence vectors of one task in, logits (n, C), one logit (n,) or one score (n,) out; multilabel: C of them."""

    def __init__(self, task: Task, pair_mode: str, width: int) -> None:
        super().__init__()
        self.task = task
        self.mode = pair_mode if task.pair else "single"
        inputs = width * {"single": 1, "concat": 1, "separate": 2, "cosine": 3}[self.mode]
        outputs = task.classes if task.kind in ("classification", "multilabel") else 1
        if self.mode == "cosine" and task.kind == "binary":
            outputs = 2
        self.scalar = outputs == 1
        cosine_score = self.mode == "cosine" and task.kind == "regression"
        self.linear = None if cosine_score else nn.Linear(inputs, outputs)

    @torch.no_grad()
    def start(self, seed: int, mean: float) -> None:
        """Draw fresh weights from the stream of this task's head; a regression's bias is the train mean."""
        if self.linear is None:
            return
        self.linear.weight.normal_(0.0, INIT_STD, generator=stream(seed, "head", self.task.name))
        self.linear.bias.fill_(mean if self.task.kind == "regression" else 0.0)

    def forward(self, sides: Sequence[Tensor]) -> Tensor:
        """Return logits from one (n, D) tensor, or two for pairs in separate and cosine mode."""
        if self.linear is None:
            assert self.task.range is not None
            low, high = self.task.range
            return low + (F.cosine_similarity(sides[0], sides[1], dim=-1) + 1.0) / 2.0 * (high - low)
        if self.mode == "separate":
            features = torch.cat([sides[0], sides[1]], dim=-1)
        elif self.mode == "cosine":
            features = torch.cat([sides[0], sides[1], (sides[0] - sides[1]).abs()], dim=-1)
        else:
            features = sides[0]
        out: Tensor = self.linear(features)
        return out.squeeze(-1) if self.scalar else out


def decide(task: Task, logits: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return predictions (n,) as floats (class number or score), and class probabilities (n, C) or None.

    Of a multilabel task predictions are (n, C), 1 for each label whose probability is at least one half.
    """
    if task.kind == "regression":
        return logits, None
    if task.kind == "multilabel":
        shares = torch.sigmoid(logits)
        return (shares >= HALF).to(logits.dtype), shares
    if logits.dim() == 1:
        positive = torch.sigmoid(logits)
        shares = torch.stack([1.0 - positive, positive], dim=-1)
    else:
        shares = torch.softmax(logits, dim=-1)
    return shares.argmax(dim=-1).to(logits.dtype), shares


def joins_pairs(pair_mode: str) -> bool:
    """Whether the two sentences of a pair become one input."""
    return pair_mode == "concat"

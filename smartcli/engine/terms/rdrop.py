"""R-Drop: two passes with different dropout masks shall agree, and both be right.

Liang et al. 2021 (arXiv 2106.14448), equations 2 to 4: with P₁ and P₂ from two passes over the same batch,
L = −log P₁(y) − log P₂(y) + α·½·(KL(P₁‖P₂) + KL(P₂‖P₁)). The first −log P₁(y) is the task's own loss; this term adds
the rest: mean ℓ(f₂(x), y) + α/2 · mean ℓ_s(f₁(x), f₂(x)). ℓ_s is the divergence that SMART measures too: of scores
their squared difference, of several labels the sum over them. SMART asks that the prediction stays under noise on the
words; R-Drop that it stays under another dropout mask.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from smartcli.config import Settings
from smartcli.engine.model.dropout import fresh_dropout
from smartcli.engine.streams import Streams
from smartcli.engine.terms.base import CleanPass, Context, Measured, Term
from smartcli.engine.terms.losses import divergence


class RDrop(Term):
    """The loss of a second pass with masks of its own, and its divergence from the clean pass, for every task."""

    name = method = "rdrop"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.alpha = context.settings.rdrop

    @classmethod
    def active(cls, settings: Settings, tasks: Sequence[str]) -> tuple[str, ...]:
        return tuple(tasks) if settings.rdrop > 0 else ()

    def measure(self, clean: CleanPass, streams: Streams, *, probe: bool, check: bool) -> Measured:
        given, batch = clean.given, clean.given.batch
        second = self.model(clean.words, batch, fresh_dropout(streams[self.name], batch))
        out = Measured()
        apart: dict[str, Tensor] = {}
        for task, logits in second.items():
            apart[task] = batch.mean(divergence(self.kind(task), clean.logits[task], logits), task)
            out.values[task] = self.loss(task, logits, given) + self.alpha / 2 * apart[task]
        if probe:
            out.logged["rdrop_divergence"] = {task: value.detach() for task, value in apart.items()}
        return out

"""Multi-sample dropout: each head reads the sentence under several dropout masks, at the cost of the head alone.

Inoue 2019 (arXiv 1905.09788): L = 1/N · Σ_i ℓ(head(D_i·v), y) with masks D_1 … D_N on the encoder's vector v. The clean
pass has the first; this term has the mean of the other N − 1, weighted (N − 1)/N, and the task loss is weighted 1/N.
SMART, FGM and R-Drop go on reading one sample. Axes: n examples, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from smartcli.config import Settings
from smartcli.engine.model.dropout import fresh_dropout
from smartcli.engine.streams import Streams
from smartcli.engine.terms.base import CleanPass, Context, Measured, Term


class MultiDropout(Term):
    """The mean loss of every sample but the clean pass's own, for every task."""

    name = "multi_dropout"
    reads_vectors = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.samples = context.settings.dropout_samples

    @classmethod
    def active(cls, settings: Settings, tasks: Sequence[str]) -> tuple[str, ...]:
        return tuple(tasks) if settings.dropout_samples > 1 else ()

    def weight(self, task: str) -> float:
        return (self.samples - 1) / self.samples

    def measure(self, clean: CleanPass, streams: Streams, *, probe: bool, check: bool) -> Measured:
        given = clean.given
        dropout = fresh_dropout(streams[self.name], given.batch)
        out = Measured()
        for task, sides in clean.vectors.items():
            losses = [
                self.loss(task, self.model.read_out(task, sides, dropout, f"head {sample}"), given)
                for sample in range(1, self.samples)
            ]
            out.values[task] = torch.stack(losses).mean()
        return out

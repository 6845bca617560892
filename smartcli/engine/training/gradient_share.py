"""Each task's share of the gradient: the norm of its part, read off a gradient that every step has anyway.

A sentence belongs to one task, so the gradient of the whole loss by a sentence's word vectors is that of its task's
part alone, λ·R_s and all other terms included: G_i = ‖∂L/∂x_i‖ over the word vectors x_i of task i's sentences. No
backward pass is added. All shared weights lie above these vectors; on MiniLM and the course's data the shares by G_i
correlate with those by the norms over all shared weights at .996, and at .96 by the last layer's weights alone.

Squares are what is measured: those of several processes, each with some sentences, add up. Axes: T tokens, S
sentences, E embedding size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from smartcli.engine.model.packing import PackedBatch
from smartcli.engine.terms.ascent import sum_by_sentence


@torch.no_grad()
def squares_by_task(gradient: Tensor, batch: PackedBatch) -> dict[str, Tensor]:
    """Return G_i² of each task of a batch, scalars in float64, from the gradient (T, E) by its word vectors."""
    # In float64, since the square of a small gradient underflows in fp32.
    by_token = gradient.double().square().sum(dim=1)
    by_sentence = sum_by_sentence(by_token, batch.sentence, batch.sentences)
    out = {}
    for task, sides in batch.outputs.items():
        of_examples = torch.stack([by_sentence.index_select(0, side) for side in sides]).sum(dim=0)
        out[task] = batch.only_present(of_examples, task, torch.zeros_like(of_examples)).sum()
    return out


def norms_of(squares: Mapping[str, float]) -> dict[str, float]:
    """Return G_i from G_i²; what is not finite stays so."""
    return {task: math.sqrt(value) if value >= 0 else math.nan for task, value in squares.items()}


def shares_of(norms: Mapping[str, float]) -> dict[str, float]:
    """Return G_i / Σ_j G_j from norms, or from sums of norms over steps; empty where they are all 0."""
    total = sum(norms.values())
    return {task: norm / total for task, norm in norms.items()} if total > 0 else {}

"""SMART's ascent direction where the step runs in bf16: by derivatives, since δ is far below bf16's rounding.

With b = f(x) and J its derivative by the word vectors, ∇_δ Σ ℓ_s(f(x + δ), b) = Jᵀ ∇_a ℓ_s(a, b) at a = b + Jδ,
up to terms of relative size |δ|. Neither product subtracts two close outputs, so bf16's few digits suffice; the
exact form in fp32 needs three fp32 passes more. Axes: T tokens, E embedding size, n examples, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import forward_ad

from smartcli.config import Settings
from smartcli.engine.model.dropout import Dropout
from smartcli.engine.model.multitask import MultiTaskModel
from smartcli.engine.model.packing import PackedBatch
from smartcli.engine.terms.ascent import gradient_of, sentence_norm, sum_by_sentence
from smartcli.engine.terms.losses import divergence
from smartcli.tasks import Kind

LARGEST = 1e-3
"""Largest δ taken as small. On MiniLM at σ = 1e-5 the cosine to the direction in float64 is .998 or more for every
sentence. One whose single output the start hardly moves may climb the other side, which is as steep: cosine −1."""


def is_small(settings: Settings) -> bool:
    """Return whether every point of the ascent lies so near x that the outputs are linear there."""
    radius = settings.epsilon if settings.ascent_steps > 1 else 0.0
    return settings.smart_variant == "paper" and max(settings.sigma, radius) <= LARGEST


def outputs_and_change(
    model: MultiTaskModel,
    words: Tensor,
    delta: Tensor,
    batch: PackedBatch,
    dropout: Dropout,
    keep: dict[str, list[Tensor]] | None = None,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return f(x), and J(x)·δ by forward-mode differentiation in the same pass, for each task (n, C) or (n,).

    f(x) has the graph, and the bits, of a pass without δ; J(x)·δ has no graph. `keep` as in the model's own pass.
    """
    with forward_ad.dual_level():
        moving = forward_ad.make_dual(words, delta)  # type: ignore[no-untyped-call]
        pairs = {t: forward_ad.unpack_dual(out) for t, out in model(moving, batch, dropout, keep).items()}  # type: ignore[no-untyped-call]
        outputs = {task: value for task, (value, _) in pairs.items()}
        for task, sides in (keep or {}).items():
            keep[task] = [forward_ad.unpack_dual(side)[0] for side in sides]  # type: ignore[no-untyped-call, index]
        changes = {t: torch.zeros_like(value) if moved is None else moved for t, (value, moved) in pairs.items()}
        return outputs, {task: change.detach() for task, change in changes.items()}


def output_change(
    model: MultiTaskModel, words: Tensor, delta: Tensor, batch: PackedBatch, dropout: Dropout
) -> dict[str, Tensor]:
    """Return J(x)·δ for each task, (n, C) or (n,), without a graph of either."""
    with torch.no_grad():
        return outputs_and_change(model, words.detach(), delta, batch, dropout)[1]


def slope(kind: Kind, clean: Tensor, change: Tensor) -> Tensor:
    """Return ∇_a Σ ℓ_s(a, b) at a = b + `change`, in float64 inside: both terms may be 1e-6 of b."""
    base = clean.double()
    return gradient_of(lambda at: divergence(kind, at, base).sum(), base + change.double()).to(clean.dtype)


@dataclass(frozen=True)
class Gradient:
    """∇_δ Σ ℓ_s over a batch, as a function of δ (T, E); goes back through the clean pass's own graph."""

    model: MultiTaskModel
    batch: PackedBatch
    words: Tensor
    """(T, E) what the clean pass was given; it must require a gradient."""
    logits: Mapping[str, Tensor]
    """The clean pass's outputs, with their graph."""
    dropout: Dropout
    """The clean pass's masks again."""

    def __call__(self, delta: Tensor) -> Tensor:
        return self.of(output_change(self.model, self.words, delta, self.batch, self.dropout))

    def of(self, changes: Mapping[str, Tensor]) -> Tensor:
        """Return the gradient at a δ of which `changes` is J(x)·δ."""
        kinds = {task: self.model.tasks.get(task).kind for task in changes}
        slopes = [slope(kinds[task], self.logits[task].detach(), change) for task, change in changes.items()]
        slopes = [
            self.batch.only_present(each, task, torch.zeros_like(each))
            for task, each in zip(changes, slopes, strict=True)
        ]
        outputs = [self.logits[task] for task in changes]
        (gradient,) = torch.autograd.grad(outputs, self.words, slopes, retain_graph=True)
        return gradient


def direction_cosine(a: Tensor, b: Tensor, sentence: Tensor, sentences: int) -> Tensor:
    """Return the cosine between each sentence's rows of `a` and of `b` (T, E), (S,); `sentence` (T,) numbers them."""
    a, b = a.double(), b.double()
    lengths = sentence_norm(a, sentence, sentences, "2") * sentence_norm(b, sentence, sentences, "2")
    products = sum_by_sentence((a * b).sum(dim=1), sentence, sentences)
    return products / lengths.clamp_min(torch.finfo(lengths.dtype).tiny)

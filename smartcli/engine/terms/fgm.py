"""FGM: adversarial training by one step against the label, on the word embeddings.

Miyato et al. 2017 (arXiv 1605.07725), equations 3 and 4: with g = ∇_x ℓ(f(x), y) and r = ε·g/‖g‖₂ per sentence,
L_adv = mean ℓ(f(x + r), y), r held constant, is added to each task's loss. SMART's δ moves the prediction whatever the
label says; r raises the loss. Axes: T tokens, S sentences, E embedding size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from smartcli.config import Settings
from smartcli.engine.model.dropout import ReplayDropout
from smartcli.engine.model.packing import PackedBatch
from smartcli.engine.streams import Streams
from smartcli.engine.terms.ascent import sentence_norm, without_parameter_gradients
from smartcli.engine.terms.base import CleanPass, Context, Measured, Term


def adversarial_step(gradient: Tensor, sentence: Tensor, sentences: int, radius: float) -> Tensor:
    """Return r = ε·g/‖g‖₂ (T, E), a sentence of g (T, E) at a time; `sentence` (T,) numbers them. r is 0 where g is."""
    size = sentence_norm(gradient, sentence, sentences, "2")
    safe = torch.where(size > 0, size, torch.ones_like(size))
    # Divided first: ε·g underflows where g is tiny, g/‖g‖ does not.
    return radius * (gradient / safe[sentence][:, None])


class Fgm(Term):
    """The loss at x + r with the clean pass's masks, for every task."""

    name = method = "fgm"
    replays = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.radius = context.settings.fgm

    @classmethod
    def active(cls, settings: Settings, tasks: Sequence[str]) -> tuple[str, ...]:
        return tuple(tasks) if settings.fgm > 0 else ()

    def measure(self, clean: CleanPass, streams: Streams, *, probe: bool, check: bool) -> Measured:
        batch = clean.given.batch
        assert clean.dropout.masks is not None
        replay = ReplayDropout(clean.dropout.masks)
        gradient = self._gradient(clean, batch, replay).detach()
        step = adversarial_step(gradient, batch.sentence, batch.sentences, self.radius)
        return Measured(self._losses(clean, self.model(clean.words + step, batch, replay)))

    def _gradient(self, clean: CleanPass, batch: PackedBatch, replay: ReplayDropout) -> Tensor:
        """Return ∇_x of the summed losses (T, E); a sentence's part has the direction of its own loss alone."""
        words, logits = clean.words, clean.logits
        if not words.requires_grad:
            # A frozen word table: the clean pass has no graph down to the words, so a pass of its own has.
            words = words.detach().requires_grad_(True)
            with without_parameter_gradients(self.model):
                logits = self.model(words, batch, replay)
        total = torch.stack(list(self._losses(clean, logits).values())).sum()
        (gradient,) = torch.autograd.grad(total, words, retain_graph=True)
        return gradient

    def _losses(self, clean: CleanPass, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {task: self.loss(task, logits[task], clean.given) for task in logits}

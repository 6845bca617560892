"""SMART's smoothness penalty R_s = mean ℓ_s(f(x + δ), f(x)) with its perturbation δ (Jiang et al. 2020, section 3.1).

δ is found by one of three ascents: the paper's, exactly in fp32; the same by derivatives where a step runs in bf16; or
mt-dnn's. Axes: T tokens, S sentences, E embedding size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from smartcli.config import PerTask, Settings
from smartcli.engine.model.distinct_rows import pick
from smartcli.engine.model.dropout import Dropout, FreshDropout, ReplayDropout, no_dropout
from smartcli.engine.model.packing import PackedBatch
from smartcli.engine.streams import Streams
from smartcli.engine.terms import ascent, ascent_by_derivatives, mtdnn
from smartcli.engine.terms.ascent import Ball, without_parameter_gradients
from smartcli.engine.terms.base import (
    CleanPass,
    Context,
    Measured,
    Request,
    Term,
    TrainingBatch,
    without_autocast,
)
from smartcli.engine.terms.losses import divergence
from smartcli.tasks import Kind


class Variant(Protocol):
    """What the paper and mt-dnn do differently: two divergences, and the ascent between them."""

    may_fail: bool
    """Whether the ascent may find no perturbation."""

    def inner(self, kind: Kind, perturbed: Tensor, target: Tensor) -> Tensor:
        """Return what the ascent climbs, summed over examples, a scalar."""
        ...

    def outer(self, kind: Kind, perturbed: Tensor, clean: Tensor) -> Tensor:
        """Return what R_s is the mean of, for each example (n,)."""
        ...

    def climb(self, divergence_at: Callable[[Tensor], Tensor], start: Tensor, batch: PackedBatch) -> Tensor | None:
        """Return δ (T, E) from `start`, or None where there is none."""
        ...


@dataclass(frozen=True)
class Paper:
    """The SMART paper's: symmetric KL both times, projected ascent with per-sentence norms."""

    ball: Ball
    steps: int
    may_fail = False

    def inner(self, kind: Kind, perturbed: Tensor, target: Tensor) -> Tensor:
        return divergence(kind, perturbed, target).sum()

    def outer(self, kind: Kind, perturbed: Tensor, clean: Tensor) -> Tensor:
        return divergence(kind, perturbed, clean)

    def climb(self, divergence_at: Callable[[Tensor], Tensor], start: Tensor, batch: PackedBatch) -> Tensor | None:
        return self.climb_by(partial(ascent.gradient_of, divergence_at), start, batch)

    def climb_by(
        self,
        gradient_at: Callable[[Tensor], Tensor],
        start: Tensor,
        batch: PackedBatch,
        first: Tensor | None = None,
    ) -> Tensor:
        """Return δ by a gradient that is given as a function; `first` is its value at `start` where that is known."""
        return ascent.find_perturbation(
            gradient_at, start, batch.sentence, batch.sentences, self.ball, self.steps, first
        )


@dataclass(frozen=True)
class MtDnn:
    """mt-dnn's, which most published code runs (mtdnn.py)."""

    step_size: float
    norm: str
    steps: int
    may_fail = True

    def inner(self, kind: Kind, perturbed: Tensor, target: Tensor) -> Tensor:
        return mtdnn.inner_divergence(kind, perturbed, target)

    def outer(self, kind: Kind, perturbed: Tensor, clean: Tensor) -> Tensor:
        return mtdnn.outer_divergence(kind, perturbed, clean)

    def climb(self, divergence_at: Callable[[Tensor], Tensor], start: Tensor, batch: PackedBatch) -> Tensor | None:
        return mtdnn.find_perturbation(divergence_at, start, step_size=self.step_size, norm=self.norm, steps=self.steps)


@dataclass(frozen=True)
class SmoothnessConfig:
    """What the term takes from the settings."""

    weights: PerTask[float]
    variant: Variant
    sigma: float
    dropout: str
    """Dropout in R_s: on, off, or same."""
    linear: bool
    """Whether the ascent may go by derivatives."""
    one_pass: bool
    """Whether the clean pass may carry the ascent's first derivative along."""

    @classmethod
    def of(cls, settings: Settings, *, bf16: bool) -> SmoothnessConfig:
        steps = settings.ascent_steps
        variant: Variant = (
            MtDnn(settings.step_size, settings.norm, steps)
            if settings.smart_variant == "mtdnn"
            else Paper(Ball.of(settings), steps)
        )
        linear = bf16 and ascent_by_derivatives.is_small(settings)
        # A compiled function takes no tangent: there the ascent makes a pass of its own for it.
        return cls(settings.lam, variant, settings.sigma, settings.smart_dropout, linear, not settings.compile)


class Smoothness(Term):
    """λ·R_s, over one sub-batch of the tasks with λ > 0."""

    name, method = "r_s", "smart"
    replays = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.config = SmoothnessConfig.of(context.settings, bf16=context.bf16)
        self.bf16 = context.bf16

    @classmethod
    def active(cls, settings: Settings, tasks: Sequence[str]) -> tuple[str, ...]:
        return tuple(task for task in tasks if settings.lam[task] > 0)

    def weight(self, task: str) -> float:
        return self.config.weights[task]

    def request(self, given: TrainingBatch, words: Tensor, streams: Streams) -> Request | None:
        """Return the noise at which the ascent starts."""
        batch = given.of_term[self.name].batch

        def draw(tokens: int) -> Tensor:
            like = words if tokens == words.shape[0] else words.new_empty(tokens, words.shape[1])
            return ascent.start_noise(like, self.config.sigma, streams["noise"])

        linear = self._goes_by_derivatives(given, words)
        return Request(batch.by_token(draw), linear and self.config.one_pass)

    def _goes_by_derivatives(self, given: TrainingBatch, words: Tensor) -> bool:
        """Return whether the ascent goes back through the clean pass's graph, which holds all tasks alike."""
        whole = len(given.of_term[self.name].batch.outputs) == len(given.batch.outputs)
        return self.config.linear and whole and words.requires_grad

    def measure(self, clean: CleanPass, streams: Streams, *, probe: bool, check: bool) -> Measured:
        part = clean.given.of_term[self.name]
        batch, tasks, logits = part.batch, tuple(part.batch.outputs), clean.logits
        selected = len(tasks) < len(logits)
        words = pick(clean.words, part.tokens) if selected else clean.words
        assert clean.dropout.masks is not None
        replay = ReplayDropout(clean.dropout.masks, part.rows if selected else None)
        out = Measured()
        delta = self._ascend(out, clean, batch, words, replay, check=check)
        if delta is None:
            out.skipped = True
            return out
        perturbed = self.model(words + delta, batch, self._outer_dropout(replay, streams["smart dropout"], batch))
        for task in tasks:
            values = self.config.variant.outer(self.kind(task), perturbed[task], logits[task])
            out.values[task] = batch.mean(values, task)
        if probe:
            out.logged["r_s_zero"] = self._at_zero(clean, batch, words, replay, streams["probe"])
        return out

    def _at_zero(
        self, clean: CleanPass, batch: PackedBatch, words: Tensor, replay: ReplayDropout, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return R_s at δ = 0 by task: what dropout alone contributes."""
        with torch.no_grad():
            at_zero = self.model(words.detach(), batch, self._outer_dropout(replay, generator, batch))
        return {
            task: batch.mean(
                self.config.variant.outer(self.kind(task), at_zero[task], clean.logits[task].detach()), task
            ).detach()
            for task in batch.outputs
        }

    def _outer_dropout(self, replay: ReplayDropout, generator: torch.Generator, batch: PackedBatch) -> Dropout:
        if self.config.dropout == "on":
            return FreshDropout(generator, part=batch.part)
        return replay if self.config.dropout == "same" else no_dropout

    def _ascend(
        self,
        out: Measured,
        clean: CleanPass,
        batch: PackedBatch,
        words: Tensor,
        replay: ReplayDropout,
        *,
        check: bool,
    ) -> Tensor | None:
        """Return δ, or None where the step goes without the penalty."""
        if self._goes_by_derivatives(clean.given, clean.words):
            return self._ascend_by_derivatives(out, clean, batch, replay, check=check)
        # The ascent needs like against like: the clean pass's masks, and fp32 on both sides, since bf16 rounds more
        # than δ moves.
        with without_autocast(words):
            climbs = self._divergence(batch, words.detach(), clean.logits, replay)
            found = self.config.variant.climb(climbs, clean.requests[self.name].direction, batch)
        # A penalty that one process leaves out all leave out, since it is a mean over the whole.
        if self.config.variant.may_fail and batch.any(found is None):
            return None
        return found

    def _ascend_by_derivatives(
        self, out: Measured, clean: CleanPass, batch: PackedBatch, replay: ReplayDropout, *, check: bool
    ) -> Tensor:
        """Return δ from an ascent by derivatives in bf16; with `check` its first direction is compared with fp32's."""
        words, logits, start = clean.words, clean.logits, clean.requests[self.name].direction
        gradient_at = ascent_by_derivatives.Gradient(self.model, batch, words, logits, replay)
        change = clean.changes.get(self.name)
        first = gradient_at(start) if change is None else gradient_at.of(change)
        if check:
            with without_autocast(words):
                exact = ascent.gradient_of(self._divergence(batch, words.detach(), logits, replay), start)
            whole = None if batch.part is None else batch.part.sizes["sentence"]
            cosine = ascent_by_derivatives.direction_cosine(first, exact, batch.sentence, batch.sentences, whole)
            out.scalars["ascent_cosine"] = cosine
        assert isinstance(self.config.variant, Paper)
        return self.config.variant.climb_by(gradient_at, start, batch, first)

    def _divergence(
        self, batch: PackedBatch, words: Tensor, logits: Mapping[str, Tensor], replay: ReplayDropout
    ) -> Callable[[Tensor], Tensor]:
        """Return the scalar of δ that the ascent climbs: f(x + δ) against f(x), both in fp32, with the same masks."""
        tasks = tuple(batch.outputs)
        target = {task: logits[task].detach() for task in tasks}
        if self.bf16:
            # bf16 rounding is larger than the effect of δ, so the target must be in fp32 as well.
            with torch.no_grad():
                target = self.model(words, batch, replay)

        def divergence_at(delta: Tensor) -> Tensor:
            with without_parameter_gradients(self.model):
                perturbed = self.model(words + delta, batch, replay)
            first, *rest = (self.config.variant.inner(self.kind(t), perturbed[t], target[t]) for t in tasks)
            return sum(rest, first)

        return divergence_at

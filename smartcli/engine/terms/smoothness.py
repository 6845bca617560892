"""SMART's smoothness penalty R_s = mean ℓ_s(f(x + δ), f(x)) with its perturbation δ (Jiang et al. 2020, section 3.1).

δ is found by one of three ascents: the paper's, exactly in fp32; the same by derivatives where a step runs in bf16; or
mt-dnn's. Axes: T tokens, S sentences, E embedding size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from smartcli.config import PerTask, Settings
from smartcli.engine.model.distinct_rows import pick
from smartcli.engine.model.dropout import Dropout, ReplayDropout, fresh_dropout, no_dropout
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
    in_fp32,
)
from smartcli.engine.terms.losses import divergence
from smartcli.tasks import Kind


class Found(NamedTuple):
    """δ (T, E), and where an ascent may find none whether it did, a scalar; δ is 0 where not."""

    delta: Tensor
    holds: Tensor | None = None


class Variant(Protocol):
    """What the paper and mt-dnn do differently: two divergences, and the ascent between them."""

    def inner(self, kind: Kind, perturbed: Tensor, target: Tensor) -> Tensor:
        """Return what the ascent climbs, summed over examples, a scalar."""
        ...

    def outer(self, kind: Kind, perturbed: Tensor, clean: Tensor) -> Tensor:
        """Return what R_s is the mean of, for each example (n,)."""
        ...

    def climb(self, divergence_at: Callable[[Tensor], Tensor], start: Tensor, batch: PackedBatch) -> Found:
        """Return δ (T, E) from `start`."""
        ...


@dataclass(frozen=True)
class Paper:
    """The SMART paper's: symmetric KL both times, projected ascent with per-sentence norms."""

    ball: Ball
    steps: int

    def inner(self, kind: Kind, perturbed: Tensor, target: Tensor) -> Tensor:
        return divergence(kind, perturbed, target).sum()

    def outer(self, kind: Kind, perturbed: Tensor, clean: Tensor) -> Tensor:
        return divergence(kind, perturbed, clean)

    def climb(self, divergence_at: Callable[[Tensor], Tensor], start: Tensor, batch: PackedBatch) -> Found:
        return Found(self.climb_by(partial(ascent.gradient_of, divergence_at), start, batch))

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

    def inner(self, kind: Kind, perturbed: Tensor, target: Tensor) -> Tensor:
        return mtdnn.inner_divergence(kind, perturbed, target)

    def outer(self, kind: Kind, perturbed: Tensor, clean: Tensor) -> Tensor:
        return mtdnn.outer_divergence(kind, perturbed, clean)

    def climb(self, divergence_at: Callable[[Tensor], Tensor], start: Tensor, batch: PackedBatch) -> Found:
        delta, holds = mtdnn.find_perturbation(
            divergence_at, start, step_size=self.step_size, norm=self.norm, steps=self.steps
        )
        return Found(delta, holds)


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
    def of(cls, settings: Settings, *, rounded: bool) -> SmoothnessConfig:
        steps = settings.ascent_steps
        variant: Variant = (
            MtDnn(settings.step_size, settings.norm, steps)
            if settings.smart_variant == "mtdnn"
            else Paper(Ball.of(settings), steps)
        )
        linear = rounded and ascent_by_derivatives.is_small(settings)
        # A compiled function takes no tangent: there the ascent makes a pass of its own for it.
        return cls(settings.lam, variant, settings.sigma, settings.smart_dropout, linear, not settings.compile)


class Smoothness(Term):
    """λ·R_s, over one sub-batch of the tasks with λ > 0."""

    name, method = "r_s", "smart"
    replays = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.config = SmoothnessConfig.of(context.settings, rounded=context.rounded)
        self.rounded = context.rounded

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
        delta, holds = self._ascend(out, clean, batch, words, replay, check=check)
        if holds is not None and batch.may_read_values:
            # A penalty that one process leaves out all leave out, since it is a mean over the whole.
            if batch.any(not bool(holds)):
                out.skipped = True
                return out
            holds = None
        perturbed = self.model(words + delta, batch, self._outer_dropout(replay, streams["smart dropout"], batch))
        for task in tasks:
            values = self.config.variant.outer(self.kind(task), perturbed[task], logits[task])
            value = batch.mean(values, task)
            out.values[task] = value if holds is None else value * holds
        if holds is not None:
            out.skipped = ~holds
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
            return fresh_dropout(generator, batch)
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
    ) -> Found:
        """Return δ, and whether there is one where that is open."""
        if self._goes_by_derivatives(clean.given, clean.words):
            return Found(self._ascend_by_derivatives(out, clean, batch, replay, check=check))
        # The ascent needs like against like: the clean pass's masks, and fp32 on both sides, since bf16 rounds more
        # than δ moves.
        with in_fp32(words):
            climbs = self._divergence(batch, words.detach(), clean.logits, replay)
            return self.config.variant.climb(climbs, clean.requests[self.name].direction, batch)

    def _ascend_by_derivatives(
        self, out: Measured, clean: CleanPass, batch: PackedBatch, replay: ReplayDropout, *, check: bool
    ) -> Tensor:
        """Return δ from an ascent by derivatives in bf16; with `check` its first direction is compared with fp32's."""
        words, logits, start = clean.words, clean.logits, clean.requests[self.name].direction
        gradient_at = ascent_by_derivatives.Gradient(self.model, batch, words, logits, replay)
        change = clean.changes.get(self.name)
        first = gradient_at(start) if change is None else gradient_at.of(change)
        if check:
            with in_fp32(words):
                exact = ascent.gradient_of(self._divergence(batch, words.detach(), logits, replay), start)
            cosines = ascent_by_derivatives.direction_cosine(first, exact, batch.sentence, batch.sentences)
            out.scalars["ascent_cosine"] = batch.mean_of_sentences(cosines)
        assert isinstance(self.config.variant, Paper)
        return self.config.variant.climb_by(gradient_at, start, batch, first)

    def _divergence(
        self, batch: PackedBatch, words: Tensor, logits: Mapping[str, Tensor], replay: ReplayDropout
    ) -> Callable[[Tensor], Tensor]:
        """Return the scalar of δ that the ascent climbs: f(x + δ) against f(x), both in fp32, with the same masks."""
        tasks = tuple(batch.outputs)
        target = {task: logits[task].detach() for task in tasks}
        if self.rounded:
            # bf16 rounding is larger than the effect of δ, so the target must be in fp32 as well.
            with torch.no_grad():
                target = self.model(words, batch, replay)

        def divergence_at(delta: Tensor) -> Tensor:
            with without_parameter_gradients(self.model):
                perturbed = self.model(words + delta, batch, replay)
            there = {task: batch.only_present(perturbed[task], task, target[task]) for task in tasks}
            first, *rest = (self.config.variant.inner(self.kind(t), there[t], target[t]) for t in tasks)
            return sum(rest, first)

        return divergence_at

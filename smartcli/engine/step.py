"""The losses of one update: task losses, SMART's R_s and Bregman's D over one packed batch.

The total is Σ_t w_t·[ℓ_t + λ_t·R_t + μ_t·D_t]. Axes: T tokens, S sentences, E embedding size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from smartcli.config import Settings
from smartcli.engine import linear_ascent, mtdnn, smart
from smartcli.engine.bregman import Teacher
from smartcli.engine.distributed import ALONE, Processes
from smartcli.engine.dropout import Dropout, FreshDropout, ReplayDropout, no_dropout
from smartcli.engine.gradients import without_parameter_gradients
from smartcli.engine.losses import divergence, mean, task_loss
from smartcli.engine.model import MultiTaskModel
from smartcli.engine.packing import PackedBatch, Selection
from smartcli.engine.rows import pick
from smartcli.engine.share import Share
from smartcli.engine.streams import Streams
from smartcli.tasks import Kind


@dataclass(frozen=True)
class Example:
    """One packed batch, the labels (n,) of each task, and the sub-batches of the regularised tasks."""

    batch: PackedBatch
    labels: Mapping[str, Tensor]
    smart: Selection | None
    """The tasks with λ > 0; None where there are none."""
    bregman: Selection | None
    """The tasks with μ > 0; None where there are none."""
    share: Share | None = None
    """Where `batch` stands in the step's, of which the other processes have the rest; None where it is the whole."""
    smart_share: Share | None = None
    """The same for the sub-batch `smart`."""

    @property
    def vocabulary(self) -> Tensor:
        """(U,) the distinct ids of the whole, ascending."""
        return self.batch.vocabulary if self.share is None else self.share.vocabulary

    @property
    def tokens(self) -> int:
        """Tokens of the whole."""
        return self.batch.tokens if self.share is None else self.share.sizes["token"]

    def count(self, task: str) -> int | None:
        """Return what sums over the examples of `task` are divided by; None: by their number, it is the whole."""
        return None if self.share is None else self.share.count(task)


@dataclass
class Losses:
    """Scalars of one step by task; `total` is what is differentiated."""

    total: Tensor
    loss: dict[str, Tensor]
    r_s: dict[str, Tensor] = field(default_factory=dict)
    r_s_zero: dict[str, Tensor] = field(default_factory=dict)
    """R_s at δ = 0: what dropout alone contributes (logged steps only)."""
    ascent_cosine: Tensor | None = None
    """Cosine of the approximate ascent direction to the exact one (some logged steps in bf16 only)."""
    bregman: dict[str, Tensor] = field(default_factory=dict)
    skipped_penalty: bool = False
    """mtdnn's ascent met a non-finite gradient and left the penalty out."""


@dataclass(frozen=True)
class CleanPass:
    """f(x), and what SMART's ascent takes from that pass."""

    words: Tensor
    logits: Mapping[str, Tensor]
    dropout: FreshDropout
    start: Tensor | None
    """Where the ascent starts; None without SMART."""
    linear: bool = False
    """Whether the ascent goes by derivatives."""
    change: Mapping[str, Tensor] | None = None
    """J(x)·start for each task, where it was found in the same pass."""


@dataclass(frozen=True)
class Objective:
    """What a step computes: the model, its settings, teacher and precision."""

    model: MultiTaskModel
    settings: Settings
    teacher: Teacher | None = None
    bf16: bool = False
    processes: Processes = ALONE

    def losses(
        self, example: Example, words: Tensor, streams: Streams, *, probe: bool = False, check: bool = False
    ) -> Losses:
        """Return the losses of one step from looked-up word vectors `words` (T, E).

        With `probe` R_s at δ = 0 is measured too, without gradients and from its own generator; with `check` an
        approximate ascent direction is compared with the exact one. Autocast is opened here, per step: its weight
        cache would go stale around a loop. Of several processes each gets its part of every sum.
        """
        with torch.autocast(words.device.type, torch.bfloat16, enabled=self.bf16):
            dropout = FreshDropout(streams["dropout"], record=example.smart is not None, share=example.share)
            clean = self._clean(example, words, dropout, streams)
            logits = clean.logits
            loss = {
                t: task_loss(self._kind(t), logits[t], example.labels[t], example.count(t))
                for t in example.batch.outputs
            }
            total = sum_losses([self.model.tasks.get(t).weight * value for t, value in loss.items()])
            out = Losses(total, loss)
            if example.smart is not None:
                self._add_smoothness(out, example, example.smart, clean, streams, probe=probe, check=check)
            if example.bregman is not None:
                self._add_bregman(out, example, example.bregman, logits)
        return out

    def _kind(self, task: str) -> Kind:
        return self.model.tasks.get(task).kind

    def _clean(self, example: Example, words: Tensor, dropout: FreshDropout, streams: Streams) -> CleanPass:
        start = None if example.smart is None else self._start(example, words, streams)
        linear = start is not None and self._linear(example, words)
        # A compiled function takes no tangent: there the ascent makes a pass of its own for it.
        if start is None or not linear or self.settings.compile:
            return CleanPass(words, self.model(words, example.batch, dropout), dropout, start, linear)
        logits, change = linear_ascent.outputs_and_change(self.model, words, start, example.batch, dropout)
        return CleanPass(words, logits, dropout, start, linear, change)

    def _start(self, example: Example, words: Tensor, streams: Streams) -> Tensor:
        """Return the noise at which the ascent starts, (T', E) for the tokens of the tasks with λ > 0."""
        assert example.smart is not None
        share = example.smart_share
        tokens = example.smart.batch.tokens if share is None else share.sizes["token"]
        like = words if tokens == words.shape[0] else words.new_empty(tokens, words.shape[1])
        start = smart.start_noise(like, self.settings.sigma, streams["noise"])
        return start if share is None else start.index_select(0, share.rows["token"])

    def _linear(self, example: Example, words: Tensor) -> bool:
        """Return whether the ascent may go by derivatives through the clean pass's graph."""
        assert example.smart is not None
        whole = len(example.smart.batch.outputs) == len(example.batch.outputs)
        return self.bf16 and whole and words.requires_grad and linear_ascent.is_small(self.settings)

    def _add_smoothness(
        self,
        out: Losses,
        example: Example,
        part: Selection,
        clean: CleanPass,
        streams: Streams,
        *,
        probe: bool,
        check: bool,
    ) -> None:
        batch, tasks, share, logits = part.batch, tuple(part.batch.outputs), example.smart_share, clean.logits
        words = clean.words if len(tasks) == len(logits) else pick(clean.words, part.tokens)
        assert clean.dropout.masks is not None
        assert clean.start is not None
        replay = ReplayDropout(clean.dropout.masks, _rows(part, words is not clean.words))
        if clean.linear:
            whole = None if share is None else share.sizes["sentence"]
            delta = self._ascend_linearly(out, batch, clean, replay, whole, check=check)
        else:
            with torch.autocast(words.device.type, enabled=False):
                found = self._ascend(batch, words.detach(), logits, replay, clean.start)
            # Only mtdnn's ascent can fail, and then it does for the whole step.
            if self.settings.smart_variant == "mtdnn" and self.processes.any(found is None):
                found = None
            if found is None:
                out.skipped_penalty = True
                return
            delta = found
        again = self._outer_dropout(replay, streams["smart dropout"], share)
        perturbed = self.model(words + delta, batch, again)
        measure = mtdnn.outer_divergence if self.settings.smart_variant == "mtdnn" else divergence
        for task in tasks:
            out.r_s[task] = mean(measure(self._kind(task), perturbed[task], logits[task]), example.count(task))
            weight = self.model.tasks.get(task).weight * self.settings.lam[task]
            out.total = out.total + weight * out.r_s[task]
        if probe:
            with torch.no_grad():
                at_zero = self.model(words.detach(), batch, self._outer_dropout(replay, streams["probe"], share))
            for task in tasks:
                values = measure(self._kind(task), at_zero[task], logits[task].detach())
                out.r_s_zero[task] = mean(values, example.count(task)).detach()

    def _outer_dropout(self, replay: ReplayDropout, generator: torch.Generator, share: Share | None) -> Dropout:
        mode = self.settings.smart_dropout
        if mode == "on":
            return FreshDropout(generator, share=share)
        return replay if mode == "same" else no_dropout

    def _ascend(
        self,
        batch: PackedBatch,
        words: Tensor,
        logits: Mapping[str, Tensor],
        replay: ReplayDropout,
        start: Tensor,
    ) -> Tensor | None:
        """Return δ from an ascent in fp32 with the clean pass's masks, or None (mtdnn, non-finite)."""
        settings = self.settings
        divergence_at = self._divergence(batch, words, logits, replay)
        if settings.smart_variant == "mtdnn":
            return mtdnn.find_perturbation(
                divergence_at, start, step_size=settings.step_size, norm=settings.norm, steps=settings.ascent_steps
            )
        return self._climb(partial(smart.gradient_of, divergence_at), start, batch)

    def _ascend_linearly(
        self,
        out: Losses,
        batch: PackedBatch,
        clean: CleanPass,
        replay: ReplayDropout,
        whole: int | None,
        *,
        check: bool,
    ) -> Tensor:
        """Return δ from an ascent by derivatives in bf16; with `check` its first direction is compared with fp32's."""
        words, logits, start = clean.words, clean.logits, clean.start
        assert start is not None
        gradient_at = linear_ascent.LinearGradient(self.model, batch, words, logits, replay)
        first = gradient_at(start) if clean.change is None else gradient_at.of(clean.change)
        if check:
            with torch.autocast(words.device.type, enabled=False):
                exact = smart.gradient_of(self._divergence(batch, words.detach(), logits, replay), start)
            out.ascent_cosine = linear_ascent.direction_cosine(first, exact, batch.sentence, batch.sentences, whole)
        return self._climb(gradient_at, start, batch, first)

    def _climb(
        self,
        gradient_at: Callable[[Tensor], Tensor],
        start: Tensor,
        batch: PackedBatch,
        first: Tensor | None = None,
    ) -> Tensor:
        ball, steps = smart.Ball.of(self.settings), self.settings.ascent_steps
        return smart.find_perturbation(gradient_at, start, batch.sentence, batch.sentences, ball, steps, first)

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
            if self.settings.smart_variant == "mtdnn":
                return sum_losses([mtdnn.inner_divergence(self._kind(t), perturbed[t], target[t]) for t in tasks])
            return sum_losses([divergence(self._kind(t), perturbed[t], target[t]).sum() for t in tasks])

        return divergence_at

    def _add_bregman(self, out: Losses, example: Example, part: Selection, logits: Mapping[str, Tensor]) -> None:
        assert self.teacher is not None
        module = self.teacher.module
        assert isinstance(module, MultiTaskModel)
        with torch.no_grad():
            target = module(module.encoder.look_up(part.batch), part.batch)
        for task in part.batch.outputs:
            out.bregman[task] = mean(divergence(self._kind(task), logits[task], target[task]), example.count(task))
            weight = self.model.tasks.get(task).weight * self.settings.mu[task]
            out.total = out.total + weight * out.bregman[task]


def _rows(part: Selection, selected: bool) -> dict[str, Tensor] | None:
    """Return which entries of each recorded mask belong to the sub-batch; None where it is the whole."""
    if not selected:
        return None
    rows = {f"attention{key}": index for key, index in part.group_rows.items()}
    return {"token": part.tokens, "sentence": part.sentences, **rows}


def sum_losses(values: Sequence[Tensor]) -> Tensor:
    """Return the sum of scalars, in order."""
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total

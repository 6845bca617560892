"""One optimizer update: losses, gradients (with surgery or without), checks, clipping, AdamW, teacher."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from smartcli.engine import bregman, surgery
from smartcli.engine.batches import Prepared
from smartcli.engine.distributed import ALONE, Processes
from smartcli.engine.gradients import Gradients, spread_rows, table_rows
from smartcli.engine.optimizer import set_learning_rate
from smartcli.engine.schedule import learning_rate
from smartcli.engine.step import Example, Losses, Objective
from smartcli.engine.streams import Streams


@dataclass
class Outcome:
    """Numbers of one update by task, as Python floats; `bad` names what was not finite, if anything."""

    lr: float
    loss: dict[str, float]
    r_s: dict[str, float] = field(default_factory=dict)
    r_s_zero: dict[str, float] = field(default_factory=dict)
    ascent_cosine: float | None = None
    """Cosine of the approximate ascent direction to the exact one; of several tasks' passes the lowest."""
    bregman: dict[str, float] = field(default_factory=dict)
    cosines: dict[str, float] = field(default_factory=dict)
    """Cosine of each pair of task gradients, `a,b`, with surgery on."""
    grad_norm: float = math.nan
    skipped_penalty: bool = False
    bad: str | None = None
    bad_tasks: tuple[str, ...] = ()


@dataclass
class Updater:
    """Everything one phase's updates need; holds no position of its own."""

    objective: Objective
    gradients: Gradients
    optimizer: torch.optim.AdamW
    streams: Streams
    shared: Sequence[nn.Parameter]
    """The encoder's trained parameters but for the word table."""
    own: dict[str, list[nn.Parameter]]
    """Each task's head parameters."""
    steps: int
    processes: Processes = ALONE
    stop: bool = False
    """Whether this process is asked to stop; of several, after `run`, whether one of them was before."""

    def __post_init__(self) -> None:
        # Found here and not in a step: a wrong name must fail before anything is trained.
        surgery_name = self.objective.settings.surgery
        self._weigh = None if surgery_name == "none" else surgery.weighting(surgery_name)

    def run(self, prepared: Prepared, *, probe: bool, check: bool = False) -> Outcome:
        """Update once; where anything is not finite nothing is changed and `bad` says what.

        `probe` and `check` measure what `Objective.losses` says, for the log. `stop` travels with the gradients, so
        that all processes stop after the same step.
        """
        parts: list[Losses] = []
        cosines: dict[str, float] = {}
        if len(prepared.examples) == 1:
            parts.append(self._differentiate(prepared.examples[0], probe, check))
        else:
            parts, cosines = self._operate(prepared.examples, probe, check)
        outcome = self._report(parts, prepared.step.number)
        outcome.cosines = cosines
        if outcome.bad is None:
            norm = self.gradients.norm()
            outcome.grad_norm = float(norm)
            if not math.isfinite(outcome.grad_norm):
                outcome.bad, outcome.bad_tasks = "gradient", tuple(outcome.loss)
            else:
                self._apply(norm, outcome.lr, prepared.step.number)
        self.gradients.clear()
        return outcome

    def _words(self, example: Example) -> Tensor:
        words = self.objective.model.encoder.look_up(example.batch).detach()
        return words.requires_grad_(self.gradients.table is not None)

    def _differentiate(self, example: Example, probe: bool, check: bool = False) -> Losses:
        words = self._words(example)
        losses = self.objective.losses(example, words, self.streams, probe=probe, check=check)
        if losses.total.requires_grad and bool(torch.isfinite(losses.total)):
            losses.total.backward()  # type: ignore[no-untyped-call]
            self.gradients.collect(words, example.batch)
        if self.processes.several:
            vocabulary = example.vocabulary
            self.gradients.replace(self._summed(losses, self.gradients.widened(vocabulary)), vocabulary)
        return losses

    def _summed(self, losses: Losses, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Sum gradients over the processes, and with them the numbers of `losses` and the wish to stop."""
        named = [(values, t) for values in (losses.loss, losses.r_s, losses.r_s_zero, losses.bregman) for t in values]
        cosine = [] if losses.ascent_cosine is None else [losses.ascent_cosine]
        numbers = [losses.total, *(values[task] for values, task in named), *cosine]
        stop = torch.tensor([float(self.stop)], device=losses.total.device)
        own = torch.cat([torch.stack([number.detach().float() for number in numbers]), stop])
        found, *out = self.processes.sum([own, *gradients])
        losses.total = found[0]
        for (values, task), value in zip(named, found[1:], strict=False):
            values[task] = value
        if cosine:
            losses.ascent_cosine = found[-2]
        self.stop = bool(found[-1] > 0)
        return out

    def _operate(
        self, examples: Sequence[Example], probe: bool, check: bool = False
    ) -> tuple[list[Losses], dict[str, float]]:
        """Take each task's gradient apart, project the shared part, and leave the sum in `.grad`.

        Words differ by task, so rows of the table are laid out over the union of the step's words.
        """
        vocabulary = torch.unique(torch.cat([example.vocabulary for example in examples]))
        parts: list[Losses] = []
        shared: list[list[Tensor]] = []
        tasks = [next(iter(example.batch.outputs)) for example in examples]
        for task, example in zip(tasks, examples, strict=True):
            words = self._words(example)
            losses = self.objective.losses(example, words, self.streams, probe=probe, check=check)
            parts.append(losses)
            finite = bool(torch.isfinite(losses.total))
            if not (finite or self.processes.several):
                return parts, {}
            wanted = [*self.shared, *self.own[task], *([words] if words.requires_grad else [])]
            found: Sequence[Tensor | None] = [None] * len(wanted)
            if wanted and finite:
                found = torch.autograd.grad(losses.total, wanted, allow_unused=True)
            full = [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, found, strict=True)]
            if words.requires_grad:
                batch = example.batch
                full[-1] = spread_rows(table_rows(full[-1], batch), batch.vocabulary, vocabulary)
            if self.processes.several:
                full = self._summed(losses, full)
                if not bool(torch.isfinite(losses.total)):
                    return parts, {}
            for parameter, gradient in zip(self.own[task], full[len(self.shared) :], strict=False):
                parameter.grad = gradient
            shared.append([*full[: len(self.shared)], *(full[-1:] if words.requires_grad else [])])
        if not shared[0]:
            return parts, {}
        gram = surgery.gram_matrix(shared)
        assert self._weigh is not None
        # A gradient that is not finite is reported by its norm below; no aggregator is asked about it.
        finite = bool(torch.isfinite(gram).all())
        weights = self._weigh(gram, self.streams["surgery"]) if finite else torch.ones(len(gram))
        merged = surgery.combine_(shared, weights)
        for parameter, gradient in zip(self.shared, merged, strict=False):
            parameter.grad = gradient
        if self.gradients.table is not None:
            self.gradients.set_rows(merged[-1], vocabulary)
        return parts, {f"{tasks[i]},{tasks[j]}": c for (i, j), c in surgery.conflicts(gram).items()}

    def _apply(self, norm: Tensor, lr: float, number: int) -> None:
        settings = self.objective.settings
        self.gradients.finish(norm, settings.clip_norm)
        set_learning_rate(self.optimizer, lr)
        self.optimizer.step()
        if self.objective.teacher is not None:
            self.objective.teacher.follow(bregman.momentum(number, self.steps, settings.beta))

    def _report(self, parts: Sequence[Losses], number: int) -> Outcome:
        settings = self.objective.settings
        lr = learning_rate(number, self.steps, peak=settings.lr, warmup=settings.warmup, decay=settings.lr_schedule)
        out = Outcome(lr, {})
        for part in parts:
            for name in ("loss", "r_s", "r_s_zero", "bregman"):
                values = getattr(part, name)
                getattr(out, name).update({task: float(value.detach()) for task, value in values.items()})
            out.skipped_penalty |= part.skipped_penalty
            if part.ascent_cosine is not None:
                found = float(part.ascent_cosine)
                out.ascent_cosine = found if out.ascent_cosine is None else min(found, out.ascent_cosine)
        for name in ("loss", "r_s", "bregman"):
            tasks = tuple(task for task, value in getattr(out, name).items() if not math.isfinite(value))
            if tasks and out.bad is None:
                out.bad, out.bad_tasks = name, tasks
        if out.bad is None and not all(bool(torch.isfinite(part.total)) for part in parts):
            out.bad, out.bad_tasks = "total loss", tuple(out.loss)
        return out

"""One optimizer update: the loss, gradients (with surgery or without), checks, clipping, AdamW."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from smartcli.config import Settings
from smartcli.engine.distributed import ALONE, Processes
from smartcli.engine.streams import Streams
from smartcli.engine.terms.base import Term, TrainingBatch
from smartcli.engine.training import surgery
from smartcli.engine.training.accumulation import summed
from smartcli.engine.training.averaged_weights import AveragedWeights
from smartcli.engine.training.batches import Prepared
from smartcli.engine.training.gradient_share import squares_by_task
from smartcli.engine.training.gradients import Gradients, spread_rows, table_rows
from smartcli.engine.training.objective import Objective, StepLoss
from smartcli.engine.training.optimizer import set_learning_rate
from smartcli.engine.training.outcome import Outcome, Pending, outcome_of
from smartcli.engine.training.schedule import learning_rate


@dataclass
class Updater:
    """Everything one phase's updates need; holds no position of its own."""

    objective: Objective
    settings: Settings
    gradients: Gradients
    optimizer: torch.optim.AdamW
    streams: Streams
    shared: Sequence[nn.Parameter]
    """The encoder's trained parameters but for the word table."""
    own: dict[str, list[nn.Parameter]]
    """Each task's head parameters."""
    steps: int
    processes: Processes = ALONE
    average: AveragedWeights | None = None
    stop: bool = False
    """Whether this process is asked to stop; of several, after `run`, whether one of them was before."""

    def __post_init__(self) -> None:
        # Found here and not in a step: a wrong name must fail before anything is trained.
        surgery_name = self.settings.surgery
        self._weigh = None if surgery_name == "none" else surgery.weighting(surgery_name)

    @property
    def followers(self) -> list[Term | AveragedWeights]:
        """What follows the weights after an update."""
        return [*self.objective.terms, *([] if self.average is None else [self.average])]

    runs_on = False
    """Whether an update still runs when `launch` returns."""

    @property
    def problem(self) -> str | None:
        """Why steps that could be recorded are not."""
        return None

    def launch(self, prepared: Prepared, *, probe: bool, check: bool = False) -> Pending:
        """Ask for an update, which a loop need not wait for."""
        outcome = self.run(prepared, probe=probe, check=check)
        return Pending(lambda: outcome)

    def weights_changed(self) -> None:
        """Take that something else has written weights."""

    def go_on(self) -> None:
        """Take that a step that was not finite has been seen."""

    def run(self, prepared: Prepared, *, probe: bool, check: bool = False) -> Outcome:
        """Update once; where anything is not finite nothing is changed and `bad` says what.

        `probe` and `check` measure what `Objective.loss` says, for the log. `stop` travels with the gradients, so
        that all processes stop after the same step.
        """
        cosines: dict[str, float] = {}
        if len(prepared.gradients) == 1:
            parts = [self.differentiate(*prepared.batches, probe=probe, check=check)]
        else:
            parts, cosines = self.differentiate_apart(prepared.gradients, probe=probe, check=check)
        outcome = outcome_of([part.floats() for part in parts], self.learning_rate(prepared.step.number))
        outcome.cosines = cosines
        if (balance := self.objective.balance) is not None:
            outcome.weights = dict(zip(balance.names, balance.weights.tolist(), strict=True))
        if outcome.bad is None:
            # Before anything is changed: a gradient that overflowed leaves weights and optimizer as they were.
            norm = self.gradients.norm()
            outcome.take_norm(float(norm))
            if outcome.bad is None:
                if balance is not None:
                    for part in parts:
                        balance.take(part.parts, part.squares)
                    balance.follow()
                self._apply(norm, outcome.lr, prepared.step.number)
        self.gradients.clear()
        return outcome

    def learning_rate(self, number: int) -> float:
        """Return the learning rate of update `number` (from 1)."""
        chosen = self.settings
        return learning_rate(number, self.steps, peak=chosen.lr, warmup=chosen.warmup, decay=chosen.lr_schedule)

    def words(self, given: TrainingBatch) -> Tensor:
        """Return the word vectors (T, E) of a batch, which get a gradient unless the table is frozen."""
        # A leaf of its own: the table's gradient is wanted by token, not as a dense matrix of the whole vocabulary.
        words = self.objective.model.encoder.look_up(given.batch).detach()
        return words.requires_grad_(self.gradients.table is not None)

    def differentiate(self, *batches: TrainingBatch, probe: bool = False, check: bool = False) -> StepLoss:
        """Leave the gradients of a step's loss, summed over its batches, in `gradients`, and return the loss."""
        losses = []
        for given in batches:
            words = self.words(given)
            losses.append(self.objective.loss(given, words, self.streams, probe=probe, check=check))
            if losses[-1].total.requires_grad:
                losses[-1].total.backward()  # type: ignore[no-untyped-call]
                self.gradients.collect(words, given.batch)
            self._measure_squares(losses[-1], words, words.grad, given, probe=probe)
        loss = losses[0] if len(losses) == 1 else summed(losses)
        if self.processes.several:
            vocabulary = batches[0].batch.whole_vocabulary
            self.gradients.replace(self._summed(loss, self.gradients.widened(vocabulary)), vocabulary)
            here = {task for given in batches for task in given.batch.outputs}
            for parameter in (p for task, own in self.own.items() if task not in here for p in own):
                # As in one process: AdamW leaves alone what has no gradient, but not what has one of zeros.
                parameter.grad = None
        return loss

    def _measure_squares(
        self, loss: StepLoss, words: Tensor, gradient: Tensor | None, given: TrainingBatch, *, probe: bool
    ) -> None:
        """Have `loss` hold each task's squared norm in the gradient by `words` (T, E), where a phase has several."""
        balance = self.objective.balance
        wanted = probe or (balance is not None and balance.reads_gradients)
        if wanted and len(self.own) > 1 and words.requires_grad:
            # A process may have no rows of this step, and so no gradient, but takes part in the sum.
            loss.squares = squares_by_task(torch.zeros_like(words) if gradient is None else gradient, given.batch)

    def _summed(self, loss: StepLoss, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Sum gradients over the processes, and with them the numbers of `loss` and the wish to stop."""
        # One message a step: on a slow network each further one costs a round trip.
        numbers = {name: value.float() for name, value in loss.numbers().items()}
        stop = torch.tensor([float(self.stop)], device=loss.total.device)
        found, *out = self.processes.sum([torch.cat([torch.stack(list(numbers.values())), stop]), *gradients])
        loss.replace(dict(zip(numbers, found[:-1], strict=True)))
        self.stop = bool(found[-1] > 0)
        return out

    def differentiate_apart(
        self, batches: Sequence[Sequence[TrainingBatch]], *, probe: bool = False, check: bool = False
    ) -> tuple[list[StepLoss], dict[str, float]]:
        """Take each task's gradient apart, project the shared part, and leave the sum in `.grad`.

        A task's gradient is summed over its batches first.

        Return the tasks' losses, and the cosine of each pair of gradients. Words differ by task, so rows of the table
        are laid out over the union of the step's words.
        """
        vocabulary = torch.unique(torch.cat([given.batch.whole_vocabulary for own in batches for given in own]))
        parts: list[StepLoss] = []
        shared: list[list[Tensor]] = []
        tasks = [next(iter(own[0].batch.outputs)) for own in batches]
        words_too = self.gradients.table is not None
        for task, own in zip(tasks, batches, strict=True):
            losses: list[StepLoss] = []
            full: list[Tensor] = []
            for given in own:
                part, found = self._task_gradient(task, given, vocabulary, probe=probe, check=check)
                losses.append(part)
                full = list(torch._foreach_add(full, found)) if full else found
            loss = losses[0] if len(losses) == 1 else summed(losses)
            parts.append(loss)
            if not (self.processes.several or bool(torch.isfinite(loss.total))):
                return parts, {}
            if self.processes.several:
                full = self._summed(loss, full)
                if not bool(torch.isfinite(loss.total)):
                    return parts, {}
            # Heads belong to one task each; they are not projected.
            for parameter, gradient in zip(self.own[task], full[len(self.shared) :], strict=False):
                parameter.grad = gradient
            shared.append([*full[: len(self.shared)], *(full[-1:] if words_too else [])])
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

    def _task_gradient(
        self, task: str, given: TrainingBatch, vocabulary: Tensor, *, probe: bool, check: bool
    ) -> tuple[StepLoss, list[Tensor]]:
        """Return the loss of one task's batch and its gradients: shared, the head's, the table's at `vocabulary` (U,).

        They are zero where the loss is not finite, or depends on nothing that is trained.
        """
        words = self.words(given)
        loss = self.objective.loss(given, words, self.streams, probe=probe, check=check)
        wanted = [*self.shared, *self.own[task], *([words] if words.requires_grad else [])]
        found: Sequence[Tensor | None] = [None] * len(wanted)
        if wanted and bool(torch.isfinite(loss.total)):
            found = torch.autograd.grad(loss.total, wanted, allow_unused=True)
        # A process without examples of this task has no gradient, but must take part in the sum.
        full = [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, found, strict=True)]
        self._measure_squares(loss, words, full[-1] if words.requires_grad else None, given, probe=probe)
        if words.requires_grad:
            full[-1] = spread_rows(table_rows(full[-1], given.batch), given.batch.vocabulary, vocabulary)
        return loss, full

    def _apply(self, norm: Tensor, lr: float, number: int) -> None:
        self.gradients.finish(norm, self.settings.clip_norm)
        set_learning_rate(self.optimizer, lr)
        self.optimizer.step()
        for follower in self.followers:
            follower.follow(number, self.steps)

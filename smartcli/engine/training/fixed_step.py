"""Updates from batches of fixed shape: the whole step runs on the device, and no value is read inside it.

So a step can be recorded as a CUDA graph (replay.py). What changes from step to step lies in memory that stays: the
batch, the learning rate, the projections' order. Numbers for the log are read a step later. A step that is not finite
changes nothing, and sets a flag under which the steps after it change nothing either, until the host has seen it.
With surgery each task's pass is recorded alone, and so is the update, so that buckets of tasks need not meet.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from smartcli.engine.model.fixed_shape import PassShape, read
from smartcli.engine.model.half_weights import HalfWeights
from smartcli.engine.terms.base import TrainingBatch
from smartcli.engine.training import surgery
from smartcli.engine.training.batches import Prepared
from smartcli.engine.training.gradients import clip_scale
from smartcli.engine.training.objective import StepLoss
from smartcli.engine.training.optimizer import set_learning_rate
from smartcli.engine.training.outcome import Key, Outcome, Pending, outcome_of
from smartcli.engine.training.replay import Recorder
from smartcli.engine.training.task_gradients import TaskGradients
from smartcli.engine.training.update import Updater

Work = Callable[[], list[Key]]
SLOTS = 3
"""Logs on the host: of the step that is read, of the one that runs, and of the one that is being asked for."""


@dataclass
class FixedUpdater(Updater):
    """An updater of packed steps (`Prepared.passes`); `rates` holds the learning rate, and a momentum a follower."""

    runs_on = True

    rates: Tensor = field(kw_only=True)
    recorder: Recorder = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        device, tasks = self.rates.device, list(self.own)
        self.inputs: dict[PassShape, Tensor] = {}
        self.halted = torch.zeros((), device=device)
        """1 from a step that was not finite on, until the host says that it has seen it."""
        self.log = torch.zeros(len(tasks) + 1, self._most_numbers(), dtype=torch.float64, device=device)
        """A row for each pass, and a last one for the update: gradient norm, `halted` before it, Gram matrix."""
        self.sound = torch.ones(len(tasks), dtype=torch.bool, device=device)
        """By pass: whether its loss was finite."""
        pinned = device.type == "cuda"
        self._logs = [torch.zeros(self.log.shape, dtype=torch.float64, pin_memory=pinned) for _ in range(SLOTS)]
        self._calls = 0
        modules = [self.objective.model, *(m for term in self.objective.terms for m in term.followers())]
        self.halves = [HalfWeights(module) for module in modules] if self.objective.bf16 else []
        """The bf16 weights of the model, and of what follows it."""
        self.apart: TaskGradients | None = None
        if self.settings.surgery != "none" and len(tasks) > 1:
            self.apart = TaskGradients(self.gradients, self.shared, self.own, self.halves[0] if self.halves else None)
            self.orders = torch.zeros(len(tasks), len(tasks) - 1, dtype=torch.int64, device=device)
        # AdamW leaves everything as it was where this is 1.
        self.optimizer.found_inf = self.halted  # type: ignore[attr-defined]

    def _most_numbers(self) -> int:
        terms = len(self.objective.terms)
        # Each term has a value and perhaps two further numbers a task, and a few of its own.
        return max(16 + terms * (4 * len(self.own) + 8), 2 + len(self.own) ** 2 + len(self.own))

    @property
    def problem(self) -> str | None:
        return self.recorder.problem

    def weights_changed(self) -> None:
        """Take that something else has written weights."""
        for halves in self.halves:
            halves.refresh()

    def differentiate(self, *batches: TrainingBatch, probe: bool = False, check: bool = False) -> StepLoss:
        loss = super().differentiate(*batches, probe=probe, check=check)
        if self.halves:
            self.halves[0].collect()
        return loss

    def run(self, prepared: Prepared, *, probe: bool, check: bool = False) -> Outcome:
        outcome = self.launch(prepared, probe=probe, check=check).read()
        assert outcome is not None, "the step before was bad and nobody said so"
        return outcome

    def launch(self, prepared: Prepared, *, probe: bool, check: bool = False) -> Pending:
        """Ask for an update; where it or the one before it is not finite, nothing is changed."""
        with self.recorder.stream():
            self._set_rates(prepared.step.number)
            for shape, flat in prepared.passes:
                if shape not in self.inputs:
                    self.inputs[shape] = torch.empty(shape.size, dtype=torch.int64, device=self.halted.device)
                self.inputs[shape].copy_(flat, non_blocking=True)
            shapes = [shape for shape, _ in prepared.passes]
            names = self._whole(shapes[0], probe, check) if len(shapes) == 1 else self._apart(shapes, probe, check)
            return self._pending(names, prepared)

    def go_on(self) -> None:
        """Take that the host has seen a step that was not finite."""
        with self.recorder.stream():
            self.halted.zero_()

    def _set_rates(self, number: int) -> None:
        rates = [self.learning_rate(number), *(f.momentum(number, self.steps) for f in self.followers)]
        self.rates.copy_(_sent(torch.tensor(rates), self.rates.device), non_blocking=True)

    def _whole(self, shape: PassShape, probe: bool, check: bool) -> list[list[Key]]:
        def work() -> list[Key]:
            loss = self.differentiate(self._read(shape), probe=probe, check=check)
            names = self._note(0, loss)
            self._update(self.gradients.norm(), 1, self.log[0, :0])
            self.gradients.clear()
            return names

        return [self._recorded((shape, probe), check, work)]

    def _apart(self, shapes: Sequence[PassShape], probe: bool, check: bool) -> list[list[Key]]:
        assert self.apart is not None
        tasks, names = list(self.own), []
        chosen = [tasks.index(shape.batch.tasks[0][0]) for shape in shapes]
        for row, task, shape in zip(range(len(shapes)), chosen, shapes, strict=True):
            names.append(self._recorded((row, shape, probe), check, self._task_pass(row, task, shape, probe, check)))
        order = surgery.random_order(len(shapes), self.streams["surgery"])
        n = len(shapes)
        self.orders[:n, : n - 1].copy_(_sent(torch.tensor(order).view(n, n - 1), self.orders.device), non_blocking=True)
        self._recorded(("update", tuple(chosen)), False, lambda: self._merge(chosen))
        return names

    def _task_pass(self, row: int, task: int, shape: PassShape, probe: bool, check: bool) -> Work:
        def work() -> list[Key]:
            assert self.apart is not None
            given = self._read(shape)
            words = self.words(given)
            loss = self.objective.loss(given, words, self.streams, probe=probe, check=check)
            by_words = self.apart.take(task, loss.total, words, given.batch)
            self._measure_squares(loss, words, by_words, given, probe=probe)
            return self._note(row, loss)

        return work

    def _merge(self, chosen: Sequence[int]) -> None:
        assert self.apart is not None
        n = len(chosen)
        gram = self.apart.gram(chosen)
        sound = torch.isfinite(gram).all()
        weights = surgery.pcgrad_weights(torch.where(sound, gram, torch.zeros_like(gram)), self.orders[:n, : n - 1])
        # A gradient that is not finite is reported by its norm; it goes on into the sum.
        norm = self.apart.merge(chosen, torch.where(sound, weights, torch.ones_like(weights)))
        self._update(norm, n, gram.flatten())

    def _read(self, shape: PassShape) -> TrainingBatch:
        batch, labels, of_term = read(self.inputs[shape], shape)
        return TrainingBatch(batch, labels, of_term)

    def _note(self, row: int, loss: StepLoss) -> list[Key]:
        """Write a pass's numbers to a row of the log, and whether those of the loss are finite; return their names."""
        numbers = loss.numbers()
        if self.objective.balance is not None:
            self.objective.balance.take(loss.parts, loss.squares)
        self.log[row, : len(numbers)] = torch.stack([value.double().view(()) for value in numbers.values()])
        of_loss = [value.float() for (_, kind, _), value in numbers.items() if kind in ("total", "value")]
        self.sound[row] = torch.isfinite(torch.stack(of_loss)).all()
        return list(numbers)

    def _update(self, norm: Tensor, passes: int, gram: Tensor) -> None:
        """Clip and apply the gradients unless their norm, a loss of the passes or a step before is not finite."""
        balance = self.objective.balance
        weights = self.log[-1, :0] if balance is None else balance.weights
        last = torch.cat([torch.stack([norm.double(), self.halted.double()]), gram.double(), weights])
        self.log[-1, : len(last)] = last
        sound = self.sound[:passes].all() & torch.isfinite(norm)
        self.halted.copy_(torch.where(sound, self.halted, torch.ones_like(self.halted)))
        if balance is not None:
            balance.follow(self.halted)
        if self.apart is None:
            self.gradients.finish(norm, 0.0)
        if self.settings.clip_norm > 0:
            # AdamW divides each gradient by this as it reads it, which saves a pass over all of them.
            scale = torch.reciprocal(clip_scale(norm, self.settings.clip_norm))
            self.optimizer.grad_scale = scale.float()  # type: ignore[attr-defined]
        set_learning_rate(self.optimizer, self.rates[0])
        self.optimizer.step()
        for at, follower in enumerate(self.followers):
            follower.move(torch.maximum(self.rates[1 + at], self.halted))
        self.weights_changed()

    def _recorded(self, key: Hashable, check: bool, work: Callable[[], list[Key] | None]) -> list[Key]:
        # What only one step in a hundred does is not recorded.
        found = work() if check else self.recorder.run(key, work)
        return found or []

    def _pending(self, names: Sequence[Sequence[Key]], prepared: Prepared) -> Pending:
        log, self._calls = self._logs[self._calls % SLOTS], self._calls + 1
        log.copy_(self.log, non_blocking=True)
        done = torch.cuda.Event() if self.log.is_cuda else None  # type: ignore[no-untyped-call]
        if done is not None:
            done.record()
        lr, tasks = self.learning_rate(prepared.step.number), [s.batch.tasks[0][0] for s, _ in prepared.passes]

        def found() -> Outcome | None:
            if done is not None:
                done.synchronize()
            norm, halted = log[-1, :2].tolist()
            if halted:
                return None
            outcome = outcome_of([dict(zip(n, log[at].tolist(), strict=False)) for at, n in enumerate(names)], lr)
            if outcome.bad is None:
                outcome.take_norm(norm)
            n = len(tasks)
            if (balance := self.objective.balance) is not None:
                weights = log[-1, 2 + (n * n if n > 1 else 0) :].tolist()
                outcome.weights = dict(zip(balance.names, weights, strict=False))
            if n > 1:
                gram = log[-1, 2 : 2 + n * n].view(n, n)
                outcome.cosines = {f"{tasks[i]},{tasks[j]}": c for (i, j), c in surgery.conflicts(gram).items()}
            return outcome

        return Pending(found)


def _sent(values: Tensor, device: torch.device) -> Tensor:
    # Pinned, since a copy from other memory waits for it.
    return values.pin_memory() if device.type == "cuda" else values

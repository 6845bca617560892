"""A term of the loss: what it is given, what it returns, and what it keeps between steps.

The total is Σ over terms of Σ over tasks of weight · value. Axes: T tokens, E embedding size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from smartcli.config import Settings
from smartcli.engine.device import exact_multiplies, rounds_multiplies
from smartcli.engine.model.dropout import FreshDropout
from smartcli.engine.model.multitask import MultiTaskModel
from smartcli.engine.model.packing import PackedBatch
from smartcli.engine.model.sub_batch import SubBatch
from smartcli.engine.streams import Streams
from smartcli.engine.terms.distilled import Distilled
from smartcli.engine.terms.losses import task_loss
from smartcli.engine.terms.soft_targets import SoftTargets
from smartcli.engine.terms.unit_range import unit_factor
from smartcli.tasks import Kind


@dataclass(frozen=True)
class TrainingBatch:
    """One packed batch, each task's labels (n,), and the sub-batch of each term that has some tasks only.

    With a teacher its word stands beside the labels (distilled.py).
    """

    batch: PackedBatch
    labels: Mapping[str, Tensor]
    of_term: Mapping[str, SubBatch]
    """By term: the sub-batch of its tasks. A term without tasks here is absent."""


@dataclass(frozen=True)
class Request:
    """What a term wants from the clean pass, beside the outputs."""

    direction: Tensor
    """(T', E) over the tokens of the term's sub-batch."""
    derivative: bool = False
    """Whether f's derivative along `direction` is found in the same pass; the sub-batch is the batch then."""


@dataclass(frozen=True)
class CleanPass:
    """f(x) of a step, computed once for all terms."""

    given: TrainingBatch
    words: Tensor
    """(T, E) the looked-up word vectors; they require a gradient unless the encoder's table is frozen."""
    logits: Mapping[str, Tensor]
    dropout: FreshDropout
    """What drew the pass's masks; they are recorded where a term asked for it."""
    requests: Mapping[str, Request]
    changes: Mapping[str, Mapping[str, Tensor]]
    """By term that asked for a derivative: J(x)·direction for each task."""
    vectors: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)
    """The vectors (n, D) that each task's head read, a side each, before dropout; where a term reads them."""


@dataclass
class Measured:
    """What a term found in a step."""

    values: dict[str, Tensor] = field(default_factory=dict)
    """By task, before weights: scalars that are differentiated."""
    logged: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    """Further scalars by task, under the name that they have in the log; without gradient."""
    scalars: dict[str, Tensor] = field(default_factory=dict)
    """Further scalars of the step by name, without gradient."""
    skipped: bool | Tensor = False
    """Whether the term had to be left out of this step; a scalar where no value is read inside the step."""


@dataclass(frozen=True)
class Context:
    """What terms are made from: a phase's model, settings, tasks and precision."""

    model: MultiTaskModel
    settings: Settings
    tasks: Sequence[str]
    bf16: bool = False

    @property
    def rounded(self) -> bool:
        """Whether a step multiplies matrices in fewer bits than fp32 has."""
        return self.bf16 or rounds_multiplies()


class Term:
    """A term of the loss. A subclass says its `name`, its weights and its values; the rest has defaults.

    A batch knows what it is part of (`PackedBatch.mean`, `by_token`, `any`), so that a term need not know how many
    processes train.
    """

    name: str
    """Its key in the log."""
    method = ""
    """Its word in a checkpoint's method; empty for the task loss, which every training has."""
    replays = False
    """Whether it needs the clean pass's masks again."""
    reads_vectors = False
    """Whether it needs the vectors that the heads read in the clean pass."""

    def __init__(self, context: Context) -> None:
        self.model, self.settings = context.model, context.settings

    @classmethod
    def active(cls, settings: Settings, tasks: Sequence[str]) -> tuple[str, ...]:
        """Return those of `tasks` that the term is on for; with none it is not made."""
        raise NotImplementedError

    def weight(self, task: str) -> float:
        """Return what the value of `task` is multiplied by in the total, without the task's own weight."""
        return 1.0

    def request(self, given: TrainingBatch, words: Tensor, streams: Streams) -> Request | None:
        """Return what the clean pass shall compute for this term."""
        return None

    def measure(self, clean: CleanPass, streams: Streams, *, probe: bool, check: bool) -> Measured:
        """Return the term's values in a step; with `probe` and `check` also what only logged steps show.

        Draws come from a generator of the term's own, `streams[name]`.
        """
        raise NotImplementedError

    def momentum(self, number: int, steps: int) -> float:
        """Return how much of what `move` moves stays as it was, after update `number` (from 1) of `steps`."""
        return 1.0

    def move(self, momentum: float | Tensor) -> None:
        """Move what follows the weights after an update; a scalar tensor where no value is read inside the step."""

    def follow(self, number: int, steps: int) -> None:
        """Take that update `number` (from 1) of `steps` was made.

        A term that replaces this, and not `momentum` and `move`, keeps its steps from being recorded on a GPU.
        """
        self.move(self.momentum(number, steps))

    def followers(self) -> list[nn.Module]:
        """Return the modules that the term's passes read beside the model."""
        return []

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Return what resuming needs beside generators: tensors by name, by the file that keeps them."""
        return {}

    def restore(self, files: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take what `state` returned in an earlier process; files of other terms are among them."""

    def kind(self, task: str) -> Kind:
        """Return the kind of a task."""
        return self.model.tasks.get(task).kind

    def loss(self, task: str, logits: Tensor, given: TrainingBatch) -> Tensor:
        """Return the task's loss at `logits` (n, C) or (n,) against the batch's labels, a scalar; and a teacher's."""
        batch, kind = given.batch, self.kind(task)
        labels, present, taught = given.labels[task], batch.present(task), None
        distilled = Distilled.of(self.settings)
        if distilled is not None:
            labels, known, teacher = distilled.split(kind, labels)
            taught = batch.mean(distilled.loss(kind, logits, teacher) * distilled.teacher_weights(known), task)
            own = distilled.label_weights(known)
            present = own if present is None else own * present
        value = task_loss(
            kind,
            logits,
            labels,
            batch.count(task),
            self.class_weights(task),
            present,
            SoftTargets.of(self.settings, task, kind),
        )
        value = value if taught is None else value + taught
        unit = kind == "regression" and self.settings.regression_loss == "unit"
        return unit_factor(self.model.tasks.get(task)) * value if unit else value

    def class_weights(self, task: str) -> tuple[float, ...] | None:
        """Return what a row of each class of a task counts in its loss (C), None where all count the same."""
        weights = self.model.tasks.get(task).class_weights
        assert not isinstance(weights, str), "balanced weights are counted before a model is built"
        return weights


@contextmanager
def in_fp32(words: Tensor) -> Iterator[None]:
    """Run in fp32 inside what would run in bf16 or tf32."""
    with torch.autocast(words.device.type, enabled=False), exact_multiplies():
        yield

"""Masked-language-model training of an encoder on sentences: the loop, its saves, and the held-out loss.

What is drawn in a step (order, masks, dropout) follows from the seed and the step's number alone, so that a resumed run
has the bits of one that was not stopped, and nothing about the draws is saved.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from smartcli.config import Settings
from smartcli.data.joining import join_single
from smartcli.data.ragged import Ragged
from smartcli.engine.inference.split_outputs import Reader, batches_by_length, tokens_per_batch, tokens_read
from smartcli.engine.model.dropout import FreshDropout, no_dropout
from smartcli.engine.model.encoder import Encoder
from smartcli.engine.model.mlm_head import MlmHead
from smartcli.engine.model.packing import PackedBatch, pack
from smartcli.engine.streams import stream
from smartcli.engine.training.job import Callbacks
from smartcli.engine.training.loop import LOG_EVERY, SAVE_SECONDS, Interrupted
from smartcli.engine.training.optimizer import make_optimizer, optimizer_tensors, restore_optimizer, set_learning_rate
from smartcli.engine.training.schedule import batches_of, learning_rate
from smartcli.engine.training.snapshot import Position, Snapshot
from smartcli.engine.training.word_masks import Masker
from smartcli.errors import SmartCliError
from smartcli.log_events import DevEvent, StepEvent

TEXT = "text"
"""What stands for a task's name in the log."""


class TextModel(nn.Module):
    """An encoder and the head that guesses words; the embeddings are both the first layer and the last."""

    def __init__(self, encoder: Encoder, head: MlmHead) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head


@dataclass(frozen=True)
class TextJob:
    """A training on text: the model, sentences to train on and sentences held out, as token ids."""

    model: TextModel
    masker: Masker
    train: Ragged
    held_out: Ragged
    reader: Reader
    settings: Settings
    device: torch.device

    @property
    def epochs(self) -> int:
        return self.settings.epochs.default

    @property
    def steps(self) -> int:
        """Updates in all."""
        whole = self.epochs * batches_of(len(self.train), self.settings.batch_size.default)
        return min(whole, self.settings.max_steps or whole)

    def batch(self, side: Ragged, rows: NDArray[np.int64]) -> PackedBatch:
        """Return some sentences packed, on the CPU."""
        return pack({TEXT: [join_single(self.reader.template, side, rows, self.reader.max_length)]})

    def rows(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        """Yield the sentences of each step of an epoch (from 1)."""
        order = torch.randperm(len(self.train), generator=stream(self.settings.seed, "text order", epoch)).numpy()
        size = self.settings.batch_size.default
        for start in range(0, len(order), size):
            yield order[start : start + size]

    def loss(self, batch: PackedBatch, masks: torch.Generator, dropout: torch.Generator | None) -> tuple[Tensor, int]:
        """Return the summed cross entropy of a batch's masked tokens, a scalar, and how many they are."""
        masked, there = self.masker.draw(batch, masks), batch.to(self.device)
        encoder, at = self.model.encoder, masked.at.to(self.device)
        how = no_dropout if dropout is None else FreshDropout(dropout)
        rows = encoder(encoder.words(masked.ids.to(self.device)), there, pooling="tokens", dropout=how)
        logits = self.model.head(rows.index_select(0, at), encoder.words.weight)
        return F.cross_entropy(logits, masked.labels.to(self.device), reduction="sum"), len(masked.labels)

    @torch.no_grad()
    def held_out_loss(self) -> tuple[float, int]:
        """Return the mean cross entropy of the held-out sentences' masked tokens, and how many they are.

        The masks are the same at every call and for every seed.
        """
        lengths = tokens_read(self.held_out.lengths, self.reader)
        total, count = 0.0, 0
        for number, rows in enumerate(batches_by_length(lengths, tokens_per_batch(self.device))):
            loss, masked = self.loss(self.batch(self.held_out, np.asarray(rows)), stream(0, "held out", number), None)
            total, count = total + float(loss.double()), count + masked
        return total / max(1, count), count


@dataclass
class TextResult:
    """A finished training on text: the model holds the last weights."""

    position: Position
    before: float
    """Held-out loss of the model as it was given."""
    after: float
    masked: int
    """Held-out tokens that were masked."""


@dataclass
class _State:
    job: TextJob
    position: Position
    optimizer: torch.optim.AdamW
    named: list[tuple[str, nn.Parameter]]
    before: float
    started: float
    saved_at: float = field(default_factory=time.perf_counter)

    def seconds(self) -> float:
        return round(time.perf_counter() - self.started, 3)

    def snapshot(self) -> Snapshot:
        self.position.seconds = self.seconds()
        # What the run began with cannot be measured again once it goes on.
        self.position.best_value = self.before
        model = {name: p.detach() for name, p in self.named}
        return Snapshot(self.position, {"model": model, "optimizer": optimizer_tensors(self.optimizer, self.named)})


def train_text(job: TextJob, callbacks: Callbacks, resume: Snapshot | None = None) -> TextResult:
    """Train to the end, from the start or a snapshot; raises Interrupted when asked to stop, after a save."""
    state = _start(job, resume)
    at, size = state.position, job.settings.batch_size.default
    each = batches_of(len(job.train), size)
    measured: tuple[float, int] | None = None
    for epoch in range(at.total // each + 1, job.epochs + 1):
        for number, rows in enumerate(job.rows(epoch), start=(epoch - 1) * each + 1):
            if number <= at.total:
                continue
            if number > job.steps:
                break
            event = _step(state, rows, number, epoch)
            last = number % each == 0 or number == job.steps
            (callbacks.record if last or number == 1 or number % LOG_EVERY == 0 else callbacks.tick)(event)
            if last:
                measured = job.held_out_loss()
                score = {"mlm_loss": measured[0], "n": measured[1]}
                callbacks.record(DevEvent(epoch=epoch, step=at.total, seconds=state.seconds(), scores={TEXT: score}))
            _save_if_due(state, callbacks, last)
    after, masked = measured or job.held_out_loss()
    at.seconds = state.seconds()
    return TextResult(at, state.before, after, masked)


def _start(job: TextJob, resume: Snapshot | None) -> _State:
    named = [(name, p) for name, p in job.model.named_parameters() if not name.startswith("encoder.pooler.")]
    optimizer = make_optimizer(named, job.settings)
    if resume is None:
        started = time.perf_counter()
        return _State(job, Position(), optimizer, named, job.held_out_loss()[0], started)
    _load(dict(named), resume.tensors["model"])
    restore_optimizer(optimizer, named, resume.tensors.get("optimizer", {}))
    before = resume.position.best_value
    assert before is not None, "a save has the loss that the run began with"
    return _State(job, resume.position, optimizer, named, before, time.perf_counter() - resume.position.seconds)


@torch.no_grad()
def _load(own: Mapping[str, nn.Parameter], stored: Mapping[str, Tensor]) -> None:
    for name, parameter in own.items():
        parameter.copy_(stored[name])


def _step(state: _State, rows: NDArray[np.int64], number: int, epoch: int) -> StepEvent:
    job, at, seed = state.job, state.position, state.job.settings.seed
    lr = learning_rate(
        number, job.steps, peak=job.settings.lr, warmup=job.settings.warmup, decay=job.settings.lr_schedule
    )
    batch = job.batch(job.train, rows)
    dropout = stream(seed, "text dropout", number, device=job.device)
    summed, masked = job.loss(batch, stream(seed, "text masks", number), dropout)
    loss = summed / max(1, masked)
    state.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    weights = [p for _, p in state.named if p.grad is not None]
    most = job.settings.clip_norm if job.settings.clip_norm > 0 else float("inf")
    norm = float(nn.utils.clip_grad_norm_(weights, most))
    value = float(loss.detach())
    if not np.isfinite(value) or not np.isfinite(norm):
        raise SmartCliError(
            f"step {number}: the loss or its gradient is not finite; nothing was updated, and the run's last save is "
            "kept. Lower --lr, or set --clip-norm 1"
        )
    set_learning_rate(state.optimizer, lr)
    state.optimizer.step()
    at.step, at.total = number, number
    at.examples, at.tokens = at.examples + len(rows), at.tokens + batch.tokens
    return StepEvent(
        step=number,
        epoch=epoch,
        seconds=state.seconds(),
        examples=at.examples,
        tokens=at.tokens,
        lr=lr,
        numbers={"loss": {TEXT: value}},
        scalars={"grad_norm": norm},
    )


def _save_if_due(state: _State, callbacks: Callbacks, ends_epoch: bool) -> None:
    every, asked = state.job.settings.save_every, callbacks.stop()
    due = time.perf_counter() - state.saved_at >= SAVE_SECONDS
    due = due or ends_epoch or (every is not None and state.position.total % every == 0)
    if asked or due:
        callbacks.save(state.snapshot())
        state.saved_at = time.perf_counter()
    if asked:
        raise Interrupted

"""What a training will take: its steps walked through by their lengths, and a few of them done for their time.

The probe does real updates, dev predictions and one real save with the job's model, so the job is spent
afterwards. Everything is measured in the process as it is: on a busy machine the same will hold for the training.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from smartcli.data.joining import input_lengths
from smartcli.engine.inference.split_outputs import predict
from smartcli.engine.memory import peak_memory
from smartcli.engine.model.heads import joins_pairs
from smartcli.engine.training.batches import Split
from smartcli.engine.training.dev_scores import train_sample
from smartcli.engine.training.job import Callbacks, Job
from smartcli.engine.training.loop import LOG_EVERY, SAVE_SECONDS, TRIM_EVERY, Trainer
from smartcli.engine.training.phase_state import PhaseState
from smartcli.engine.training.sampling import groups_of
from smartcli.engine.training.schedule import (
    Phase,
    Step,
    batches_of,
    draws_tasks,
    epoch_steps,
    phase_steps,
    update_sizes,
)
from smartcli.engine.training.snapshot import Position, Snapshot

PROBE_SECONDS = 8.0
"""Seconds of timed steps in all, however slow a step is; at least `LEAST` steps a phase."""
LEAST, MOST = 3, 24
DEV_ROWS = 192
"""Rows a task whose predictions are timed."""

Save = Callable[[Snapshot], None]


@dataclass
class TaskLoad:
    """What one task brings to the run."""

    rows: int
    batches: int
    """Batches of one pass; where `--accumulate` makes an update from several, they count as one."""
    epoch_batches: int
    """The same in one epoch of the run: a smaller task repeats, a larger one goes on in the next."""
    pass_tokens: int
    truncated: int
    """Sequences of one pass that are cut."""
    examples: int = 0
    """Examples in the whole run."""
    tokens: int = 0
    """Tokens in the whole run."""


@dataclass
class Forecast:
    """Counts of the whole run, exact; seconds and bytes as expected from the probe."""

    tasks: dict[str, TaskLoad]
    steps: int = 0
    parameters: int = 0
    trained: int = 0
    """Largest number of parameters that a phase trains."""
    seconds: dict[str, float] = field(default_factory=lambda: {"steps": 0.0, "dev scores": 0.0, "saves": 0.0})
    memory: int = 0
    """Largest resident size of the process."""
    device_memory: int = 0
    """Largest amount reserved on a GPU; 0 on a CPU."""
    probed: int = 0
    """Steps that were timed."""
    creep: int = 0
    """Bytes of `memory` that the probe did not see, but longer training takes."""

    @property
    def tokens(self) -> int:
        return sum(task.tokens for task in self.tasks.values())

    @property
    def examples(self) -> int:
        return sum(task.examples for task in self.tasks.values())

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds.values())


def forecast(job: Job, save: Save) -> Forecast:
    """Return what `job` will take; `save` writes a snapshot where and as the training will, and removes it."""
    lengths = {name: _row_lengths(job, split) for name, split in job.train.items()}
    phases, rows_at_once = job.phases(), update_sizes(job.settings, tuple(job.train))
    out = Forecast(
        {
            name: TaskLoad(
                rows=len(job.train[name]),
                batches=(own := batches_of(len(job.train[name]), rows_at_once[name])),
                # Where tasks are drawn for each step, counted below.
                epoch_batches=next((_epoch_steps(job, phase) for phase in phases if name in phase.tasks), own),
                pass_tokens=int(rows.sum()),
                truncated=cut,
            )
            for name, (rows, cut) in lengths.items()
        }
    )
    out.parameters = sum(p.numel() for p in job.model.parameters())
    saves = 0
    last: PhaseState | None = None
    for phase in phases:
        tokens = _walk(job, phase, {name: rows for name, (rows, _) in lengths.items()}, out)
        before = out.seconds["steps"]
        last = _time_steps(job, phase, tokens, len(phases), out)
        an_epoch, a_step = _epoch_steps(job, phase), (out.seconds["steps"] - before) / phase.steps
        out.seconds["dev scores"] += math.ceil(phase.steps / an_epoch) * _dev_seconds(job, phase.tasks, lengths)
        saves += count_saves(phase.steps, an_epoch, job.settings.save_every, a_step)
    if last is not None:
        out.seconds["saves"] = saves * _save_seconds(last, save)
    out.memory = peak_memory() + out.creep
    if job.device.type == "cuda":
        out.device_memory = torch.cuda.max_memory_reserved(job.device)
    return out


def count_saves(steps: int, an_epoch: int, every: int | None, seconds_a_step: float) -> int:
    """Return the saves of a phase: at each epoch's end, every N steps, and where neither came for `SAVE_SECONDS`."""
    at = {steps, *range(an_epoch, steps, an_epoch), *(range(every, steps, every) if every else ())}
    return sum(max(1, math.ceil(gap * seconds_a_step / SAVE_SECONDS)) for gap in np.diff([0, *sorted(at)]))


def _row_lengths(job: Job, split: Split) -> tuple[NDArray[np.int64], int]:
    rows = np.arange(len(split))
    join = joins_pairs(job.settings.pair_mode)
    return input_lengths(job.reader.template, split.sides, rows, join=join, max_length=job.reader.max_length)


def _epoch_steps(job: Job, phase: Phase) -> int:
    return epoch_steps(job.settings, phase.tasks, {task: len(job.train[task]) for task in phase.tasks})


def _steps_of(job: Job, phase: Phase) -> Iterator[Step]:
    sizes = {task: len(job.train[task]) for task in phase.tasks}
    return phase_steps(job.settings, phase, sizes, groups_of(job.settings, job.tasks, job.train, phase.tasks))


def _walk(job: Job, phase: Phase, lengths: dict[str, NDArray[np.int64]], out: Forecast) -> NDArray[np.int64]:
    """Count examples and tokens of every step of a phase into `out`; return tokens by step."""
    tokens, taken = np.zeros(phase.steps, np.int64), dict.fromkeys(phase.tasks, 0)
    for at, step in enumerate(_steps_of(job, phase)):
        for task, rows in step.rows.items():
            count = int(lengths[task][rows].sum())
            tokens[at] += count
            out.tasks[task].tokens += count
            out.tasks[task].examples += len(rows)
            taken[task] += 1
    if draws_tasks(job.settings, phase.tasks):
        for task, count in taken.items():
            out.tasks[task].epoch_batches = round(count * _epoch_steps(job, phase) / phase.steps)
    out.steps += phase.steps
    return tokens


def spread_out(count: int) -> Iterator[float]:
    """Yield `count` places in (0, 1) that lie evenly however early one stops: 1/2, 1/4, 3/4, 1/8, …"""
    for number in range(1, count + 1):
        place, share = 0.0, 0.5
        while number:
            place += share * (number & 1)
            number >>= 1
            share /= 2
        yield place


def _time_steps(job: Job, phase: Phase, tokens: NDArray[np.int64], phases: int, out: Forecast) -> PhaseState:
    """Do a few steps of a phase, spread over their lengths; add the time of all its steps to `out`."""
    by_length = np.argsort(tokens, kind="stable")
    chosen = [int(by_length[int(place * len(by_length))]) for place in spread_out(min(MOST, 4 * phase.steps))]
    longest = int(by_length[-1])
    wanted = {chosen[0], longest, *chosen}
    found = {at: step for at, step in enumerate(_steps_of(job, phase)) if at in wanted}
    trainer = Trainer(job, Callbacks(_ignore, _ignore, _ignore, lambda: False), None)
    state = PhaseState(job.model, phase, job.settings, job.device, job.bf16, recorder=trainer.recorder)
    out.trained = max(out.trained, sum(p.numel() for _, p in state.named))

    def seconds(at: int, *, logged: bool = False) -> float:
        prepared = trainer.batcher(found[at])
        if trainer.recorder is not None:
            # Most steps replay a recording: the first use of a shape is done anew, and the second recorded.
            for _ in range(2):
                trainer.take_step(prepared, state, phase, logged=logged)
            trainer.finish_step(state, phase)
        _wait(job)
        started = time.perf_counter()
        trainer.take_step(prepared, state, phase, logged=logged)
        trainer.finish_step(state, phase)
        _wait(job)
        return time.perf_counter() - started

    # The longest first: memory is taken from the system once, and reused by all steps after it.
    first = seconds(longest, logged=True)
    seconds(chosen[0])
    held = peak_memory()
    times: list[float] = []
    began = time.perf_counter()
    for at in chosen:
        times.append(seconds(at))
        if len(times) >= LEAST and time.perf_counter() - began > PROBE_SECONDS / phases:
            break
    out.creep += _later_growth(peak_memory() - held, len(times), phase.steps)
    logged = max(0.0, seconds(chosen[0], logged=True) - times[0])
    mean = float(np.mean(times))
    starting = max(0.0, first - mean * float(tokens[longest]) / float(tokens.mean()))
    out.seconds["steps"] += starting + phase.steps * mean + math.ceil(phase.steps / LOG_EVERY) * logged
    out.probed += len(times)
    state.keep_best()
    return state


def _later_growth(grown: int, probed: int, all_steps: int) -> int:
    """Return how much more than `grown` bytes the process grows in the steps after the probed ones.

    Blocks of ever other sizes leave gaps. Measured: about with the square root of the steps, until the loop gives
    memory back.
    """
    return int(grown * max(0.0, math.sqrt(min(all_steps, TRIM_EVERY) / probed) - 1.0))


def _dev_seconds(job: Job, trained: Sequence[str], lengths: dict[str, tuple[NDArray[np.int64], int]]) -> float:
    """Return the expected seconds of one scoring, from a sample of each task's rows, by tokens."""
    total = 0.0
    for task in job.model.tasks:
        if task.name in job.dev:
            rows_tokens, _ = _row_lengths(job, job.dev[task.name])
            total += _predict_seconds(job, task.name, job.dev[task.name], rows_tokens, np.arange(len(rows_tokens)))
    for name, rows in train_sample(job.train, tuple(trained)).items():
        total += _predict_seconds(job, name, job.train[name], lengths[name][0], rows)
    return total


def _predict_seconds(job: Job, task: str, split: Split, tokens: NDArray[np.int64], rows: NDArray[np.int64]) -> float:
    sample = rows if len(rows) <= DEV_ROWS else np.sort(np.random.default_rng(0).choice(rows, DEV_ROWS, replace=False))
    _wait(job)
    started = time.perf_counter()
    predict(job.model, task, split.sides, job.reader, sample)
    _wait(job)
    return (time.perf_counter() - started) * float(tokens[rows].sum()) / max(1.0, float(tokens[sample].sum()))


def _save_seconds(state: PhaseState, save: Save) -> float:
    started = time.perf_counter()
    save(Snapshot(Position(), state.tensors()))
    return time.perf_counter() - started


def _wait(job: Job) -> None:
    if job.device.type == "cuda":
        torch.cuda.synchronize(job.device)


def _ignore(_: object) -> None:
    """Take a record and do nothing with it."""

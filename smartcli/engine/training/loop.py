"""The training loop: phases of steps, dev scores after each epoch, saves, and a stop at any step.

It knows neither terminal nor registry: batches come in, records and snapshots go out by callbacks.
"""

from __future__ import annotations

import time
from contextlib import closing
from itertools import islice

from torch import Tensor

from smartcli.counts import counted
from smartcli.engine.memory import is_out_of_memory, peak_memory, release_freed_memory
from smartcli.engine.training.batches import Batcher, Prepared, ahead
from smartcli.engine.training.dev_scores import DevScores, score_dev
from smartcli.engine.training.gradient_share import shares_of
from smartcli.engine.training.job import Callbacks, Job, Result
from smartcli.engine.training.outcome import Outcome
from smartcli.engine.training.phase_state import PhaseState, load_model
from smartcli.engine.training.recorder import not_recorded, recorder_for
from smartcli.engine.training.sampling import groups_of
from smartcli.engine.training.schedule import Phase, phase_steps
from smartcli.engine.training.snapshot import Position, Snapshot
from smartcli.engine.training.step_record import step_event
from smartcli.engine.training.waiting import Waiting, memory_explained
from smartcli.errors import SmartCliError
from smartcli.log_events import DevEvent, NoteEvent, WarningEvent

LOG_EVERY = 10
TRIM_EVERY = 100
"""Steps between two returns of freed memory; the step after one pays for its pages again."""
CHECK_EVERY = 100
"""Steps between two comparisons of an approximate ascent with the exact one, which costs three fp32 passes."""
SAVE_SECONDS = 600.0


class Interrupted(Exception):
    """The loop was asked to stop, and its state was saved."""


def train(job: Job, callbacks: Callbacks, resume: Snapshot | None = None) -> Result:
    """Run a job to its end, from the start or from a snapshot; raises Interrupted when asked to stop."""
    return Trainer(job, callbacks, resume).run()


class Trainer:
    """Holds a job's position while it runs."""

    def __init__(self, job: Job, callbacks: Callbacks, resume: Snapshot | None) -> None:
        self.job, self.callbacks, self.resume = job, callbacks, resume
        self.position = resume.position if resume is not None else Position()
        self.phases = job.phases()
        self.recorder = recorder_for(job.settings, job.device, job.processes)
        words = job.model.encoder.spec.vocab_size if self.recorder is not None else None
        self.batcher = Batcher(
            job.train, job.reader.template, job.settings, job.reader.max_length, job.device, job.processes, words
        )
        self.waiting: Waiting | None = None
        self.started = time.perf_counter() - self.position.seconds
        self.saved_at = time.perf_counter()
        self.kept: DevScores | None = None
        self.warnings: list[str] = []
        self.last_epoch: int | None = None
        self.asked = False

    def run(self) -> Result:
        """Train every phase that is not done yet."""
        if self.job.device.type == "cuda" and self.recorder is None:
            reason = not_recorded(self.job.settings, self.job.device, self.job.processes)
            self.callbacks.tick(NoteEvent(f"without CUDA graphs: {reason}"))
        if self.resume is not None:
            load_model(self.job.model, self.resume.tensors["model"])
        try:
            while self.position.phase < len(self.phases):
                self._run_phase(self.phases[self.position.phase])
            scores = self.kept or self._score(self.phases[-1].tasks)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise SmartCliError(
                f"out of memory after step {self.position.total}, outside a step ({str(error) or 'no reason'}); free "
                "memory and go on from the last save with --resume, or start another run with a lower --batch-size "
                "or --max-length"
            ) from error
        return Result(
            self.last_epoch or self.position.best_epoch,
            scores.outputs,
            scores,
            self.position,
            peak_memory(),
            self.warnings,
        )

    def _run_phase(self, phase: Phase) -> None:
        job, at = self.job, self.position
        state = PhaseState(job.model, phase, job.settings, job.device, job.bf16, job.processes, self.recorder)
        if self.resume is not None and at.step > 0:
            state.restore(self.resume.tensors)
        self.resume = None
        sizes = {task: len(job.train[task]) for task in phase.tasks}
        all_steps = phase_steps(job.settings, phase, sizes, groups_of(job.settings, job.tasks, job.train, phase.tasks))
        self.last_epoch = None
        # A stop leaves this loop by an exception, which would keep the thread alive as long as its traceback.
        with closing(ahead(self.batcher.over(islice(all_steps, at.step, None)), lambda made: made)) as batches:
            for prepared in batches:
                number = prepared.step.number
                ends = prepared.step.ends_epoch or number == phase.steps
                self.take_step(prepared, state, phase, logged=number == 1 or number % LOG_EVERY == 0 or ends)
                if ends:
                    self.finish_step(state, phase)
                if ends or number % TRIM_EVERY == 0:
                    release_freed_memory()
                if ends:
                    self._end_epoch(prepared.step.epoch, state, phase)
                if number == phase.steps:
                    self._end_phase(state, phase)
                self._save_if_due(state, phase, ends, number)

    def take_step(self, prepared: Prepared, state: PhaseState, phase: Phase, *, logged: bool) -> None:
        """Ask for an update, and report the one before where that still ran, else this one.

        SmartCliError where memory runs out or a number is not finite.
        """
        check = logged and prepared.step.number % CHECK_EVERY <= 1
        before, self.waiting = self.waiting, self._ask(Waiting(prepared, logged, check), state)
        if before is not None and not self._report(before, state, phase):
            # Asked for behind a bad step, it drew numbers and changed nothing.
            state.streams.restore(self.waiting.streams)
            self.waiting = self._ask(self.waiting, state)
        if not state.updater.runs_on:
            self.finish_step(state, phase)

    def finish_step(self, state: PhaseState, phase: Phase) -> None:
        """Wait for the update that still runs, and report it."""
        if self.waiting is not None:
            waiting, self.waiting = self.waiting, None
            self._report(waiting, state, phase)

    def _ask(self, waiting: Waiting, state: PhaseState) -> Waiting:
        waiting.streams = state.streams.state()
        if self.job.processes.several:
            state.updater.stop = self.callbacks.stop()
        with memory_explained(self.position.total + 1, waiting.prepared):
            waiting.pending = state.updater.launch(waiting.prepared, probe=waiting.logged, check=waiting.check)
        self.asked = state.updater.stop
        return waiting

    def _report(self, waiting: Waiting, state: PhaseState, phase: Phase) -> bool:
        """Report an update; False where it was bad and is skipped, so that what was asked for behind it did nothing."""
        at, prepared = self.position, waiting.prepared
        with memory_explained(at.total + 1, prepared):
            outcome = waiting.pending.read()
        assert outcome is not None, "an update behind a bad one was not asked for again"
        if outcome.bad is not None:
            self._bad_step(prepared, outcome, state, waiting.streams)
        at.step += 1
        at.total += 1
        at.examples += prepared.count
        at.tokens += prepared.tokens
        at.truncated += prepared.truncated
        at.skipped_penalties += outcome.skipped
        if outcome.bad is not None:
            outcome.cosines, outcome.norms = {}, {}
            state.updater.go_on()
        for pair, cosine in outcome.cosines.items():
            entry = at.conflicts.setdefault(pair, [0, 0.0, 0])
            at.conflicts[pair] = [entry[0] + (cosine < 0), entry[1] + cosine, entry[2] + 1]
        for task, norm in outcome.norms.items() if waiting.logged else ():
            at.task_norms[task] = at.task_norms.get(task, 0.0) + norm
        event = step_event(prepared, outcome, phase.key if len(self.phases) > 1 else None, at, self._seconds())
        (self.callbacks.record if waiting.logged else self.callbacks.tick)(event)
        return outcome.bad is None

    def _bad_step(self, prepared: Prepared, outcome: Outcome, state: PhaseState, before: dict[str, Tensor]) -> None:
        at, ids = self.position, []
        for task in outcome.bad_tasks:
            rows = prepared.step.rows[task]
            ids.append(f"{task}: {', '.join(self.job.train[task].row_id(int(row)) for row in rows)}")
        what = f"step {at.total + 1}: the {outcome.bad} of {', '.join(outcome.bad_tasks)} is not finite"
        if at.bad_steps < self.job.settings.skip_bad_steps:
            at.bad_steps += 1
            self.callbacks.tick(WarningEvent(f"{what}; skipped ({at.bad_steps} so far)"))
            return
        skipped = f" after {counted(at.bad_steps, 'skipped step')}" if at.bad_steps else ""
        rows_and_advice = (
            f"Rows: {'; '.join(ids)}. Lower --lr or --lambda, set --clip-norm 1, look at these rows, or go on past "
            "a few such steps with --resume --skip-bad-steps N"
        )
        if not state.finite():
            raise SmartCliError(
                f"{what}{skipped}, since an update before it made weights infinite or NaN; the run's last save is "
                f"kept. {rows_and_advice}"
            )
        state.streams.restore(before)
        self._save(state)
        raise SmartCliError(f"{what}{skipped}; nothing was updated, and the state before it is kept. {rows_and_advice}")

    def _end_epoch(self, epoch: int, state: PhaseState, phase: Phase) -> None:
        at = self.position
        self.job.processes.check_same(list(state.model_tensors().values()))
        with state.averaged():
            scores = self._score(phase.tasks)
        conflicts = {
            pair: {"share": entry[0] / entry[2], "cosine": entry[1] / entry[2], "steps": int(entry[2])}
            for pair, entry in at.conflicts.items()
        }
        shares, at.conflicts, at.task_norms = shares_of(at.task_norms), {}, {}
        event = DevEvent(
            epoch=epoch,
            step=at.total,
            phase=phase.key if len(self.phases) > 1 else None,
            seconds=self._seconds(),
            scores=scores.by_task(self.job.table),
            overall=scores.overall(self.job.table),
            train={task: score.to_json() for task, score in scores.train.items()},
            conflicts=conflicts,
            grad_share=shares,
        )
        self.callbacks.record(event)
        value, best = scores.chosen_by, at.best_value
        better = at.best_epoch is None or (value is not None and (best is None or value > best))
        if self.job.settings.keep == "last" or better or (value is None and best is None):
            at.best_epoch, at.best_value = epoch, value
            self.kept = scores
            with state.averaged():
                state.keep_best()

    def _end_phase(self, state: PhaseState, phase: Phase) -> None:
        at = self.position
        if state.updater.problem is not None and self.job.settings.cuda_graphs != "off":
            self.warnings.append(f"without CUDA graphs: {state.updater.problem}; the steps took longer")
        if at.best_value is None:
            self.warnings.append(f"no dev score to choose an epoch by ({phase.key}); the last one is kept")
        state.restore_best()
        self.last_epoch = at.best_epoch
        at.phase, at.step = at.phase + 1, 0
        if at.phase < len(self.phases):
            at.best_epoch = at.best_value = None

    def _score(self, trained: tuple[str, ...]) -> DevScores:
        job = self.job
        try:
            return score_dev(job.model, job.dev, job.train, trained, job.reader, job.score, job.processes)
        except FloatingPointError as error:
            raise SmartCliError(f"step {self.position.total}: {error}; lower --lr, or set --clip-norm 1") from error

    def _save_is_due(self, ends_epoch: bool, number: int) -> bool:
        every = self.job.settings.save_every
        due = ends_epoch or time.perf_counter() - self.saved_at >= SAVE_SECONDS
        return due or (every is not None and number % every == 0)

    def _save_if_due(self, state: PhaseState, phase: Phase, ends_epoch: bool, number: int) -> None:
        asked = self.asked if self.job.processes.several else self.callbacks.stop()
        if asked or self._save_is_due(ends_epoch, number):
            self.finish_step(state, phase)
            self._save(state)
        if asked:
            raise Interrupted

    def _save(self, state: PhaseState) -> None:
        if not state.finite():
            raise SmartCliError(
                f"step {self.position.total}: its update, or one before it, made weights infinite or NaN; they are "
                "not saved, and the run's last save is kept. Lower --lr or --lambda, or set --clip-norm 1"
            )
        self.position.seconds = self._seconds()
        done = self.position.step == 0
        tensors = {"model": state.model_tensors()} if done else state.tensors()
        self.callbacks.save(Snapshot(self.position, tensors))
        self.saved_at = time.perf_counter()

    def _seconds(self) -> float:
        return round(time.perf_counter() - self.started, 3)

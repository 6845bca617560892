"""The one module that speaks to Optuna: asks, reports, ends and takes over trials."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.trial import FrozenTrial, Trial, TrialState

from smartcli.errors import UserError
from smartcli.processes import this_process
from smartcli.workflows.search.bounds import Bounds, Choice, Range
from smartcli.workflows.search.liveness import BEAT, WORKER
from smartcli.workflows.search.search_storage import Patience, open_storage
from smartcli.workflows.search.slots import FAILURE, KILLED, MISTAKE, RELEASED, ROOT, Attempt, Slot, State, slots_of
from smartcli.workflows.search.tpe import SeededTPE

ABOUT = "smart"
"""The study's note of what is searched; a study that others share must be the same."""
PRUNE_AFTER = 5
"""Completed trials before a median says something."""
_STATES: dict[TrialState, State] = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "fail",
}


class Study:
    """A study in a storage, as one worker uses it. Each call waits out an outage, and raises StorageGone after that."""

    def __init__(
        self, patience: Patience, name: str, bounds: Bounds, about: Mapping[str, Any], seed: int, prune: bool
    ) -> None:
        """Open the study `name`, or begin it. UserError where one of that name searches something else."""
        # What goes wrong is raised; notes beside would break the table of trials.
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        self._patience, self._bounds = patience, bounds
        self._trials: dict[int, Trial] = {}
        self._beats: dict[int, int] = {}
        self._me = this_process().token
        self._study = patience.tried(lambda: _opened(patience, name, seed, prune))
        self._check(name, dict(about))

    @property
    def outages(self) -> int:
        """Tries at the storage that were in vain so far."""
        return self._patience.outages

    def _check(self, name: str, about: dict[str, Any]) -> None:
        known = self._about()
        if known is None and self.slots():
            # Another worker may have begun the study between these two looks.
            known = self._about()
            if known is None:
                raise UserError(
                    f'the study "{name}" in {self._patience.place.shown} was not made by smart sweep; choose another '
                    "--name"
                )
        if known is None:
            self._patience.tried(lambda: self._study.set_user_attr(ABOUT, about))
        elif known != about:
            other = ", ".join(key for key in {**known, **about} if known.get(key) != about.get(key))
            raise UserError(
                f'the study "{name}" in {self._patience.place.shown} searches something else: its {other} differ from '
                "this command's; all its workers must be started with the same options, or choose another --name"
            )

    def _about(self) -> dict[str, Any] | None:
        return self._patience.tried(lambda: self._study.user_attrs.get(ABOUT))

    def slots(self) -> list[Slot]:
        """Return the trials as they stand."""
        found = self._patience.tried(lambda: self._study.get_trials(deepcopy=False))
        return slots_of([_attempt(one) for one in found])

    def ask(self) -> Attempt:
        """Return a new attempt of this worker: of a trial that waits to go on, else of a new one."""
        trial = self._patience.tried(lambda: self._study.ask({k: _distribution(v) for k, v in self._bounds.items()}))
        self._trials[trial.number] = trial
        for key, value in ((WORKER, self._me), ("host", socket.gethostname())):
            self._note(trial, key, value)
        return self._patience.tried(lambda: Attempt(trial.number, "running", trial.params, trial.user_attrs))

    def report(self, number: int, epoch: int, score: float) -> bool:
        """Note the score after an epoch, counted from 1; return whether the trial should end here."""
        trial = self._trials[number]
        try:
            # An epoch that was reported before keeps its first score, which is the same.
            self._patience.tried(lambda: trial.report(score, epoch))
        except UpdateFinishedTrialError:
            return False  # The heartbeat will say it.
        return bool(self._patience.tried(trial.should_prune))

    def beat(self, number: int) -> bool:
        """Say that the attempt goes on; False where another worker has taken it over."""
        self._beats[number] = self._beats.get(number, 0) + 1
        return self._note(self._trials[number], BEAT, self._beats[number])

    def complete(self, number: int, score: float, notes: Mapping[str, Any]) -> bool:
        """End an attempt with its score; False where another worker has taken it over, and its result counts."""
        return self._end(number, TrialState.COMPLETE, notes, score)

    def prune(self, number: int) -> bool:
        """End an attempt that fell behind the median."""
        return self._end(number, TrialState.PRUNED, {})

    def fail(self, number: int, reason: str) -> bool:
        """End a trial whose training ended with an error of its own."""
        return self._end(number, TrialState.FAIL, {FAILURE: reason})

    def killed(self, number: int, reason: str) -> bool:
        """End an attempt whose process was killed; its trial is begun again by whoever looks next."""
        return self._end(number, TrialState.FAIL, {KILLED: reason})

    def release(self, number: int, mistake: str | None = None) -> bool:
        """Give back an attempt that was stopped and saved, or by a user's `mistake`: it waits for any worker."""
        return self._end(number, TrialState.FAIL, {RELEASED: True} | ({MISTAKE: mistake} if mistake else {}))

    def drop(self, number: int) -> None:
        """End an attempt that is one too many: others began the last trials at the same moment."""
        self._end(number, TrialState.FAIL, {RELEASED: True})

    def bury(self, attempt: Attempt) -> bool:
        """End the attempt of a dead worker; False where another one did it first."""
        return self._tell(attempt.number, TrialState.FAIL)

    def retry(self, slot: Slot) -> None:
        """Queue a trial that nobody works at any more, with the values that were drawn for it."""
        params = dict(slot.params)
        self._patience.tried(lambda: self._study.enqueue_trial(params, user_attrs={ROOT: slot.root}))

    def _end(self, number: int, state: TrialState, notes: Mapping[str, Any], score: float | None = None) -> bool:
        # Kept until it has ended: a Ctrl-C while the storage is away ends it once more.
        trial = self._trials[number]
        noted = all(self._note(trial, key, value) for key, value in notes.items())
        ended = noted and self._tell(number, state, score)
        self._trials.pop(number, None)
        return ended

    def _tell(self, number: int, state: TrialState, score: float | None = None) -> bool:
        tries = 0

        def once() -> bool:
            nonlocal tries
            tries += 1
            try:
                self._study.tell(number, score, state=state)
            except (UpdateFinishedTrialError, ValueError):
                # Ended already: by another worker, unless an earlier try's answer was lost.
                return tries > 1 and self._study.trials[number].state == state
            return True

        return self._patience.tried(once)

    def _note(self, trial: Trial, key: str, value: Any) -> bool:
        try:
            self._patience.tried(lambda: trial.set_user_attr(key, value))
        except UpdateFinishedTrialError:
            return False
        return True


def _opened(patience: Patience, name: str, seed: int, prune: bool) -> optuna.Study:
    storage = open_storage(patience.place)
    pruner: BasePruner = MedianPruner(n_startup_trials=PRUNE_AFTER) if prune else NopPruner()
    try:
        return optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            sampler=SeededTPE(seed),
            pruner=pruner,
            load_if_exists=True,
        )
    except DuplicatedStudyError:
        return optuna.load_study(storage=storage, study_name=name, sampler=SeededTPE(seed), pruner=pruner)


def _distribution(bound: Range | Choice) -> BaseDistribution:
    if isinstance(bound, Choice):
        return CategoricalDistribution(bound.values)
    if bound.whole:
        return IntDistribution(int(bound.low), int(bound.high), log=bound.log, step=int(bound.step or 1))
    return FloatDistribution(bound.low, bound.high, log=bound.log, step=bound.step)


def _attempt(found: FrozenTrial) -> Attempt:
    params = found.params or found.system_attrs.get("fixed_params", {})
    return Attempt(
        found.number,
        _STATES[found.state],
        params,
        found.user_attrs,
        found.value,
        found.intermediate_values,
    )

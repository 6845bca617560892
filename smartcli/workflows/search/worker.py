"""Takes trials one after the other, or several at a time, and trains each in a process of its own."""

from __future__ import annotations

import contextlib
import queue
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from smartcli.counts import counted
from smartcli.errors import SmartCliError, Stopped, UserError
from smartcli.log_events import DevEvent, parse
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Runs
from smartcli.workflows.search.liveness import BEAT_SECONDS, Watch
from smartcli.workflows.search.refusals import Refusals
from smartcli.workflows.search.search_plan import Search
from smartcli.workflows.search.search_storage import StorageGone
from smartcli.workflows.search.search_watcher import SearchWatcher
from smartcli.workflows.search.slots import Attempt, Slot, holds
from smartcli.workflows.search.study import Study
from smartcli.workflows.search.trial_scores import dev_score, epochs_so_far, notes_of
from smartcli.workflows.studies.cells import Finished, Planned
from smartcli.workflows.studies.jobs import WAKE_SECONDS, CellJob, check_jobs, share_threads
from smartcli.workflows.training.signals import StopFlag, stop_on_signals

LOOK_SECONDS = 2.0
"""How often the storage is read while nothing happens here."""
MOST_FAILURES = 3
"""Trainings that may fail one after the other before the fault is taken to be this machine's."""
AGAIN = "finished trials are kept: run the same command again to go on"


@dataclass
class _Taken:
    """An attempt of this worker, and its process once that runs."""

    attempt: Attempt
    planned: Planned
    job: CellJob | None = None
    epochs: int = 0
    behind: bool = False
    """Whether it was told to end, being below the median."""
    lost: bool = False
    """Whether another worker took it over."""


class Worker:
    """One of the workers of a study."""

    def __init__(self, search: Search, study: Study, argv: list[str], watcher: SearchWatcher, jobs: int = 1) -> None:
        """`argv` is stored with each checkpoint, so it must hold no password; `jobs` trainings run at a time."""
        check_jobs(jobs)
        self.search, self.study, self.argv, self.watcher, self.jobs = search, study, argv, watcher, jobs
        self.home = search.base.home
        self.registry, self.runs, self.watch = Registry(self.home), Runs(self.home), Watch()
        self.refusals = Refusals(self.home)
        self.events: queue.Queue[tuple[CellJob, Mapping[str, Any] | None]] = queue.Queue()
        self.taken: dict[int, _Taken] = {}
        self.slots: list[Slot] = []
        self.failures: list[str] = []
        # Trials whose dead attempts were ended here, and those that nobody worked at when the study was read last.
        self._buried, self._orphans = set[int](), set[int]()
        self.threads, self._look_at, self._beat_at = 1, 0.0, 0.0
        self._outages = study.outages

    def run(self) -> list[Slot]:
        """Work until all trials of the study have ended, here or elsewhere; return them.

        Stopped where a signal ended the work, after every training saved; SmartCliError where the storage is gone or
        training fails again and again. What was begun then waits for any worker, and the same command goes on.
        """
        self.threads = share_threads(self.search.base, [self.search.example()], self.jobs)
        with stop_on_signals() as stop, self._ending():
            told = False
            while self.taken or not (stop() or self._done()):
                if not stop():
                    self._fill()
                elif not told:
                    told = True
                    self._signal_all(stop.signal or signal.SIGTERM)
                self._hear(stop)
                self._beat()
        if stop() and not self._done():
            raise Stopped(f"stopped; {AGAIN}", stop.exit_code)
        return self.slots[: self.search.trials]

    def _done(self) -> bool:
        return len(self.slots) >= self.search.trials and all(slot.ended for slot in self.slots[: self.search.trials])

    def _fill(self) -> None:
        """Look at the study, put back what dead workers left, and take trials while there is room."""
        if time.monotonic() < self._look_at:
            return
        self._look()
        self._rescue()
        while len(self.taken) < self.jobs and self._open():
            attempt = self.study.ask()
            try:
                planned = self.search.planned(attempt.root, attempt.params)
            except UserError as error:
                # Each value is fine alone, but these do not go together: a failed trial, not the end of the search.
                self.study.fail(attempt.number, str(error))
                self.watcher.tell(f"trial {attempt.root} cannot be: {error}")
                self._look()
                continue
            self.taken[attempt.number] = taken = _Taken(attempt, planned)
            self._look()
            if holds(self.slots, attempt.number, self.search.trials):
                self._begin(taken)
            else:
                del self.taken[attempt.number]
                self.study.drop(attempt.number)

    def _look(self) -> None:
        self.slots = self.study.slots()
        self.refusals.look(self.slots)
        self._look_at = time.monotonic() + LOOK_SECONDS
        if self.study.outages != self._outages:
            self._outages = self.study.outages
            self.watch.forget()

    def _open(self) -> bool:
        """Return whether there is a trial to take: one that waits, or a new one."""
        mine = self.slots[: self.search.trials]
        waits = any(slot.current is not None and slot.current.state == "waiting" for slot in mine)
        return waits or len(mine) < self.search.trials

    def _rescue(self) -> None:
        """Queue the trials of dead workers again, unless a process of theirs still runs on this registry."""
        for slot in self.slots[: self.search.trials]:
            current = slot.current
            if current is None or current.state != "running" or current.number in self.taken:
                continue
            if self.watch.dead(current) and not self._still_runs(slot) and self.study.bury(current):
                self._buried.add(slot.root)
                self.watcher.tell(
                    f"trial {slot.root}: its worker is gone; it goes on from its last save, where that is here"
                )
        self._look()
        orphans = {slot.root: slot for slot in self.slots[: self.search.trials] if slot.orphaned}
        # Who buried an attempt queues the next one; others only where that one is still missing at the second look.
        mine = orphans.keys() & (self._buried | self._orphans)
        for root in sorted(mine):
            self.study.retry(orphans[root])
        self._buried.clear()
        self._orphans = set(orphans) - mine
        if mine:
            self._look()

    def _still_runs(self, slot: Slot) -> bool:
        if len(slot.params) < len(self.search.bounds):
            return False
        try:
            name = self.search.planned(slot.root, slot.params).name
        except UserError:
            return False
        return self.runs.exists(name) and self.runs.find(name).owner() is not None

    def _begin(self, taken: _Taken) -> None:
        """Start an attempt, from where an earlier one left it: its checkpoint, its run's last save, or nothing."""
        name = taken.planned.name
        self.watcher.begin(taken.planned)
        for event in epochs_so_far(self.home, name):
            taken.behind = self._falls_behind(taken, event)
        if name in self.registry.names():
            self._complete(taken, reused=True)
        elif taken.behind:
            self._prune(taken)
        else:
            taken.job = CellJob(self.search.base, taken.planned, self.argv, self.threads, self.events)

    def _falls_behind(self, taken: _Taken, event: DevEvent) -> bool:
        """Report the score after an epoch; return whether the trial should end there."""
        taken.epochs += 1
        score = dev_score(event.scores, self.search.tasks)
        return score is not None and self.study.report(taken.attempt.number, taken.epochs, score)

    def _hear(self, stop: StopFlag) -> None:
        try:
            job, event = self.events.get(timeout=WAKE_SECONDS)
        except queue.Empty:
            return
        taken = next((one for one in self.taken.values() if one.job is job), None)
        if taken is None:
            return
        if event is None:
            self._end(taken, job, stop)
            return
        parsed = parse(event)
        self.watcher.record(taken.planned, parsed)
        if isinstance(parsed, DevEvent) and not (taken.behind or taken.lost) and self._falls_behind(taken, parsed):
            taken.behind = True
            job.signal(signal.SIGTERM)

    def _end(self, taken: _Taken, job: CellJob, stop: StopFlag) -> None:
        """Take that an attempt's process ended."""
        self._look_at = 0.0
        number, why = taken.attempt.number, job.failure
        if taken.lost:
            self._drop(taken, "another worker has taken it over")
        elif why is None:
            self._complete(taken, reused=False)
        elif taken.behind:
            self._prune(taken)
        elif stop():
            self.study.release(number)
            self._drop(taken, why)
        elif job.end.get("code") == UserError.exit_code and not self.refusals.of_values(taken.attempt, why):
            self.study.release(number, self.refusals.note(why))
            self._drop(taken, why)
            raise UserError(f"{taken.planned.name}: {why}")
        elif job.end:
            self.study.fail(number, why)
            self._drop(taken, why)
            self._count_failure(f"{taken.planned.name}: {why}")
        else:
            self.study.killed(number, why)
            self._buried.add(taken.attempt.root)
            self._drop(taken, why)

    def _complete(self, taken: _Taken, *, reused: bool) -> None:
        meta = self.registry.open(taken.planned.name).meta
        score = dev_score(meta.metrics, self.search.tasks)
        if score is None:
            raise UserError(
                f"{taken.planned.name}: there is no dev score of {', '.join(self.search.tasks)} to search by; a search "
                "needs dev rows with labels for every task that is trained"
            )
        counts = self.study.complete(taken.attempt.number, score, notes_of(taken.planned.name, meta, taken.epochs))
        del self.taken[taken.attempt.number]
        self.failures.clear()
        self.refusals.got_through |= not reused
        if counts:
            self.watcher.end(Finished(taken.planned, meta, reused))
        else:
            self.watcher.fail(taken.planned, "another worker has taken it over")

    def _prune(self, taken: _Taken) -> None:
        self.study.prune(taken.attempt.number)
        del self.taken[taken.attempt.number]
        self.failures.clear()
        if self.runs.exists(taken.planned.name):
            self.runs.remove(taken.planned.name)
        self.watcher.prune(taken.planned, taken.epochs)

    def _drop(self, taken: _Taken, reason: str) -> None:
        del self.taken[taken.attempt.number]
        self.watcher.fail(taken.planned, reason)

    def _count_failure(self, said: str) -> None:
        self.failures.append(said)
        if len(self.failures) >= MOST_FAILURES:
            raise SmartCliError(
                f"{counted(MOST_FAILURES, 'trial')} failed one after the other: {'; '.join(self.failures)}"
            )

    def _beat(self) -> None:
        if time.monotonic() < self._beat_at:
            return
        self._beat_at = time.monotonic() + BEAT_SECONDS
        for taken in self.taken.values():
            if not taken.lost and not self.study.beat(taken.attempt.number):
                taken.lost = True
                if taken.job is not None:
                    taken.job.signal(signal.SIGTERM)

    def _signal_all(self, number: int) -> None:
        for taken in self.taken.values():
            if taken.job is not None:
                taken.job.signal(number)

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        """Leave no process behind and no trial in hand, whatever ends the work."""
        try:
            yield
        except KeyboardInterrupt:
            self._signal_all(signal.SIGINT)
            self._leave(give_back=True)
            raise Stopped(f"stopped at once; {AGAIN}", 128 + signal.SIGINT) from None
        except StorageGone as error:
            self._leave(give_back=False)
            raise SmartCliError(f"{error}; what was begun is saved, and {AGAIN}") from None
        except BaseException:
            self._leave(give_back=True)
            raise

    def _leave(self, *, give_back: bool) -> None:
        for taken in self.taken.values():
            if taken.job is not None:
                taken.job.close()
        if give_back:
            with contextlib.suppress(StorageGone):
                for number in list(self.taken):
                    self.study.release(number)
        self.taken.clear()

"""Cells of a sweep or reproduction, several at a time: each a process of its own on the same registry."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from smartcli.counts import counted
from smartcli.errors import SmartCliError, Stopped, UserError
from smartcli.log_events import parse
from smartcli.registry.registry import Registry
from smartcli.workflows.studies import cells
from smartcli.workflows.studies.cell_process import ENDED, to_line
from smartcli.workflows.studies.cells import Base, Finished, Planned, Watcher, resolve_cell
from smartcli.workflows.training.signals import StopFlag, stop_on_signals

WAKE_SECONDS = 0.2
"""How long a signal may wait while no cell says anything."""
GRACE_SECONDS = 120.0
"""How long a cell may take to finish its step and save, before it is killed."""


def work_off(base: Base, plan: Sequence[Planned], argv: list[str], watcher: Watcher, jobs: int = 1) -> list[Finished]:
    """Train what is not there yet, `jobs` cells at a time, and return every cell's checkpoint in the plan's order.

    One at a time they run in this process. A cell that fails or is killed leaves the others alone: they are finished
    first, and then a SmartCliError names it. Stopped where a signal ended the work; the same command then goes on.
    """
    check_jobs(jobs)
    if jobs == 1 or len(plan) == 1:
        return cells.run(base, plan, argv, watcher)
    return _Pool(base, plan, argv, watcher, jobs).run()


def check_jobs(jobs: int) -> None:
    """Raise a UserError unless there is at least one job."""
    if jobs < 1:
        raise UserError(f"--jobs must be at least 1, found {jobs}")


def share_threads(base: Base, plan: Sequence[Planned], jobs: int) -> int:
    """Return each job's share of the threads that one training would use, and settle its number format.

    The probe of bf16 is timed here where it is not stored yet: processes that time it side by side would disturb each
    other, and two cells might choose differently.
    """
    from smartcli.engine.device import choose, default_threads

    share = max(1, default_threads() // jobs)
    for one in plan:
        settings = resolve_cell(base, one.command, one.flags).settings
        choose(replace(settings, threads=settings.threads or share), base.home)
    return share


class CellJob:
    """A cell's process; threads of its own read what it says, so that its pipes never fill up."""

    def __init__(self, base: Base, one: Planned, argv: list[str], threads: int, events: queue.Queue[Any]) -> None:
        self.planned = one
        self.said: deque[str] = deque(maxlen=20)
        """The last lines of its stderr."""
        self.end: Mapping[str, Any] = {}
        # The environment and not --threads, since a run that goes on keeps the threads with which it started.
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        # In a process group of its own a terminal's Ctrl-C reaches it once, from here.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "smartcli.workflows.studies.cell_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=environment,
            process_group=0,
        )
        self._reader = threading.Thread(target=self._listen, args=(events,), daemon=True)
        self._errors = threading.Thread(target=self._keep_errors, daemon=True)
        self._reader.start()
        self._errors.start()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(to_line(base, one, argv))
            self.process.stdin.flush()

    def _listen(self, events: queue.Queue[Any]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # A process that is killed may leave half a line.
            if event.get("event") == ENDED:
                self.end = event
            else:
                events.put((self, event))
        self._errors.join()
        self.process.wait()
        events.put((self, None))

    def _keep_errors(self) -> None:
        assert self.process.stderr is not None
        self.said.extend(line.rstrip() for line in self.process.stderr)

    def signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def close(self) -> None:
        """Let the process end, as when this one is gone; kill it where it does not."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._reader.join()

    @property
    def failure(self) -> str | None:
        """Why it ended without a checkpoint; None where all is well."""
        code = self.process.returncode
        if code == 0:
            return None
        if self.end.get("message"):
            return str(self.end["message"])
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return next((line for line in reversed(self.said) if line.strip()), f"ended with exit code {code}")


class _Pool:
    """Starts cells as there is room and their first checkpoint is there, and passes on what they say."""

    def __init__(self, base: Base, plan: Sequence[Planned], argv: list[str], watcher: Watcher, jobs: int) -> None:
        self.base, self.plan, self.argv, self.watcher, self.jobs = base, plan, argv, watcher, jobs
        self.registry = Registry(base.home)
        self.events: queue.Queue[tuple[CellJob, Mapping[str, Any] | None]] = queue.Queue()
        self.running: dict[str, CellJob] = {}
        self.finished: dict[str, Finished] = {}
        self.failed: dict[str, UserError | SmartCliError] = {}

    def run(self) -> list[Finished]:
        there = self.registry.names()
        for one in self.plan:
            if one.name in there:
                self._finish(one, reused=True)
        waiting = [one for one in self.plan if one.name not in self.finished]
        threads = share_threads(self.base, waiting, self.jobs) if waiting else 1
        with stop_on_signals() as stop, self._ending():
            told = False
            while self.running or (waiting and not stop()):
                if not stop():
                    waiting = self._start(waiting, threads)
                elif not told:
                    told = True
                    self._signal(stop)
                self._hear()
        self._report(stop)
        return [self.finished[one.name] for one in self.plan]

    def _start(self, waiting: list[Planned], threads: int) -> list[Planned]:
        """Start what there is room for; return what still waits, for room or for its first checkpoint."""
        left = []
        for one in waiting:
            if one.init in self.failed:
                self._fail(one, SmartCliError(f"it starts from {one.init}, which is not finished"))
            elif len(self.running) >= self.jobs or (one.init is not None and one.init not in self.finished):
                left.append(one)
            else:
                self.watcher.begin(one)
                self.running[one.name] = CellJob(self.base, one, self.argv, threads, self.events)
        return left

    def _hear(self) -> None:
        try:
            job, event = self.events.get(timeout=WAKE_SECONDS)
        except queue.Empty:
            return
        if event is not None:
            self.watcher.record(job.planned, parse(event))
            return
        del self.running[job.planned.name]
        if (why := job.failure) is not None:
            kind = UserError if job.end.get("code") == UserError.exit_code else SmartCliError
            self._fail(job.planned, kind(why))
        else:
            self._finish(job.planned, reused=False)

    def _finish(self, one: Planned, *, reused: bool) -> None:
        if reused:
            self.watcher.begin(one)
        self.finished[one.name] = Finished(one, self.registry.open(one.name).meta, reused)
        self.watcher.end(self.finished[one.name])

    def _fail(self, one: Planned, error: SmartCliError) -> None:
        self.failed[one.name] = error
        self.watcher.fail(one, str(error))

    def _signal(self, stop: StopFlag) -> None:
        for job in self.running.values():
            job.signal(stop.signal or signal.SIGTERM)

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        """Leave no process behind, whatever ends the work; a second Ctrl-C ends them at once."""
        try:
            yield
        except KeyboardInterrupt:
            for job in self.running.values():
                job.signal(signal.SIGINT)
            raise Stopped(self._where("stopped at once"), 128 + signal.SIGINT) from None
        finally:
            for job in self.running.values():
                job.close()

    def _report(self, stop: StopFlag) -> None:
        """Raise what must be said once no cell runs any more."""
        if stop():
            raise Stopped(self._where("stopped"), stop.exit_code)
        if not self.failed:
            return
        why = "; ".join(f"{name}: {error}" for name, error in self.failed.items())
        kind = UserError if all(isinstance(error, UserError) for error in self.failed.values()) else SmartCliError
        said = f"{counted(len(self.failed), 'cell')} of {len(self.plan)} not finished: {why}; the others are"
        raise kind(f"{said}: run the same command again to go on")

    def _where(self, word: str) -> str:
        names = ", ".join([*self.running, *(name for name in self.failed if name not in self.running)])
        return f"{word}{f' in {names}' if names else ''}; finished cells are kept: run the same command again to go on"

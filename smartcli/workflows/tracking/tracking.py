"""Hands a training's events to trackers, each on a thread of its own, which can neither slow nor end the training."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from smartcli.atomic import write_file
from smartcli.data.sealed import seal
from smartcli.errors import SmartCliError, Stopped
from smartcli.hidden import reason_of
from smartcli.home import Home
from smartcli.log_events import Event, StartEvent
from smartcli.registry.manifest import read_sealed
from smartcli.workflows.tracking.track_numbers import numbers_of, step_of
from smartcli.workflows.tracking.track_option import TrackTarget, advice, installed, parse
from smartcli.workflows.tracking.tracker import Ending, Known, Tracker
from smartcli.workflows.tracking.tracker_kinds import make_tracker, where

STATE = "trackers.json"
"""In the run's folder: what each tracker called the run, so that a resumed one goes on in it."""
FOLDER = "track"
"""Below the home: where trackers write that were given no place."""
WAIT_SECONDS = 30.0
"""How long the end of a training waits for its trackers."""
MOST_WAITING = 50_000
"""Events that may wait for a tracker that does not answer."""

Say = Callable[[str], None]
Begin = tuple[StartEvent, int | None, Known]
"""What `Tracker.open` takes."""


class _Worker:
    """A tracker on its thread. `failure` and `known` are set there, once, and read elsewhere."""

    def __init__(self, target: TrackTarget, tracker: Callable[[], Tracker], begin: Begin) -> None:
        self.target = target
        self.failure: BaseException | None = None
        self.known: Known | None = None
        self.told = False
        self._make, self._begin = tracker, begin
        self._items: queue.Queue[tuple[int, Mapping[str, float], float] | Ending] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._work, name=f"track {target.kind}", daemon=True)
        self._thread.start()

    def put(self, item: tuple[int, Mapping[str, float], float] | Ending) -> None:
        if self.failure is None:
            try:
                self._items.put_nowait(item)
            except queue.Full:
                self.failure = SmartCliError(f"it did not take {MOST_WAITING:,} events in time")

    def join(self, until: float) -> None:
        """Wait for the thread until that time of `time.monotonic`."""
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive() and self.failure is None:
            self.failure = SmartCliError(f"it did not take everything within {WAIT_SECONDS:.0f} s after the training")

    def _work(self) -> None:
        # Whatever a library raises, SystemExit included, must end here.
        try:
            tracker = self._make()
            self.known = tracker.open(*self._begin)
            while not isinstance(item := self._items.get(), str):
                tracker.log(*item)
            tracker.close(item)
        except BaseException as error:
            self.failure = error


class Tracking:
    """The trackers of one training, from its start to its end: a context manager around the training.

    A tracker that fails is dropped with one warning. `entries` None means those that the run had when it was stopped.
    """

    def __init__(
        self,
        home: Home,
        run: Path,
        targets: Sequence[TrackTarget] | None,
        start: StartEvent,
        after: int | None,
        *,
        say: Say,
        warn: Say,
    ) -> None:
        self._state, self._warn = run / STATE, warn
        before = _read(run)
        chosen = [parse(text) for text in before] if targets is None else list(targets)
        self._known: dict[str, Known] = {target.text: before.get(target.text, {}) for target in chosen}
        self._workers: list[_Worker] = []
        folder = home.root / FOLDER
        for target in chosen:
            if not installed(target.kind):
                warn(f"--track {target.shown}: its package is not installed; install it with: {advice(target.kind)}")
                continue
            say(f"tracked by {target.kind}: {where(target, folder)}")
            known = self._known[target.text]
            # A run that was killed before its first save starts again, in the same run of the tracker.
            begin = start, 0 if after is None and known else after, known
            self._workers.append(_Worker(target, partial(make_tracker, target, folder), begin))
        if not chosen and before:
            self._keep()

    def __enter__(self) -> Tracking:
        return self

    def hear(self, event: Event) -> None:
        """Hand on an event's numbers; returns at once."""
        step = step_of(event)
        if step is not None and self._workers:
            numbers, now = numbers_of(event), time.time()
            for worker in self._workers:
                worker.put((step, numbers, now))
            self._look()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        stopped = isinstance(error, Stopped | KeyboardInterrupt)
        ending: Ending = "finished" if error is None else "stopped" if stopped else "failed"
        for worker in self._workers:
            worker.put(ending)
        until = time.monotonic() + WAIT_SECONDS
        for worker in self._workers:
            worker.join(until)
        # A finished run's folder is gone; a name kept there would bring it back.
        self._look(keep=error is not None)

    def _look(self, *, keep: bool = True) -> None:
        """Warn of what failed, and store what a tracker called the run."""
        news = False
        for worker in self._workers:
            if worker.failure is not None and not worker.told:
                worker.told = True
                reason = worker.failure
                text = str(reason) if isinstance(reason, SmartCliError) else reason_of(reason)
                self._warn(f"--track {worker.target.shown} is given up: {text}; the training goes on without it")
            if worker.known is not None and worker.known != self._known[worker.target.text]:
                self._known[worker.target.text] = worker.known
                news = True
        if news and keep:
            self._keep()

    def _keep(self) -> None:
        try:
            write_file(self._state, seal({"format": 1, "trackers": self._known}))
        except SmartCliError as error:
            self._warn(f"{error}; a resumed run will begin anew in its trackers")


def _read(run: Path) -> dict[str, Any]:
    """Return what each tracker called the run; nothing where the file is not there or was altered."""
    try:
        found = read_sealed(run, STATE).get("trackers")
    except (SmartCliError, OSError):
        return {}
    return found if isinstance(found, dict) else {}

"""A cell that really trains, in a thread instead of a process: starting Python takes longer than these trainings."""

from __future__ import annotations

import json
import queue
import signal
import threading
from collections.abc import Callable
from typing import Any

from smartcli.errors import SmartCliError, Stopped
from smartcli.log_events import Event, StepEvent
from smartcli.workflows.studies.cells import Base, Planned, train_cell

Trouble = Callable[[Planned, Event], None]
_one_at_a_time = threading.Lock()


class ThreadJob:
    """Has the parts of CellJob that a worker uses; a signal ends it at its next event, without a save."""

    trouble: Trouble | None = None
    """Hears each event first; what it raises ends the training as an error of its own would."""

    def __init__(self, base: Base, one: Planned, argv: list[str], threads: int, events: queue.Queue[Any]) -> None:
        self.base, self.planned, self.argv, self.events = base, one, argv, events
        self.end: dict[str, Any] = {}
        self.failure: str | None = None
        self.stop: int | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            with _one_at_a_time:
                train_cell(self.base, self.planned, self.argv, self._say)
        except Killed:
            self.failure = "killed by SIGKILL"
        except Stopped as stopped:
            self.failure, self.end = "stopped, and saved", {"code": stopped.exit_code}
        except SmartCliError as error:
            self.failure, self.end = str(error), {"code": error.exit_code}
        self.events.put((self, None))

    def _say(self, event: Event) -> None:
        if self.stop is not None:
            raise Stopped("stopped", 128 + self.stop)
        if ThreadJob.trouble is not None:
            ThreadJob.trouble(self.planned, event)
        if not isinstance(event, StepEvent):
            self.events.put((self, json.loads(json.dumps(event.to_json()))))

    def signal(self, number: int) -> None:
        self.stop = number

    def close(self) -> None:
        self.stop = self.stop or signal.SIGTERM
        self.thread.join()


class Killed(Exception):
    """Stands for a kill -9 of the cell's process."""

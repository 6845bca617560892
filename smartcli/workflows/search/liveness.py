"""Which worker of a study is dead: its process where it can be asked, else a heartbeat that stands still.

Optuna's own heartbeat is not enough here: the journal has none, and a database's is looked at only when the next trial
begins, so that the last trial of a killed worker would stay open for ever. A heartbeat is a number that its worker
counts up; whoever watches measures on its own clock how long that number has not changed, so that clocks of several
machines need not agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from smartcli.processes import parse_token
from smartcli.workflows.search.slots import Attempt

BEAT_SECONDS = 15.0
GRACE_SECONDS = 120.0
"""How long a heartbeat may stand still: eight of them."""
WORKER, BEAT = "worker", "beat"
"""Notes: the process that trains an attempt, and its heartbeat."""


class Watch:
    """Remembers when each running attempt was last seen to change."""

    def __init__(self, grace: float = GRACE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        """`grace` in seconds."""
        self.grace, self.clock = grace, clock
        self._seen: dict[int, tuple[object, float]] = {}

    def dead(self, attempt: Attempt) -> bool:
        """Return whether the worker of a running attempt is dead.

        At once where its process is of this machine and gone; else when its heartbeat has stood still for `grace`
        seconds of watching.
        """
        process = parse_token(str(attempt.notes.get(WORKER, "")))
        if process is not None and process.alive() is False:
            return True
        now, beat = self.clock(), (attempt.notes.get(WORKER), attempt.notes.get(BEAT))
        before = self._seen.get(attempt.number)
        if before is None or before[0] != beat:
            self._seen[attempt.number] = (beat, now)
            return False
        return now - before[1] > self.grace

    def forget(self) -> None:
        """Begin anew: while the storage was away nobody's heartbeat could be seen."""
        self._seen.clear()

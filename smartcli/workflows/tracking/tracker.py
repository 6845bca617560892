"""What a tracker does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from smartcli.log_events import StartEvent

Known = Mapping[str, Any]
"""What a tracker wants to be told when the run goes on: JSON values by name, no secret."""
Ending = Literal["finished", "stopped", "failed"]


class Tracker(Protocol):
    """One run in one tracker. All is called on one thread; any error ends the tracking, and nothing else."""

    def open(self, start: StartEvent, after: int | None, known: Known) -> Known:
        """Begin, or go on after step `after` with the run that `known` names; return what names it."""
        ...

    def log(self, step: int, numbers: Mapping[str, float], seconds: float) -> None:
        """Take the numbers of an update, heard at `seconds` since 1970."""
        ...

    def close(self, ending: Ending) -> None:
        """Write out what is left, and say how the training ended."""
        ...

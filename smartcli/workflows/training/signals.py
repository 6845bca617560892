"""Signals during a training: finish the step, save, end; a second Ctrl-C ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
"""Ctrl-C; a stop from outside; what a queue sends before its time limit; a terminal that closes."""


class StopFlag:
    """Which signal asked to stop, if any."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """128 and the signal's number: 130 for Ctrl-C; 143 also where another process of the training had it."""
        return 128 + (self.signal or signal.SIGTERM)


def stopping_signals() -> list[int]:
    """Return the signals that ask for a stop here: not those that this system lacks, or that nohup has turned off."""
    found = [int(getattr(signal, name)) for name in NAMES if hasattr(signal, name)]
    return [number for number in found if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """Set the flag on a stopping signal; a second SIGINT raises KeyboardInterrupt at once.

    Outside the main thread no handler can be set, and the flag stays unset.
    """
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and flag.signal is not None:
            raise KeyboardInterrupt
        flag.signal = number

    before: dict[int, Any] = {number: signal.signal(number, handle) for number in stopping_signals()}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

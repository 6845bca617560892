"""A terminal that closes under a command: what it would have shown is dropped, and the work goes on to its end."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast


def discard(stream: TextIO) -> None:
    """Point stdout or stderr at nothing, so that the interpreter's last flush does not fail (`smart … | head`)."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Terminal:
    """A text stream on a terminal; once that is gone (EIO), what is written is dropped.

    SIGHUP asks a training to save and end, under nohup to go on: a progress line that nobody sees must prevent neither.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write as the stream does."""
        with self._unless_gone():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush as the stream does."""
        with self._unless_gone():
            self._stream.flush()

    @contextlib.contextmanager
    def _unless_gone(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            discard(self._stream)


@contextlib.contextmanager
def outliving_the_terminal() -> Iterator[None]:
    """Let stdout and stderr, where they are a terminal, outlive it."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_guarded(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _guarded(stream: TextIO) -> TextIO:
    # None where the process was started with the stream closed.
    there = stream is not None and not stream.closed and stream.isatty()
    return cast(TextIO, Terminal(stream)) if there else stream

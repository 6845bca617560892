"""Counted work on stderr: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from smartcli.cli.output import print_line
from smartcli.cli.progress import PLAIN_SECONDS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class CountingView:
    """Shows how much is done; use as a context manager and pass `count` on."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self.console, self.quiet = console, quiet
        self.live = console.is_terminal and not console.is_dumb_terminal and not quiet
        self._progress: Progress | None = None
        self._bars: dict[str, Any] = {}
        self._printed: dict[str, float] = {}

    def __enter__(self) -> CountingView:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()

    def count(self, what: str, done: int, total: int) -> None:
        """Take note that `done` of `total` are done of what is counted."""
        if self.quiet or not total:
            return
        if self.live:
            self._draw(what, done, total)
        elif time.monotonic() - self._printed.get(what, float("-inf")) >= PLAIN_SECONDS or done == total:
            self._printed[what] = time.monotonic()
            print_line(self.console, f"{what}: {done:,} of {total:,}")

    def _draw(self, what: str, done: int, total: int) -> None:
        from rich.markup import escape
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if self._progress is None:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._progress = Progress(*columns, console=self.console, transient=True)
            self._progress.start()
        if what not in self._bars:
            self._bars[what] = self._progress.add_task(escape(what), total=total)
        self._progress.update(self._bars[what], completed=done, total=total)

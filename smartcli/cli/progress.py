"""Live view of a training: a bar and the losses on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from smartcli.cli.output import print_line
from smartcli.counts import counted
from smartcli.log_events import DevEvent, EndEvent, Event, NoteEvent, ResumeEvent, StartEvent, StepEvent, WarningEvent

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.progress import Progress

PLAIN_SECONDS = 5.0
"""Time between two lines where there is no terminal."""


def clock(seconds: float) -> str:
    """Return a duration as 42s, 3:05 or 2:03:05."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def number(value: Any) -> str:
    """Return a loss or R_s in few characters, a dash where there is none."""
    return f"{value:.3g}" if isinstance(value, int | float) else "–"


class TrainingView:
    """Shows a training's events as they come; use as a context manager and pass `record` on.

    `prefix` stands before each plain line, where several trainings run at a time; `status` is the last step in words.
    """

    def __init__(self, console: Console, *, quiet: bool = False, prefix: str = "") -> None:
        self.console = console
        self.quiet = quiet
        self.prefix = prefix
        self.status = ""
        self.live = console.is_terminal and not console.is_dumb_terminal and not quiet
        self.steps: int | None = None
        self.epochs: Any = None
        self._first: tuple[int, float, int] | None = None
        self._rate = 0.0
        self._left: float | None = None
        self._printed = float("-inf")
        self._progress: Progress | None = None
        self._live: Live | None = None
        self._bar: Any = None

    def __enter__(self) -> TrainingView:
        if self.live:
            from rich.live import Live
            from rich.progress import BarColumn, Progress, TextColumn

            text, note = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[note]}", markup=False)
            self._progress = Progress(text, BarColumn(bar_width=None), note, console=self.console, expand=True)
            self._live = Live(console=self.console, transient=True, refresh_per_second=8)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def record(self, event: Event) -> None:
        """Take one event; those of other versions are ignored."""
        handler = getattr(self, f"_on_{event.event}", None)
        if handler is not None:
            handler(event)

    def _say(self, line: str) -> None:
        if not self.quiet:
            print_line(self.console, f"{self.prefix}{line}")

    def _on_start(self, event: StartEvent) -> None:
        self.steps, self.epochs, self._first = event.steps, event.epochs, None
        self._printed = float("-inf")
        about = [counted(self.steps, "step") if self.steps else "training", _epochs(self.epochs)]
        machine = event.machine
        reason = f" ({machine['precision_reason']})" if machine.get("precision_reason") else ""
        about += [f"{machine['precision']}{reason}"] if machine.get("precision") else []
        self._say(", ".join(part for part in about if part))
        if self._progress is not None:
            if self._bar is not None:
                self._progress.remove_task(self._bar)
            self._bar = self._progress.add_task("starting", total=self.steps, note="")

    def _on_resume(self, event: ResumeEvent) -> None:
        self._say(f"going on after step {event.step}")

    def _on_step(self, event: StepEvent) -> None:
        if self._first is None or event.seconds < self._first[1]:
            self._first = (event.step, event.seconds, event.examples)
        self._measure(event)
        self.status = ", ".join([self._where(event), *self._speed()])
        if self._progress is not None and self._bar is not None:
            self._draw(event)
        elif time.monotonic() - self._printed >= PLAIN_SECONDS:
            self._printed = time.monotonic()
            self._say(", ".join([self._where(event), *self._speed()[:1], self._losses(event), *self._speed()[1:]]))

    def _draw(self, event: StepEvent) -> None:
        """Show the bar with speed and time left, and below it a line of losses that may wrap."""
        from rich.console import Group
        from rich.text import Text

        assert self._progress is not None
        assert self._live is not None
        note = ", ".join(self._speed())
        self._progress.update(self._bar, completed=event.step, description=self._where(event), note=note)
        self._live.update(Group(self._progress, Text(self._losses(event), style="dim")))

    def _measure(self, event: StepEvent) -> None:
        """Update the rate (examples/s) and the seconds left, from this process's own steps."""
        assert self._first is not None
        steps, passed = event.step - self._first[0], event.seconds - self._first[1]
        if steps > 0 and passed > 0:
            self._rate = (event.examples - self._first[2]) / passed
            self._left = (self.steps - event.step) * passed / steps if self.steps else None

    def _where(self, event: StepEvent) -> str:
        total = f"/{self.steps}" if self.steps else ""
        epochs = f"/{self.epochs}" if isinstance(self.epochs, int) else ""
        return f"{_phase(event)}epoch {event.epoch}{epochs}, step {event.step}{total}"

    def _speed(self) -> list[str]:
        rate = [f"{self._rate:.0f} examples/s"] if self._rate else []
        return rate + ([f"{clock(self._left)} left"] if self._left is not None else [])

    def _losses(self, event: StepEvent) -> str:
        smooth = event.numbers.get("r_s", {})
        parts = []
        for task, loss in event.numbers.get("loss", {}).items():
            penalty = f" (R_s {number(smooth[task])})" if smooth.get(task) is not None else ""
            parts.append(f"{task} {number(loss)}{penalty}")
        return ", ".join(parts)

    def _on_dev(self, event: DevEvent) -> None:
        scores = [f"{task} {_score(value)}" for task, value in event.scores.items() if _is_score(value)]
        overall = f", overall {_score(event.overall)}" if event.overall is not None else ""
        self._say(f"{_phase(event)}dev after epoch {event.epoch}: {', '.join(scores)}{overall}")

    def _on_note(self, event: NoteEvent) -> None:
        self._say(event.message)

    def _on_warning(self, event: WarningEvent) -> None:
        print_line(self.console, f"{self.prefix}warning: {event.message}", style="yellow")

    def _on_end(self, event: EndEvent) -> None:
        rate = f", {self._rate:.0f} examples/s" if self._rate else ""
        if event.seconds is not None:
            self._say(f"trained in {clock(event.seconds)}{rate}")


def _phase(event: StepEvent | DevEvent) -> str:
    """Return the name of the phase of a sequential run, which trains one task after the other."""
    return f"{event.phase}: " if event.phase else ""


def _epochs(epochs: Any) -> str:
    if isinstance(epochs, Mapping):
        return "epochs " + ", ".join(f"{phase} {count}" for phase, count in epochs.items())
    return counted(epochs, "epoch") if epochs else ""


def _is_score(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, int | float) and not isinstance(value, bool))


def _score(value: Any) -> str:
    """Return the metric's value of a dev record: a number, or a mapping with the metric and `n`."""
    from smartcli.report.tables import three

    if isinstance(value, Mapping):
        value = next((score for key, score in value.items() if key != "n"), None)
    return three(value)

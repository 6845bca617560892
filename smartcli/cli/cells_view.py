"""Live table of the cells of a sweep or reproduction: waiting, running, done, with their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from smartcli.cli.output import print_line
from smartcli.cli.progress import TrainingView
from smartcli.log_events import Event

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    from smartcli.workflows.studies.cells import Finished, Planned

WAITING = "waiting"


class CellsView:
    """Shows a plan as it is worked off; a table on a terminal, plain lines elsewhere."""

    def __init__(
        self,
        console: Console,
        planned: Sequence[Planned],
        *,
        quiet: bool = False,
        several: bool = False,
        total: int | None = None,
    ) -> None:
        """`several` says that more than one cell may run at a time: plain lines then begin with the cell's place.

        `total` counts the cells where they come as the work goes on.
        """
        self.console = console
        self.quiet = quiet
        self.several = several
        self.total = total
        self.planned = list(planned)
        self.live = console.is_terminal and not console.is_dumb_terminal and not quiet
        self._state = {one.name: WAITING for one in planned}
        self._scores: dict[str, Mapping[str, Any]] = {}
        self._running: dict[str, TrainingView] = {}
        self._live: Live | None = None

    def __enter__(self) -> CellsView:
        if self.live:
            from rich.live import Live

            self._live = Live(console=self.console, get_renderable=self.table, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def begin(self, planned: Planned) -> None:
        """Take the start of a cell."""
        if planned.name not in self._state:
            self.planned.append(planned)
        prefix = f"[{self._place(planned)}] " if self.several else ""
        self._running[planned.name] = TrainingView(self.console, quiet=self.quiet or self.live, prefix=prefix)
        self._state[planned.name] = "starting"
        if not self.live:
            self._say(f"[{self._place(planned)}] {planned.cell.label}, seed {planned.cell.seed}: {planned.name}")

    def record(self, planned: Planned, event: Event) -> None:
        """Take an event of a running cell's log."""
        view = self._running[planned.name]
        view.record(event)
        if view.status:
            self._state[planned.name] = view.status

    def end(self, finished: Finished) -> None:
        """Take a cell's checkpoint."""
        name = finished.planned.name
        self._running.pop(name, None)
        self._state[name] = "reused" if finished.reused else "done"
        self._scores[name] = finished.meta.metrics
        if not self.live:
            scores = ", ".join(f"{task} {value}" for task, value in self._shown(name).items())
            self._say(f"[{self._place(finished.planned)}] {self._state[name]}: {scores}")

    def fail(self, planned: Planned, reason: str) -> None:
        """Take that a cell ended without a checkpoint, or never began."""
        self._running.pop(planned.name, None)
        self._state[planned.name] = f"not finished: {reason}"
        if not self.live:
            self._say(f"[{self._place(planned)}] {self._state[planned.name]}")

    def prune(self, planned: Planned, epochs: int) -> None:
        """Take that a trial was ended after `epochs`, its scores being below the median."""
        self._running.pop(planned.name, None)
        self._state[planned.name] = f"pruned after epoch {epochs}"
        if not self.live:
            self._say(f"[{self._place(planned)}] {self._state[planned.name]}")

    def tell(self, message: str) -> None:
        """Say something above the table."""
        self._say(message)

    def table(self) -> Table:
        """Return the table as it stands; a plan longer than the terminal shows the part around the running cell."""
        from rich import box
        from rich.table import Table

        from smartcli.visible import plain

        table = Table(box=box.SIMPLE_HEAD)
        tasks = list(dict.fromkeys(task for scores in self._scores.values() for task in scores))
        for name in ("cell", "seed", "state", *tasks):
            table.add_column(plain(name), justify="right" if name in (*tasks, "seed") else "left")
        for one in self._window():
            scores = self._shown(one.name)
            state = plain(self._state[one.name])
            state.stylize("bold" if one.name in self._running else "")
            table.add_row(
                plain(one.cell.label), str(one.cell.seed), state, *(plain(scores.get(task, "")) for task in tasks)
            )
        return table

    def _window(self) -> list[Planned]:
        room = max(4, self.console.height - 6)
        if len(self.planned) <= room:
            return self.planned
        at = next((i for i, one in enumerate(self.planned) if one.name in self._running), 0)
        first = min(max(0, at - room // 2), len(self.planned) - room)
        return self.planned[first : first + room]

    def _shown(self, name: str) -> dict[str, str]:
        from smartcli.report.history import score_of
        from smartcli.report.style import short

        values = {task: score_of(value) for task, value in self._scores.get(name, {}).items()}
        return {task: "–" if value is None else short(value) for task, value in values.items()}

    def _place(self, planned: Planned) -> str:
        return f"{self.planned.index(planned) + 1}/{self.total or len(self.planned)}"

    def _say(self, line: str) -> None:
        if not self.quiet:
            print_line(self.console, line)

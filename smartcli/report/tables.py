"""The table of scores, as the terminal, a CSV file and JSON show it; and text of data made safe to print."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from smartcli.metrics import ClassScore, Score
from smartcli.report.frames import frame_csv, frame_latex, lambda_text, score_frame
from smartcli.tasks import Task
from smartcli.visible import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

ABSENT = "–"
SHORT = {"accuracy": "acc", "balanced_accuracy": "bal acc"}
"""Headings that would else make the table wider than 80 columns."""


@dataclass(frozen=True)
class ScoreRow:
    """One line of the table: what was scored, how it was made, a score a task."""

    checkpoint: str
    kind: str
    method: str
    lam: float | Mapping[str, float] | None
    dropout: float | None
    seed: int | None
    scores: Mapping[str, Score | None]
    overall: float | None
    by_class: Mapping[str, Sequence[ClassScore]] | None = None
    """Of each task of classes, where they were asked for."""

    def to_json(self) -> dict[str, Any]:
        return {
            "checkpoint": self.checkpoint,
            "kind": self.kind,
            "method": self.method,
            "lambda": dict(self.lam) if isinstance(self.lam, Mapping) else self.lam,
            "dropout": self.dropout,
            "seed": self.seed,
            **{task: None if score is None else score.to_json() for task, score in self.scores.items()},
            "overall": self.overall,
            **({} if self.by_class is None else {"by_class": self._classes()}),
        }

    def _classes(self) -> dict[str, Any]:
        return {task: [one.to_json() for one in found] for task, found in (self.by_class or {}).items()}


@dataclass(frozen=True)
class ScoreTable:
    """Rows scored on one split of one data set; `title` is how people name the data."""

    data: str
    fingerprint: str
    title: str
    split: str
    tasks: Sequence[Task]
    rows: Sequence[ScoreRow]
    notes: Sequence[str] = field(default=())
    """What a reader must know beside the numbers: undefined scores, members chosen on this split."""
    part: str = ""
    """Which rows of the split these are, where not all."""
    remarks: Sequence[str] = field(default=())
    """What stands below the table: how the scores compare with others', their spread over seeds."""

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "data": {"name": self.data, "fingerprint": self.fingerprint},
            "split": self.split,
            "rows": [row.to_json() for row in self.rows],
        }

    def to_csv(self, *, safe: bool = False) -> str:
        """Return a line a row: `<task>_<metric>` and `<task>_n` for every task; empty where there is none."""
        return frame_csv(score_frame(self), safe=safe)

    def to_latex(self) -> str:
        """Return the table for a paper: booktabs, three decimals."""
        return frame_latex(score_frame(self), f"{self.split} of {self.title}. {self._counts()}.".replace("..", "."))

    def to_rich(self) -> Table:
        """Return the table for a terminal; the best overall score is bold."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left", caption_justify="left")
        table.title = plain(f"{self.part or self.split} of {self.title}")
        table.caption = plain("\n".join(line for line in (self._counts(), *self.remarks) if line))
        table.add_column("checkpoint", overflow="fold")
        table.add_column("method", overflow="fold")
        for name in ("λ", "drop", "seed"):
            table.add_column(name, justify="right", no_wrap=True)
        for task in self.tasks:
            heading = plain(f"{task.name}\n{SHORT.get(task.metric, task.metric)}")
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("overall", justify="right", no_wrap=True)
        best = max((row.overall for row in self.rows if row.overall is not None and row.kind != "paper"), default=None)
        for row in self.rows:
            lam = lambda_text(row.lam).replace(",", "\n") or ABSENT
            cells = [row.checkpoint, row.method, lam, number(row.dropout), number(row.seed)]
            cells += [three(score.value if score else None) for score in (row.scores.get(t.name) for t in self.tasks)]
            bold = row.overall is not None and row.overall == best and len(self.rows) > 1
            table.add_row(*map(plain, [*cells, three(row.overall)]), style="bold" if bold else None)
        return table

    def _counts(self) -> str:
        parts = []
        for task in self.tasks:
            own = [row.scores.get(task.name) for row in self.rows if row.kind != "paper"]
            counts = sorted({score.n for score in own if score is not None})
            if counts:
                parts.append(f"{' or '.join(f'{n:,}' for n in counts)} {task.name}")
        return f"rows: {', '.join(parts)}" if parts else ""


def number(value: float | None) -> str:
    """Return a setting as short as it goes, or a dash."""
    return ABSENT if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def three(value: float | None) -> str:
    """Return a score with three decimals, or a dash."""
    return ABSENT if value is None else f"{value:.3f}"


def print_table(console: Console, table: Table) -> None:
    """Print a table; off a terminal as wide as it needs to be, so that no cell is broken for a reader of lines."""
    if not console.is_terminal and "COLUMNS" not in os.environ:
        from rich.measure import Measurement

        wide = console.options.update(width=1000, max_width=1000)
        console.width = max(console.width, Measurement.get(console, wide, table).maximum)
    console.print(table)

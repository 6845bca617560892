"""`smart report`: figures as PNG and SVG, one self-contained HTML page, and its scores as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from smartcli import __version__
from smartcli.atomic import write_file
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.registry import Registry
from smartcli.report.html import Page, Section, render_page
from smartcli.report.style import Drawn
from smartcli.report.tables import ScoreTable
from smartcli.report.worst_errors import Texts
from smartcli.workflows.explaining.neighbours import Progress, unheard
from smartcli.workflows.reporting.report_explain import explain_errors
from smartcli.workflows.reporting.report_figures import epoch_figure
from smartcli.workflows.reporting.report_sections import make_section, score_grid
from smartcli.workflows.scoring.evaluation import evaluate, picked_on
from smartcli.workflows.scoring.sources import Say, Subject, predictions_on, silent, subject_of

if TYPE_CHECKING:
    from smartcli.data.store import DataSet

PAGE = "report.html"
SCORES = "scores.json"
"""What `smart evaluate --by-class --json` prints."""
MOST_SECTIONS = 5


@dataclass(frozen=True)
class ReportOutcome:
    """What was written: the page, and each figure's two files."""

    page: Path
    figures: tuple[Path, ...]
    checkpoints: tuple[str, ...]


def report(
    home: Home,
    patterns: Sequence[str],
    output: Path,
    *,
    data: str | None = None,
    explain: int = 0,
    say: Say = silent,
    progress: Progress = unheard,
) -> ReportOutcome:
    """Write the report on the named checkpoints, or on all of the data set (details of the best five then).

    The worst `explain` errors of each task are explained where the model is at hand, which `progress` hears of.
    UserErrors as in evaluate, and where `output` is a file.
    """
    if output.exists() and not output.is_dir():
        raise UserError(f"--output: {output} is a file; expected a folder")
    table = evaluate(home, patterns, data=data, classes=True, say=say)
    registry = Registry(home)
    checkpoints = [registry.open(row.checkpoint) for row in table.rows]
    subject = subject_of(home, checkpoints, data)
    texts = texts_of(subject.data_set)
    chosen, left_out = _with_details(checkpoints, table, named=bool(patterns))
    soups = [one for one in chosen if picked_on(one, "dev", subject)]
    if soups:
        chosen = [one for one in chosen if one not in soups]
        left_out.append(
            f"Details of {', '.join(one.name for one in soups)} are left out: one half of dev picked what is in a "
            "greedy soup, and they would be drawn from all of it. The table has the other half's scores."
        )
    sections: list[Section] = []
    figures: list[Drawn] = []
    for checkpoint in chosen:
        say(f"drawing {checkpoint.name}")
        predictions = predictions_on(home, registry, checkpoint, subject, "dev", say)
        explained, missing = explain_errors(home, checkpoint, subject.tasks, predictions, texts, explain, say, progress)
        section = make_section(checkpoint, subject, predictions, texts, explained, missing)
        sections.append(section)
        figures += section.figures
    over_all = epoch_figure(checkpoints, subject.tasks.first)
    notes = [*table.notes, *left_out, *_encoder_notes(checkpoints, subject)]
    if texts is None:
        notes.append(f'The data set "{subject.name}" is not on this machine, so its sentences are not shown.')
    page = Page(
        title=f"smart report: {subject.title}",
        subtitle=f"dev scores, written {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())} "
        f"by smart-finetune {__version__}; data fingerprint {subject.fingerprint[:12]}",
        scores=score_grid(table),
        notes=tuple(notes),
        figures=() if over_all is None else (over_all,),
        sections=tuple(sections),
    )
    drawn: list[Drawn] = [*page.figures, *figures]
    files = [path for one in drawn for path in one.write(output / "figures")]
    write_file(output / SCORES, json.dumps(table.to_json(), ensure_ascii=False, indent=2) + "\n")
    write_file(output / PAGE, render_page(page))
    return ReportOutcome(output / PAGE, tuple(files), tuple(checkpoint.name for checkpoint in checkpoints))


def texts_of(data_set: DataSet | None) -> Texts | None:
    """Return how to look up the sentences of a dev row; None without the data set."""
    if data_set is None:
        return None

    def look_up(task: str, row: int) -> tuple[str, ...]:
        rows = data_set.rows(task, "dev")
        return tuple(rows.text(side, row) for side in range(rows.sides))

    return look_up


def _with_details(
    checkpoints: Sequence[Checkpoint], table: ScoreTable, *, named: bool
) -> tuple[list[Checkpoint], list[str]]:
    if named or len(checkpoints) <= MOST_SECTIONS:
        return list(checkpoints), []
    best = sorted(range(len(checkpoints)), key=lambda i: -(table.rows[i].overall or 0.0))[:MOST_SECTIONS]
    said = (
        f"Details are shown for the best {MOST_SECTIONS} of {len(checkpoints)} checkpoints; name others to see theirs."
    )
    return [checkpoints[i] for i in best], [said]


def _encoder_notes(checkpoints: Sequence[Checkpoint], subject: Subject) -> list[str]:
    from smartcli.workflows.studies.paper_recipes import encoder_notes

    encoders = {str(c.meta.encoder.id) for c in checkpoints if c.meta.encoder}
    found = [note for encoder in sorted(encoders) for note in encoder_notes(encoder, subject.tasks.names)]
    return list(dict.fromkeys(found))

"""Parts of the report's page: the dev table, and what is said of one checkpoint."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from smartcli.counts import counted
from smartcli.data.predictions import Predictions
from smartcli.metrics import ClassScore
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.meta import CheckpointMeta
from smartcli.report.explained import Explained
from smartcli.report.frames import lambda_text
from smartcli.report.html import Cell, Column, ErrorTable, Grid, Section, number
from smartcli.report.style import short
from smartcli.report.tables import ScoreTable
from smartcli.report.worst_errors import Texts, worst_errors, wrong_rows
from smartcli.tasks import Task
from smartcli.workflows.reporting.report_figures import all_task_figures, calibration_of, run_figures
from smartcli.workflows.scoring.evaluation import classes_of
from smartcli.workflows.scoring.sources import Subject

MOST_ERRORS = 200


def score_grid(table: ScoreTable) -> Grid:
    """Return the dev table as a grid of the page."""
    columns = [Column("checkpoint"), Column("method"), *(Column(name, True) for name in ("λ", "dropout", "seed"))]
    columns += [Column(f"{task.name} {task.metric}", True) for task in table.tasks]
    rows = []
    for row in table.rows:
        lam = (
            number(row.lam, f"{row.lam:g}")
            if isinstance(row.lam, int | float)
            else Cell(lambda_text(row.lam) or "–", "")
        )
        cells = [Cell(row.checkpoint), Cell(row.method), lam]
        for setting in (row.dropout, row.seed):
            cells.append(number(setting, None if setting is None else f"{setting:g}"))
        for task in table.tasks:
            score = row.scores.get(task.name)
            cells.append(number(score.value if score else None))
        rows.append((*cells, number(row.overall)))
    return Grid((*columns, Column("overall", True)), tuple(rows))


def make_section(
    checkpoint: Checkpoint,
    subject: Subject,
    predictions: Predictions,
    texts: Texts | None,
    explained: Mapping[str, Sequence[Explained]] = MappingProxyType({}),
    notes: Sequence[str] = (),
) -> Section:
    """Return what the page says of one checkpoint; every figure of it is drawn here.

    `explained` has the worst errors of a task with their words and near rows, `notes` what must be said of it all.
    """
    meta, tasks = checkpoint.meta, [task for task in subject.tasks if task.name in predictions]
    figures = all_task_figures(checkpoint.name, tasks, predictions, texts) + run_figures(checkpoint, tasks)
    made = "–" if meta.created is None else meta.created
    return Section(
        name=checkpoint.name,
        summary=f"{meta.kind}: {meta.method}; {checkpoint.size / 1e6:,.1f} MB; made {made}",
        figures=tuple(figures),
        calibration=_calibration_grid(tasks, predictions),
        classes=class_grid(classes_of(tasks, predictions)),
        errors=tuple(
            replace(_error_table(task, predictions, texts), explained=explained.get(task.name, ()))
            for task in tasks
            if predictions[task.name].labels is not None
        ),
        notes=tuple(notes),
        lineage=tuple(_lineage(checkpoint)),
        settings=tuple(_settings(meta)),
    )


def class_grid(found: Mapping[str, Sequence[ClassScore]]) -> Grid:
    """Return precision, recall and F1 of each class, a row a class, tasks one after the other."""
    columns = (Column("task"), Column("class"), *(Column(name, True) for name in ("precision", "recall", "F1", "rows")))
    rows = []
    for task, classes in found.items():
        for one in classes:
            shares = (number(one.precision), number(one.recall), number(one.f1))
            rows.append((Cell(task), Cell(one.name), *shares, number(one.support, f"{one.support:,}")))
    return Grid(columns, tuple(rows))


def _calibration_grid(tasks: Sequence[Task], predictions: Predictions) -> Grid:
    columns = (Column("task"), *(Column(name, True) for name in ("ECE", "accuracy", "mean confidence", "rows")))
    rows = []
    for task in tasks:
        found = calibration_of(task, predictions.get(task.name))
        if found is not None:
            values = (number(found.ece), number(found.accuracy), number(found.confidence))
            rows.append((Cell(task.name), *values, number(found.count, f"{found.count:,}")))
    return Grid(columns, tuple(rows))


def _error_table(task: Task, predictions: Predictions, texts: Texts | None) -> ErrorTable:
    rows = predictions[task.name]
    found = worst_errors(task, rows, texts, MOST_ERRORS)
    wrong = int(wrong_rows(rows).sum())
    if task.kind == "regression":
        says = f"The {len(found)} largest residuals of {counted(len(rows), 'row')}."
    else:
        share = short(wrong / max(1, len(rows)))
        says = f"{wrong:,} of {counted(len(rows), 'row')} wrong ({share}); the worst {len(found)}."
    measure = {"regression": "off by", "multilabel": "1 − p(true), worst label"}.get(task.kind, "1 − p(true)")
    return ErrorTable(task.name, measure, says, task.text if texts is not None else (), found)


def _lineage(checkpoint: Checkpoint) -> list[str]:
    meta = checkpoint.meta
    lines = [
        f"{'member' if meta.ensemble else 'started from'} {one.name} (manifest {(one.manifest or '–')[:12]})"
        for one in meta.lineage.references
    ]
    if meta.encoder is not None:
        lines.append(f"encoder {meta.encoder.id}{meta.encoder.revision_words}")
    lines.append(f"data set {meta.data.name or '–'} (fingerprint {meta.data.fingerprint[:12]})")
    lines.append(f"this checkpoint: manifest {checkpoint.manifest_hash[:12]}")
    return lines


def _settings(meta: CheckpointMeta) -> list[tuple[str, str]]:
    pairs = [("command", shlex.join(str(word) for word in meta.command) or "–")]
    pairs += [(str(key), _plain(value)) for key, value in meta.settings.items() if value is not None]
    pairs += [(f"version of {key}", _plain(value)) for key, value in meta.versions.items()]
    others = {"best epoch": meta.best_epoch, "seconds": meta.seconds, "machine": meta.machine}
    return pairs + [(key, _plain(value)) for key, value in others.items() if value is not None]


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(entry) for entry in value)
    return f"{value:g}" if isinstance(value, float) else str(value)

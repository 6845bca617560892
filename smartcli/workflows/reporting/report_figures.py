"""The figures of `smart report`: one checkpoint's, and the one over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from smartcli.counts import counted
from smartcli.data.predictions import Predictions, TaskPredictions
from smartcli.log_events import Event, read_log
from smartcli.option_table import RUN_ONLY
from smartcli.registry.checkpoint import Checkpoint
from smartcli.report.calibration import Calibration, calibrate, reliability_figure
from smartcli.report.confusion import confusion_counts, confusion_figure
from smartcli.report.curves import EpochCurve, conflict_curve, epoch_curves, learning_curves, mean_curve
from smartcli.report.frames import lambda_text
from smartcli.report.history import DevCurve, conflict_points, dev_curves, step_points
from smartcli.report.scatter import scatter_figure, worst_residual
from smartcli.report.style import Drawn, render, short
from smartcli.report.worst_errors import Texts
from smartcli.tasks import Task
from smartcli.workflows.scoring.evaluation import lambda_of

LOG = "log.jsonl"


def log_of(checkpoint: Checkpoint) -> list[Event]:
    """Return a checkpoint's log; empty for an ensemble, which has none."""
    return read_log(checkpoint.read(LOG), f"{checkpoint.name}/{LOG}") if checkpoint.has(LOG) else []


def calibration_of(task: Task, rows: TaskPredictions | None) -> Calibration | None:
    """Return the calibration of a task with classes and labels, else None; of several labels that of each yes or no."""
    if rows is None or rows.labels is None or rows.probabilities is None or not len(rows):
        return None
    if task.kind == "multilabel":
        shares = rows.probabilities.ravel()
        return calibrate(rows.labels.ravel(), rows.predictions.ravel(), np.stack([1 - shares, shares], axis=1))
    return calibrate(rows.labels, rows.predictions, rows.probabilities)


def task_figures(name: str, task: Task, rows: TaskPredictions, texts: Texts | None) -> list[Drawn]:
    """Return Fig. 4 for a task, and its reliability diagram where there are probabilities; none without labels."""
    if rows.labels is None or not len(rows):
        return []
    title = f"{name}: {task.name}, {counted(len(rows), 'dev row')}"
    if task.kind == "regression":
        worst = worst_residual(rows.labels, rows.predictions)
        sentences = texts(task.name, worst) if texts is not None else None
        assert task.range is not None
        figure = scatter_figure(
            rows.labels, rows.predictions, task.range, texts=sentences, row_id=rows.ids[worst], title=title
        )
        alt = f"{task.name}: predicted against true score; the worst residual is row {rows.ids[worst]}."
        return [render(figure, f"{name}-{task.name}-scatter", f"{task.name}: true against predicted (Fig. 4)", alt)]
    stem = f"{name}-{task.name}"
    drawn = []
    if task.kind != "multilabel":
        # Several labels of a row cannot stand in one matrix; the page's table by class says how each is found.
        counts = confusion_counts(rows.labels, rows.predictions, task.classes)
        right = f"{int(counts.trace()):,} of {counted(len(rows), 'row')} right"
        matrix = confusion_figure(counts, task.labels, title=title)
        alt = f"{task.name}: {right}; counts and row shares a cell."
        drawn.append(render(matrix, f"{stem}-confusion", f"{task.name}: confusion matrix (Fig. 4)", alt))
    calibration = calibration_of(task, rows)
    if calibration is not None:
        figure = reliability_figure(calibration, title=title)
        alt = f"{task.name}: accuracy by confidence; expected calibration error {short(calibration.ece)}."
        drawn.append(render(figure, f"{stem}-reliability", f"{task.name}: reliability diagram", alt))
    return drawn


def run_figures(checkpoint: Checkpoint, tasks: Sequence[Task]) -> list[Drawn]:
    """Return learning curves, and the conflict curve where the log has one."""
    records = log_of(checkpoint)
    losses, dev = step_points(records, "loss"), dev_curves(records, [task.name for task in tasks])
    drawn = []
    if losses or dev:
        penalties = step_points(records, "r_s")
        figure = learning_curves(losses, penalties, dev, title=f"{checkpoint.name}: learning curves")
        alt = "Loss and penalty by step, scores by epoch, a line a task."
        drawn.append(render(figure, f"{checkpoint.name}-learning", "Learning curves", alt))
    cosines, shares = conflict_points(records)
    if cosines:
        figure = conflict_curve(cosines, shares, title=f"{checkpoint.name}: do the tasks' gradients conflict?")
        alt = "Cosine of each pair of tasks' gradients by step, and the share of steps in which it is below 0."
        drawn.append(render(figure, f"{checkpoint.name}-conflicts", "Conflicts between tasks", alt))
    return drawn


def epoch_figure(checkpoints: Sequence[Checkpoint], task: Task) -> Drawn | None:
    """Return Fig. 3: a task's dev score by epoch, a curve for each λ; None without a training's log.

    Seeds of one λ are taken together when nothing else differs between the trainings; otherwise each
    checkpoint has its own curve.
    """
    found: list[tuple[Checkpoint, DevCurve]] = []
    for checkpoint in checkpoints:
        trained = checkpoint.kind in ("finetune", "distill")
        curve = dev_curves(log_of(checkpoint), [task.name]).get(task.name) if trained else None
        if curve is not None:
            found.append((checkpoint, curve))
    if not found:
        return None
    alike = len({repr(_other_settings(checkpoint)) for checkpoint, _ in found}) == 1
    groups: dict[str, list[DevCurve]] = {}
    for checkpoint, curve in sorted(found, key=lambda pair: _first_lambda(pair[0])):
        lam = lambda_text(_lambda(checkpoint))
        groups.setdefault(lam if alike else f"{lam} ({checkpoint.name})", []).append(curve)
    curves: list[EpochCurve] = [mean_curve(label, group) for label, group in groups.items()]
    figure = epoch_curves(curves, score=f"{task.name} dev {task.metric}", legend="λ" if alike else "λ (checkpoint)")
    title = f"{task.name}: dev {task.metric} by epoch for each λ (Fig. 3)"
    return render(figure, f"{task.name}-epochs", title, f"{title}; best {_best(curves)}.")


def _best(curves: Sequence[EpochCurve]) -> str:
    value, label = max((max(curve.values), curve.label) for curve in curves)
    return f"{short(value)} at λ {label}"


def _lambda(checkpoint: Checkpoint) -> float | dict[str, float] | None:
    return lambda_of(checkpoint.meta.settings.get("lambda"), checkpoint.meta.task_names)


def _first_lambda(checkpoint: Checkpoint) -> float:
    lam = _lambda(checkpoint)
    return next(iter(lam.values())) if isinstance(lam, Mapping) else (lam or 0.0)


def _other_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    left_out = RUN_ONLY | {"lambda", "seed", "init"}
    return {key: value for key, value in checkpoint.meta.settings.items() if key not in left_out}


def all_task_figures(name: str, tasks: Sequence[Task], predictions: Predictions, texts: Texts | None) -> list[Drawn]:
    """Return Fig. 4 and reliability of every task with predictions, in table order."""
    return [
        drawn
        for task in tasks
        if task.name in predictions
        for drawn in task_figures(name, task, predictions[task.name], texts)
    ]

"""The report's worst errors explained, where the model and the data set are at hand."""

from __future__ import annotations

from collections.abc import Iterable

from smartcli.data.predictions import Predictions
from smartcli.errors import SmartCliError
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.report.explained import Explained, Near, pieces
from smartcli.report.worst_errors import Texts, WorstRow, worst_errors
from smartcli.tasks import Task
from smartcli.workflows.explaining.explain_inputs import Row, label_name
from smartcli.workflows.explaining.explanation import Explanation, explain_row
from smartcli.workflows.explaining.neighbours import Progress
from smartcli.workflows.scoring.panel import load_panel
from smartcli.workflows.scoring.sources import Say

NEIGHBOURS = 3


def explain_errors(
    home: Home,
    checkpoint: Checkpoint,
    tasks: Iterable[Task],
    predictions: Predictions,
    texts: Texts | None,
    count: int,
    say: Say,
    progress: Progress,
) -> tuple[dict[str, tuple[Explained, ...]], list[str]]:
    """Return the `count` worst errors of each task explained, and what is missing of that and why.

    Rows of several labels are left out: there is no one probability that words could move.
    Nothing that is wrong with the model or the data set ends the report: it becomes a note.
    """
    if count == 0:
        return {}, []
    if texts is None:
        return {}, ["Words that matter are not shown: the data set with the sentences is not on this machine."]
    worst = {
        task: worst_errors(task, predictions[task.name], texts, count)
        for task in tasks
        if task.name in predictions and task.kind != "multilabel"
    }
    if not any(worst.values()):
        return {}, []
    out: dict[str, tuple[Explained, ...]] = {}
    notes: list[str] = []
    try:
        panel = load_panel(home, checkpoint)
        say(f"explaining the worst errors of {checkpoint.name} (--explain 0 leaves this out)")
        for task, rows in worst.items():
            found = [
                explain_row(home, panel, task, Row(row.texts or ()), count=NEIGHBOURS, progress=progress)
                for row in rows
            ]
            out[task.name] = tuple(_explained(task, row, one) for row, one in zip(rows, found, strict=True))
            notes += [f"{task.name}: {note}" for one in found for note in one.notes]
    except SmartCliError as error:
        notes.append(f"Words that matter and nearest training rows are not all shown: {error}")
    return out, list(dict.fromkeys(notes))


def _explained(task: Task, row: WorstRow, found: Explanation) -> Explained:
    near = tuple(Near(n.cosine, label_name(task, n.label), n.texts, n.id, n.same) for n in found.near)
    name = label_name(task, found.answer.prediction)
    return Explained(
        id=row.id,
        label=row.label,
        prediction=row.prediction,
        of="the score" if found.answer.probabilities is None else f"the probability of {name}",
        texts=pieces(found.row.texts, found.words, [float(effect) for effect in found.effects]),
        near=near,
        among="" if found.pool is None else found.pool.says,
    )

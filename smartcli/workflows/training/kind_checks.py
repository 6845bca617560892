"""Options that only tasks of some kinds can follow: refused where they would do nothing, and nobody would know."""

from __future__ import annotations

from smartcli.config import Settings
from smartcli.errors import UserError
from smartcli.tasks import GRADES, TaskTable


def check_kinds(settings: Settings, tasks: TaskTable) -> None:
    """Raise a UserError where an option names a task that it can do nothing for, or there is none that it could."""
    _check_graded(settings, tasks)
    _check_pairs(settings, tasks)


def _check_graded(settings: Settings, tasks: TaskTable) -> None:
    graded = [task.name for task in tasks if task.kind == "classification" and task.classes >= GRADES]
    expected = f"expected a classification with {GRADES} classes or more ({', '.join(graded) or 'there is none here'})"
    for name, sharpness in settings.ordinal.by_task:
        if sharpness > 0 and name not in graded:
            found = tasks.get(name)
            classes = f" with {found.classes} classes" if found.classes else ""
            raise UserError(f'--ordinal: "{name}" is a {found.kind} task{classes}; {expected}')
    if settings.ordinal.default > 0 and not graded:
        raise UserError(f"--ordinal: no task has graded classes; {expected}")


def _check_pairs(settings: Settings, tasks: TaskTable) -> None:
    pairs = [task.name for task in tasks if task.pair]
    expected = f"expected a task of sentence pairs ({', '.join(pairs) or 'there is none here'})"
    for name, chance in settings.swap_pairs.by_task:
        if chance > 0 and name not in pairs:
            raise UserError(f'--swap-pairs: the rows of "{name}" have one text; {expected}')
    trained = set(tasks.select(settings.tasks).names)
    if settings.swap_pairs.default > 0 and not trained.intersection(pairs):
        raise UserError(f"--swap-pairs: no task that is trained has pairs; {expected}")

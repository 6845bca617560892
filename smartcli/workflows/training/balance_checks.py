"""Options that balance the tasks of a step: refused where a training's steps give them nothing to balance."""

from __future__ import annotations

from smartcli.config import Settings
from smartcli.errors import UserError


def check_balance(settings: Settings, tasks: tuple[str, ...]) -> None:
    """Raise a UserError where `--balance` or `--task-sampling` cannot work on a training of these tasks."""
    if settings.task_sampling != "all":
        _check_sampling(settings, tasks)
    if settings.balance == "none":
        return
    flag, alone = f"--balance {settings.balance}", _alone(settings, tasks)
    if alone is not None:
        raise UserError(f"{flag} weighs the tasks of a step against each other, but {alone}, or leave --balance out")
    if settings.balance == "gradnorm" and settings.freeze_encoder:
        raise UserError(
            f"{flag} compares gradients of the encoder, which --freeze-encoder keeps as it is; use --balance "
            "uncertainty, or train the encoder too"
        )


def _check_sampling(settings: Settings, tasks: tuple[str, ...]) -> None:
    flag, alone = f"--task-sampling {settings.task_sampling}", _alone(settings, tasks)
    if alone is not None:
        raise UserError(f"{flag} draws each step's task among several, but {alone}, or leave --task-sampling out")
    for other, value in (("--surgery", settings.surgery), ("--balance", settings.balance)):
        if value not in ("none", "uncertainty"):
            raise UserError(
                f"{flag} trains one task a step, and {other} {value} compares the gradients of all tasks in each step; "
                f"leave one of them out"
            )


def _alone(settings: Settings, tasks: tuple[str, ...]) -> str | None:
    """Return why a training never chooses between tasks, and what would help; None where it does."""
    if settings.schedule == "sequential":
        return "--schedule sequential trains one task at a time; use --schedule simultaneous"
    if len(tasks) == 1:
        return f"{tasks[0]} is trained alone; name two tasks or more with --tasks"
    return None

"""Options that balance the tasks of a step: refused where a training's steps give them nothing to balance."""

from __future__ import annotations

from smartcli.config import Settings
from smartcli.errors import UserError


def check_balance(settings: Settings, tasks: tuple[str, ...]) -> None:
    """Raise a UserError where `--balance` cannot work on a training of `tasks`, the names of all that it trains."""
    if settings.balance == "none":
        return
    flag = f"--balance {settings.balance}"
    alone = None
    if settings.schedule == "sequential":
        alone = "--schedule sequential trains one task at a time; use --schedule simultaneous"
    elif len(tasks) == 1:
        alone = f"{tasks[0]} is trained alone; name two tasks or more with --tasks"
    if alone is not None:
        raise UserError(f"{flag} weighs the tasks of a step against each other, but {alone}, or leave --balance out")
    if settings.balance == "gradnorm" and settings.freeze_encoder:
        raise UserError(
            f"{flag} compares gradients of the encoder, which --freeze-encoder keeps as it is; use --balance "
            "uncertainty, or train the encoder too"
        )

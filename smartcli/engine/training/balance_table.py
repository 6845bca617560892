"""Which ways there are to learn tasks' weights; a new one is a line here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from smartcli.config import Settings
from smartcli.engine.training.balance import Balance
from smartcli.engine.training.gradnorm import GradNorm
from smartcli.engine.training.uncertainty import Uncertainty
from smartcli.tasks import Task


def make_balance(
    settings: Settings, tasks: Sequence[Task], fixed: Mapping[str, float], device: torch.device
) -> Balance | None:
    """Return what `--balance` names, for a phase of `tasks` with `fixed` weights; None where it is off."""
    if settings.balance == "uncertainty":
        return Uncertainty(tasks, fixed, settings.balance_lr, device)
    if settings.balance == "gradnorm":
        return GradNorm(tasks, fixed, settings.balance_lr, device, settings.balance_alpha)
    return None

"""What the trainings of a plan will take, each kind of them probed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from smartcli.log_events import Event
from smartcli.option_table import OPTION_OF
from smartcli.workflows.studies.cells import Base, Planned, resolve_cell


def kinds_of(planned: Sequence[Planned]) -> list[list[Planned]]:
    """Return the trainings that take the same time together, in the plan's order.

    Seed and fold change nothing of it, and of a number such as λ or a dropout rate counts only whether it is 0.
    """
    groups: dict[tuple[Any, ...], list[Planned]] = {}
    for one in planned:
        groups.setdefault((one.command, *_costs(one)), []).append(one)
    return list(groups.values())


def _costs(one: Planned) -> list[tuple[str, Any]]:
    return sorted((key, _cost(key, value)) for key, value in one.flags.items() if key not in ("seed", "fold"))


def _cost(key: str, value: Any) -> str:
    if key in OPTION_OF and OPTION_OF[key].type.endswith("float"):
        try:
            return str(float(value) != 0)
        except (TypeError, ValueError):
            pass  # Values by task.
    return str(value)


def plan_seconds(
    base: Base, planned: Sequence[Planned], probed: Callable[[Planned], None], listener: Callable[[Event], None]
) -> float:
    """Return the seconds that the trainings take one after the other, from a probe of each kind; none is kept.

    `probed` hears which training is probed next. One that starts from a checkpoint is probed without it, since that may
    not be there yet. Errors are those of the trainings' own start.
    """
    from smartcli.workflows.training.dry_run import expected_seconds

    total = 0.0
    for kind in kinds_of(planned):
        probed(kind[0])
        resolved = resolve_cell(base, kind[0].command, kind[0].flags)
        total += len(kind) * expected_seconds(base.home, kind[0].command, resolved, listener)
    return total

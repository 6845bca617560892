"""The phases of a run: one for simultaneous training, one a task for sequential training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from smartcli.config import Settings
from smartcli.engine.training.schedule import total_steps
from smartcli.tasks import TaskTable


@dataclass(frozen=True)
class Phase:
    """Tasks trained together with one optimizer; `key` names its random streams, `steps` counts its updates."""

    tasks: tuple[str, ...]
    epochs: int
    steps: int
    full_steps: int
    """Updates without `--max-steps`."""

    @property
    def key(self) -> str:
        return "+".join(self.tasks)


def plan(tasks: TaskTable, settings: Settings, sizes: Mapping[str, int]) -> list[Phase]:
    """Return the phases in order; sequential goes from the table's second task to its last, then its first.

    `--max-steps` counts over the whole run; a phase that it leaves no step is left out.
    """
    names = tasks.names
    if settings.schedule == "sequential":
        groups: list[tuple[str, ...]] = [(name,) for name in (*names[1:], names[0])]
    else:
        groups = [names]
    batch_sizes = {name: settings.batch_size[name] for name in names}
    left = settings.max_steps
    out = []
    for group in groups:
        epochs = settings.epochs[group[0]]
        full = total_steps(sizes, batch_sizes, group, epochs)
        steps = full if left is None else min(full, left)
        if left is not None:
            left -= steps
        if steps:
            out.append(Phase(group, epochs, steps, full))
    return out

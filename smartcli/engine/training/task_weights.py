"""`--task-weights`: fixed weights of the tasks' parts in the loss.

L = Σ_i v_i·w_i·(ℓ_i + λ_i·R_i + …), with w_i of the option and v_i the "weight" that tasks.toml gives a task. All of
a task's part is weighted, so that its penalties keep their proportion to its loss. What `--balance` learns is one more
factor.
"""

from __future__ import annotations

from smartcli.config import Settings
from smartcli.tasks import TaskTable


def task_weights(settings: Settings, tasks: TaskTable) -> dict[str, float]:
    """Return v_i · w_i of each task, above 0."""
    return {task.name: task.weight * settings.task_weights[task.name] for task in tasks}

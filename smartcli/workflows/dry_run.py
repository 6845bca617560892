"""What a training would do, without doing it."""

from __future__ import annotations

from smartcli.workflows.settings import Resolved


def dry_run(resolved: Resolved) -> list[tuple[str, str]]:
    """Return (what, value) lines: rows, batches and epochs of each task, and the number of steps."""
    from smartcli.engine.schedule import batches_of, total_steps

    settings, data_set = resolved.settings, resolved.data_set
    tasks = data_set.tasks.select(settings.tasks)
    sizes = {task.name: data_set.count(task.name, "train") for task in tasks}
    if settings.rows is not None:
        sizes = {name: min(rows, settings.rows) for name, rows in sizes.items()}
    batch = {name: settings.batch_size[name] for name in sizes}
    lines = [
        (f"{name}: train rows, batches an epoch", f"{rows}, {batches_of(rows, batch[name])} of {batch[name]}")
        for name, rows in sizes.items()
    ]
    if settings.schedule == "sequential":
        order = [*tasks.names[1:], tasks.names[0]]
        phases = [(name, settings.epochs[name]) for name in order]
        steps = sum(total_steps(sizes, batch, [name], epochs) for name, epochs in phases)
        lines.append(("phases, in order", ", ".join(f"{name} ({epochs} epochs)" for name, epochs in phases)))
    else:
        epochs = settings.epochs[tasks.first.name]
        steps = total_steps(sizes, batch, list(tasks.names), epochs)
        lines.append(("epochs", f"{epochs}, each one pass over {tasks.first.name}"))
    if settings.max_steps is not None:
        steps = min(steps, settings.max_steps)
    return [*lines, ("steps", str(steps))]

"""What a training would do and take, from its settings and a short probe; nothing is trained or kept."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from smartcli.atomic import sync_tree, temp_folder
from smartcli.counts import counted
from smartcli.home import Home
from smartcli.registry.manifest import build_manifest
from smartcli.workflows.training.first_process import Training
from smartcli.workflows.training.kept_run import Listener
from smartcli.workflows.training.settings import Resolved
from smartcli.workflows.training.signals import stop_on_signals

if TYPE_CHECKING:
    from smartcli.engine.training.forecast import Forecast
    from smartcli.engine.training.schedule import Phase
    from smartcli.engine.training.snapshot import Snapshot


def dry_run(home: Home, command: str, resolved: Resolved, listener: Listener) -> list[tuple[str, str]]:
    """Return (what, value) lines: batches and tokens of each task, steps, parameters, memory and time.

    Counts are exact; memory and time come from real steps, dev predictions and a save, done here and now. Errors
    are those of the training's own start.
    """
    training, found, reading = _probe(home, command, resolved, listener)
    phases = training.job.phases()
    return [*_counts(resolved, phases, found), *_costs(found, training.machine(), reading)]


def expected_seconds(home: Home, command: str, resolved: Resolved, listener: Listener) -> float:
    """Return what the training will take, from the same probe; errors are those of its own start."""
    _, found, reading = _probe(home, command, resolved, listener)
    return found.total_seconds + reading


def _probe(home: Home, command: str, resolved: Resolved, listener: Listener) -> tuple[Training, Forecast, float]:
    """Return the training, spent by the probe, what it will take, and the seconds of reading its inputs."""
    from smartcli.engine.training.forecast import forecast

    started = time.perf_counter()
    with stop_on_signals() as stop:
        training = Training(home, command, resolved, [], listener, stop)
        training.prepare()
        reading = time.perf_counter() - started

        def save(state: Snapshot) -> None:
            # As a run's save writes it, hashes included, on the same disk.
            with temp_folder(home.data / "dry-run") as temp:
                state.write(temp)
                sync_tree(temp)
                build_manifest(temp)

        found = forecast(training.job, save)
    return training, found, reading


def _counts(resolved: Resolved, phases: list[Phase], found: Forecast) -> list[tuple[str, str]]:
    from smartcli.engine.training.schedule import draws_tasks

    lines = []
    drawn = draws_tasks(resolved.settings, phases[0].tasks)
    about = "about " if drawn else ""
    for name, task in found.tasks.items():
        batch, several = resolved.settings.batch_size[name], resolved.settings.accumulate
        size = f"{batch}" if several == 1 else f"{several * batch} ({several} x {batch})"
        lines.append(
            (
                f"{name}: train rows, batches",
                f"{task.rows:,}, {task.batches:,} of {size} a pass, {about}{task.epoch_batches:,} an epoch",
            )
        )
        cut = f", {task.truncated:,} cut" if task.truncated else ""
        mean = task.pass_tokens / max(1, task.rows)
        lines.append((f"{name}: tokens", f"{task.pass_tokens:,} a pass, {mean:.1f} a row{cut}; {task.tokens:,} in all"))
    if len(phases) > 1:
        words = ", ".join(f"{phase.key} ({counted(phase.epochs, 'epoch')})" for phase in phases)
        lines.append(("phases, in order", words))
    else:
        one = "as many steps as one pass over every task has" if drawn else f"one pass over {phases[0].tasks[0]}"
        lines.append(("epochs", f"{phases[0].epochs}, each {one}"))
    lines.append(("steps", f"{found.steps:,}"))
    lines.append(("examples, tokens", f"{found.examples:,}, {found.tokens:,}"))
    lines.append(("parameters", f"{found.parameters:,}, of which {found.trained:,} are trained"))
    return lines


def _costs(found: Forecast, machine: Mapping[str, Any], reading: float) -> list[tuple[str, str]]:
    parts = ", ".join(f"{what} {duration(seconds)}" for what, seconds in found.seconds.items())
    lines = [("memory", f"about {found.memory / 1e6:,.0f} MB")]
    if found.device_memory:
        lines.append(("memory of the GPU", f"about {found.device_memory / 1e6:,.0f} MB"))
    lines.append(("time", f"about {duration(found.total_seconds)}: {parts}; {duration(reading)} more to start"))
    threads = f", {counted(machine['threads'], 'thread')}" if machine["device"] == "cpu" else ""
    where = f"in {machine['precision']} on {machine['device']}{threads}"
    lines.append(("measured", f"{counted(found.probed, 'step')} {where}"))
    return lines


def duration(seconds: float) -> str:
    """Return seconds as people read them: 0.8 s, 45 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"

"""One training from settings to a registered checkpoint, resumable at any step."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Runs
from smartcli.workflows.training.first_process import Training, TrainOutcome
from smartcli.workflows.training.kept_run import Listener
from smartcli.workflows.training.other_processes import follow
from smartcli.workflows.training.resume import Settled, check_finished, settle
from smartcli.workflows.training.scale_out import barrier, broadcast
from smartcli.workflows.training.settings import Resolved
from smartcli.workflows.training.signals import stop_on_signals

if TYPE_CHECKING:
    from smartcli.engine.distributed import Processes


def train(
    home: Home,
    command: str,
    resolved: Resolved,
    *,
    name: str | None,
    resume: str | None,
    argv: list[str],
    listener: Listener,
    processes: Processes | None = None,
    settled: Settled | None = None,
) -> TrainOutcome:
    """Train what `resolved` says and register it; `listener` hears every log record and each step's progress.

    `settled` is what `settle` found for these arguments, where the caller has asked it already.
    Of several `processes` the first does so, and the others give it their part of every step.
    Stopped (exit 128 + its number) when a signal ended it after a save; UserError for what the user can mend.
    """
    if processes is not None and not processes.is_main_process:
        return follow(home, command, resolved, argv, processes)
    settled = settled or settle(home, command, resolved, name, resume)
    found, resolved = settled.found, settled.resolved
    if isinstance(found, Checkpoint):
        check_finished(found, command, resolved)
        broadcast(processes, {"finished": found.name})
        return TrainOutcome(found.name, found.meta, already=True)
    registry, runs = Registry(home), Runs(home)
    with stop_on_signals() as stop, ExitStack() as stack:
        if found is not None:
            stack.enter_context(found.lock())
        elif name is not None:
            registry.check_free(name)
        broadcast(processes, {"run": found.name if found is not None else None})
        training = Training(home, command, resolved, argv, listener, stop, processes)
        training.prepare(found)
        barrier(processes)
        if found is None:
            # Only now, so that a wrong option uses up no number and leaves no file.
            run_name = stack.enter_context(registry.claim(name))
            run = runs.create(run_name, training.header())
        else:
            run_name, run = found.name, found
        broadcast(processes, run_name)
        checkpoint = training.run(run, registry)
        runs.remove(run_name)
    return TrainOutcome(checkpoint.name, checkpoint.meta)

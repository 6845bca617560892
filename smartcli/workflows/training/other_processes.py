"""What every process of a training but the first does: its part of each step, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smartcli.home import Home
from smartcli.registry.run_folders import Run
from smartcli.workflows.training.first_process import Training, TrainOutcome
from smartcli.workflows.training.resume import adopt_run
from smartcli.workflows.training.scale_out import barrier, shared_run
from smartcli.workflows.training.settings import Resolved
from smartcli.workflows.training.signals import stop_on_signals

if TYPE_CHECKING:
    from smartcli.engine.distributed import Processes


def follow(home: Home, command: str, resolved: Resolved, argv: list[str], processes: Processes) -> TrainOutcome:
    """Train with the first process, which alone decides, writes and reports; the outcome has the name alone."""
    decided = processes.broadcast()
    if "finished" in decided:
        return TrainOutcome(decided["finished"], None, already=True)
    with stop_on_signals() as stop:
        found = None if decided["run"] is None else shared_run(home, decided["run"])
        if found is not None:
            resolved = adopt_run(home, found, resolved)
        training = Training(home, command, resolved, argv, _ignore, stop, processes)
        training.prepare(found)
        barrier(processes)

        from smartcli.engine.training.job import Callbacks
        from smartcli.engine.training.loop import train

        run = Run(home, processes.broadcast())
        kept = training.kept(run)
        snapshot = kept.last_save() if found is not None else None
        with kept.ending():
            train(training.job, Callbacks(_ignore, _ignore, _ignore, stop), snapshot)
    return TrainOutcome(run.name, None)


def _ignore(_: object) -> None:
    """Take a record or a state, which the first process has too."""

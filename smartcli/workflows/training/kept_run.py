"""A training's run folder while it trains: the last save, the log, and what is said where the training ends early."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smartcli.errors import SmartCliError, Stopped
from smartcli.home import Home
from smartcli.log_events import Event, ResumeEvent, StartEvent, WarningEvent
from smartcli.registry.run_folders import Run
from smartcli.workflows.training.resume import machine_changes
from smartcli.workflows.training.run_log import RunLog
from smartcli.workflows.training.scale_out import resume_command
from smartcli.workflows.training.signals import StopFlag

if TYPE_CHECKING:
    from smartcli.engine.training.job import Callbacks
    from smartcli.engine.training.snapshot import Snapshot

Listener = Callable[[Event], None]


@dataclass(frozen=True)
class KeptRun:
    """Joins an engine's loop with its run folder: fine-tuning and training on masked words keep their runs alike."""

    home: Home
    run: Run
    command: str
    argv: Sequence[str]
    machine: dict[str, Any]
    listener: Listener
    stop: StopFlag

    def last_save(self) -> Snapshot | None:
        """Return what the run saved last, after a warning of what differs from where it started."""
        saved = self.run.load()
        if saved is None:
            return None
        from smartcli.engine.training.snapshot import Snapshot

        for change in machine_changes(self.run.header.machine, self.machine):
            self.listener(
                WarningEvent(
                    f"{change}: it goes on, but its numbers may differ from an uninterrupted run's in the last digits"
                )
            )
        return Snapshot.read(*saved)

    @contextmanager
    def recording(
        self, start: StartEvent, snapshot: Snapshot | None, hear: Listener = lambda _: None
    ) -> Iterator[Callbacks]:
        """Open the log, cut to where `snapshot` was taken, and give the loop's callbacks; `hear` gets each line too."""
        from smartcli.engine.training.job import Callbacks

        with RunLog(self.run.log_path, snapshot.position.log_bytes if snapshot is not None else 0) as log:

            def record(event: Event) -> None:
                log.write(event)
                hear(event)
                self.listener(event)

            def save(state: Snapshot) -> None:
                state.position.log_bytes = log.synced()
                self.run.save(state.write, state.position.to_json())

            if snapshot is None:
                record(start)
            else:
                self.listener(start)
                record(ResumeEvent(step=snapshot.position.total, machine=self.machine))
            yield Callbacks(record, self.listener, save, self.stop)
            log.synced()

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Say where an ended training goes on."""
        from smartcli.engine.distributed import Lost
        from smartcli.engine.training.loop import Interrupted

        try:
            yield
        except Interrupted as stopped:
            raise Stopped(
                f"stopped after step {step_of(self.run)}, and saved; go on with: {self.resume_command()}",
                self.stop.exit_code,
            ) from stopped
        except KeyboardInterrupt as stopped:
            raise Stopped(f"stopped at once; {self._lost()}", 128 + signal.SIGINT) from stopped
        except Lost as error:
            raise SmartCliError(f"{error}; {self._lost()}") from error

    def _lost(self) -> str:
        return f"what was trained since step {step_of(self.run)} is lost; go on with: {self.resume_command()}"

    def resume_command(self) -> str:
        """Return the command that goes on, with --home where this one had it."""
        words = []
        if any(word.partition("=")[0] == "--home" for word in self.argv):
            words += ["--home", str(self.home.root)]
        return resume_command([*words, self.command, "--resume", self.run.name])


def step_of(run: Run) -> int:
    """Return the step of the run's last save, 0 where there is none."""
    position = run.position()
    return int(position["total"]) if position is not None else 0

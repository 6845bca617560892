"""The log of a run: one JSON object a line, handed to the system at once, cut to the saved step on resume."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from smartcli.atomic import explain_os_errors
from smartcli.errors import SmartCliError
from smartcli.log_events import EndEvent, Event, StartEvent
from smartcli.registry.run_folders import RunHeader

if TYPE_CHECKING:
    from smartcli.engine.training.job import Job, Result


class RunLog:
    """Appends events to `path`; `synced` returns its length once it is on disk."""

    def __init__(self, path: Path, keep_bytes: int) -> None:
        self.path = path
        with explain_os_errors(path, "write"):
            # Without a buffer: closing one would try to write again what did not fit on the disk.
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
            length = self._file.seek(0, os.SEEK_END)
            if length >= keep_bytes:
                self._file.truncate(keep_bytes)
                self._file.seek(keep_bytes)
        if length < keep_bytes:
            self._file.close()
            raise SmartCliError(
                f"{path}: has {length} bytes, but {keep_bytes} were written when the run was saved last; the log was "
                f"altered, so the run cannot go on: remove it with `smart runs rm {path.parent.name}` and start again"
            )

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()

    def write(self, event: Event) -> None:
        """Append one event."""
        line = memoryview(json.dumps(event.to_json(), ensure_ascii=False, allow_nan=False).encode() + b"\n")
        with explain_os_errors(self.path, "write", needed=len(line)):
            while line:
                line = line[self._file.write(line) :]

    def synced(self) -> int:
        """Bring the log to disk and return its length in bytes."""
        with explain_os_errors(self.path, "write"):
            os.fsync(self._file.fileno())
        return self._file.tell()


def start_event(name: str, job: Job, header: RunHeader) -> StartEvent:
    """Return the first event of a training, from what its run stores about itself."""
    phases = job.phases()
    epochs = {phase.key: phase.epochs for phase in phases}
    return StartEvent(
        command=header.command,
        name=name,
        steps=sum(phase.steps for phase in phases),
        epochs=phases[0].epochs if len(phases) == 1 else epochs,
        settings=header.settings,
        data=header.data.to_json(),
        encoder=header.encoder.to_json(),
        machine=header.machine,
    )


def end_event(result: Result) -> EndEvent:
    """Return the last event of a finished training."""
    at = result.position
    return EndEvent(
        step=at.total,
        seconds=at.seconds,
        examples=at.examples,
        tokens=at.tokens,
        truncated=at.truncated,
        bad_steps=at.bad_steps,
        best_epoch=result.best_epoch,
        peak_memory=result.peak_memory,
    )

"""TensorBoard's event files, by its own writer: a folder a run, the settings as hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smartcli.log_events import StartEvent
from smartcli.workflows.tracking.track_numbers import plain_settings
from smartcli.workflows.tracking.tracker import Ending, Known

FLUSH_SECONDS = 5


class TensorBoard:
    """Writes `folder`/NAME; where another training had that name, NAME-2 and so on.

    A run that goes on begins a new file whose first event tells TensorBoard to forget the steps after the save, which
    are trained again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: Any = None

    def open(self, start: StartEvent, after: int | None, known: Known) -> Known:
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        name = str(known["name"]) if "name" in known else _free_name(self.folder, start.name)
        self._writer = EventFileWriter(str(self.folder / name), flush_secs=FLUSH_SECONDS)
        if after is not None and "name" in known:
            self._add(after + 1, session_log=SessionLog(status=SessionLog.START))
        else:
            self._add(0, summary=hparams_pb(plain_settings(start.settings), trial_id=name))
        return {"name": name}

    def log(self, step: int, numbers: Mapping[str, float], seconds: float) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=number) for name, number in numbers.items()]
        self._add(step, seconds, summary=Summary(value=values))

    def close(self, ending: Ending) -> None:
        self._writer.close()

    def _add(self, step: int, seconds: float | None = None, **content: Any) -> None:
        import time

        from tensorboard.compat.proto.event_pb2 import Event

        wall = time.time() if seconds is None else seconds
        self._writer.add_event(Event(wall_time=wall, step=step, **content))
        self._writer.flush()


def _free_name(folder: Path, name: str) -> str:
    number, free = 1, name
    while (folder / free).exists():
        number += 1
        free = f"{name}-{number}"
    return free

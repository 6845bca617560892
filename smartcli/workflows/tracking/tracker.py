"""What a tracker does, and the one of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from smartcli.log_events import StartEvent
from smartcli.workflows.tracking.track_option import TrackTarget

Known = Mapping[str, Any]
"""What a tracker wants to be told when the run goes on: JSON values by name, no secret."""
Ending = Literal["finished", "stopped", "failed"]


class Tracker(Protocol):
    """One run in one tracker. All is called on one thread; any error ends the tracking, and nothing else."""

    def open(self, start: StartEvent, after: int | None, known: Known) -> Known:
        """Begin, or go on after step `after` with the run that `known` names; return what names it."""
        ...

    def log(self, step: int, numbers: Mapping[str, float], seconds: float) -> None:
        """Take the numbers of an update, heard at `seconds` since 1970."""
        ...

    def close(self, ending: Ending) -> None:
        """Write out what is left, and say how the training ended."""
        ...


def make_tracker(target: TrackTarget, folder: Path) -> Tracker:
    """Return the tracker that `target` names; without a place it writes below `folder`."""
    if target.kind == "tensorboard":
        from smartcli.workflows.tracking.tracker_tensorboard import TensorBoard

        return TensorBoard(Path(target.place) if target.place else folder / "tensorboard")
    if target.kind == "mlflow":
        from smartcli.workflows.tracking.tracker_mlflow import Mlflow

        return Mlflow(target.place, folder)
    from smartcli.workflows.tracking.tracker_wandb import Wandb

    return Wandb(target.place, folder)


def where(target: TrackTarget, folder: Path) -> str:
    """Return in words where `target` writes and how to look at it."""
    if target.kind == "tensorboard":
        return f"look with: tensorboard --logdir {target.place or folder / 'tensorboard'}"
    if target.kind == "mlflow":
        from smartcli.workflows.tracking.tracker_mlflow import address_of

        return f"at {target.shown.partition(':')[2] or address_of(None, folder, shown=True)}"
    from smartcli.workflows.tracking.tracker_wandb import place_of

    return place_of(folder)

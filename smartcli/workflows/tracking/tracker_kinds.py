"""The tracker of each kind, and where it writes."""

from __future__ import annotations

from pathlib import Path

from smartcli.workflows.tracking.track_option import TrackTarget
from smartcli.workflows.tracking.tracker import Tracker


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

"""What `--track` may say: a tracker's name, and after a colon where it writes."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from smartcli.errors import UserError, suggest
from smartcli.hidden import has_user, hidden

MODULES = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
"""Tracker -> the module that must be there; the extra of smart-finetune has the tracker's name."""
OFF = "none"
_FORMS = "tensorboard[:DIR], mlflow[:URI], wandb[:PROJECT] or none"
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class TrackTarget:
    """One tracker: `kind` is its name, `place` a folder, an address or a project; None: the tracker's usual one."""

    kind: str
    place: str | None = None

    @property
    def text(self) -> str:
        """As it stands behind `--track`, folders absolute."""
        return self.kind if self.place is None else f"{self.kind}:{self.place}"

    @property
    def shown(self) -> str:
        """The same for messages."""
        return hidden(self.text)


def read_targets(entries: Sequence[str]) -> tuple[TrackTarget, ...] | None:
    """Return the trackers that `--track` names, in order; None where it is not given, nothing where it says `none`.

    UserError: an unknown tracker, one given twice, an address with a user in it, `none` beside others, a tracker
    whose package is not installed.
    """
    if not entries:
        return None
    if OFF in entries:
        if len(entries) > 1:
            raise UserError("--track none stands alone; leave it out, or leave out the others")
        return ()
    targets = [parse(entry) for entry in entries]
    for number, target in enumerate(targets):
        if target in targets[:number]:
            raise UserError(f"--track {target.shown} is given twice; leave one out")
    for target in targets:
        _check_installed(target)
    return tuple(targets)


def parse(entry: str) -> TrackTarget:
    """Return the tracker of one `--track`; UserError as in `read_targets`."""
    kind, colon, place = entry.partition(":")
    if kind not in MODULES:
        raise UserError(f'--track: there is no tracker "{hidden(kind)}"; expected {_FORMS}{suggest(kind, MODULES)}')
    if colon and not place.strip():
        raise UserError(f"--track {kind}: nothing stands after the colon; expected {_FORMS}")
    if not colon:
        return TrackTarget(kind)
    if has_user(place):
        # The command line is stored with the checkpoint, and others read a machine's list of processes.
        raise UserError(
            f"--track {kind}: a user or password must not stand in the address; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or the whole address as MLFLOW_TRACKING_URI and say --track mlflow alone"
        )
    return TrackTarget(kind, _absolute(kind, place))


def installed(kind: str) -> bool:
    """Return whether the tracker's package is there; it is not loaded."""
    return importlib.util.find_spec(MODULES[kind]) is not None


def advice(kind: str) -> str:
    """Return how to install a tracker's package."""
    return f"pip install 'smart-finetune[{kind}]'"


def texts(targets: Iterable[TrackTarget]) -> list[str]:
    """Return the targets as `--track` takes them."""
    return [target.text for target in targets]


def _absolute(kind: str, place: str) -> str:
    """Return `place` so that a run resumed from another folder means the same."""
    folder = kind == "mlflow" and ":" not in place and place != "databricks"
    if kind == "tensorboard" or folder:
        return str(Path(place).expanduser().absolute())
    file = place.removeprefix(_SQLITE)
    if kind == "mlflow" and file != place and not file.startswith(("/", ":")):
        return f"{_SQLITE}{Path(file).absolute()}"
    return place


def _check_installed(target: TrackTarget) -> None:
    if not installed(target.kind):
        raise UserError(
            f"--track {target.kind} needs the package {MODULES[target.kind]}, which is not installed; install it with: "
            f"{advice(target.kind)}"
        )

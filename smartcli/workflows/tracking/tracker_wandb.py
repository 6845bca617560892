"""Weights & Biases: a run online, or with WANDB_MODE=offline in a folder that `wandb sync` uploads later."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smartcli.errors import SmartCliError
from smartcli.log_events import StartEvent
from smartcli.workflows.tracking.tracker import Ending, Known

PROJECT = "smart-finetune"
_EXIT_CODES = {"finished": 0, "stopped": 143, "failed": 1}


def offline() -> bool:
    """Whether WANDB_MODE forbids the network."""
    return os.environ.get("WANDB_MODE", "").lower() in ("offline", "dryrun")


def folder_of(folder: Path) -> Path:
    """Return where wandb keeps its files: $WANDB_DIR, else below `folder`."""
    named = os.environ.get("WANDB_DIR")
    return Path(named).expanduser() if named else folder


def place_of(folder: Path) -> str:
    """Return in words where the run is written."""
    kept = folder_of(folder) / "wandb"
    return f"offline; upload with: wandb sync {kept}/offline-run-*" if offline() else f"online, and in {kept}"


class Wandb:
    """Writes a run named like the checkpoint into the project; its id stays when the training goes on.

    wandb's own watching of the machine, of the terminal and of the code is off: what it gets is what the log has.
    """

    def __init__(self, project: str | None, folder: Path) -> None:
        self.project = project or os.environ.get("WANDB_PROJECT") or PROJECT
        self.folder = folder
        self._run: Any = None

    def open(self, start: StartEvent, after: int | None, known: Known) -> Known:
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        if not offline() and os.environ.get("WANDB_MODE") != "disabled" and not wandb.login(prompt=False):
            raise SmartCliError("no API key; run `wandb login`, or set WANDB_API_KEY, or WANDB_MODE=offline")
        at = folder_of(self.folder)
        at.mkdir(mode=0o700, parents=True, exist_ok=True)
        run_id = str(known.get("id") or uuid.uuid4().hex[:12])
        settings = wandb.Settings(
            console="off",
            disable_git=True,
            save_code=False,
            silent=True,
            x_disable_meta=True,
            x_disable_stats=True,
        )
        self._run = wandb.init(
            project=self.project,
            name=start.name,
            id=run_id,
            resume="allow",
            reinit="create_new",
            dir=str(at),
            job_type=start.command,
            config={"settings": dict(start.settings), "data": dict(start.data), "encoder": dict(start.encoder)},
            settings=settings,
        )
        return {"id": run_id}

    def log(self, step: int, numbers: Mapping[str, float], seconds: float) -> None:
        # Steps that a killed training had logged before it went on; their numbers are the same.
        if step >= self._run.step:
            self._run.log(dict(numbers), step=step)

    def close(self, ending: Ending) -> None:
        self._run.finish(exit_code=_EXIT_CODES[ending])

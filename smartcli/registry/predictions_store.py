"""Predictions on splits and data other than a checkpoint's own dev, kept so that they are made once."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from smartcli.atomic import DISK, write_file
from smartcli.errors import SmartCliError
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint

if TYPE_CHECKING:
    from smartcli.data.predictions import Predictions


ATTEMPTS = 10
"""How often a checkpoint may be removed and made again while its predictions are written."""


def stored_path(home: Home, checkpoint: Checkpoint, fingerprint: str, split: str) -> Path:
    """Return where predictions of exactly this content on exactly these rows lie."""
    return home.predictions / f"{checkpoint.name}@{checkpoint.manifest_hash}" / f"{fingerprint}-{split}.csv"


def load_predictions(home: Home, checkpoint: Checkpoint, fingerprint: str, split: str) -> Predictions | None:
    """Return stored predictions; None when there are none or they do not match their checksum."""
    from smartcli.data.predictions import read_predictions

    path = stored_path(home, checkpoint, fingerprint, split)
    with suppress(OSError):
        raw = path.read_bytes()
        if _checksum(path).read_text("ascii").strip() == hashlib.sha256(raw).hexdigest():
            return read_predictions(raw, str(path))
    return None


def save_predictions(
    home: Home, checkpoint: Checkpoint, fingerprint: str, split: str, predictions: Predictions
) -> Path:
    """Store predictions, unless the checkpoint is removed meanwhile.

    A kill between the two files leaves a mismatch, which reads as none stored.
    """
    from smartcli.data.predictions import write_predictions

    path = stored_path(home, checkpoint, fingerprint, split)
    raw = write_predictions(predictions)
    for attempt in range(ATTEMPTS):
        try:
            write_file(path, raw)
            write_file(_checksum(path), hashlib.sha256(raw).hexdigest() + "\n")
            break
        except SmartCliError:
            # The folder goes with the checkpoint, which may be back already with the same content.
            if attempt == ATTEMPTS - 1 and checkpoint.unchanged():
                raise
    if not checkpoint.unchanged():
        DISK.remove_tree(path.parent)
    return path


def _checksum(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")

"""Where an encoder's files are, however they were found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MINILM = "minilm"


@dataclass(frozen=True)
class EncoderFiles:
    """Where an encoder's files are, and by which name and revision they were found."""

    id: str
    revision: str | None
    """Commit hash on the hub; None for a folder and for the package."""
    folder: Path

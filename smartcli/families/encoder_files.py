"""Where an encoder's files are, however they were found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MINILM = "minilm"


def absolute(name: str) -> str:
    """Return an encoder's name, or for a folder its absolute path: named from here, found from elsewhere too."""
    folder = Path(name).expanduser()
    return name if name == MINILM or not folder.is_dir() else str(folder.absolute())


@dataclass(frozen=True)
class EncoderFiles:
    """Where an encoder's files are, and by which name and revision they were found."""

    id: str
    revision: str | None
    """Commit hash on the hub; None for a folder and for the package."""
    folder: Path

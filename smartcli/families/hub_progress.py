"""Download progress off a terminal: one plain line every few seconds."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

SECONDS = 5.0


def plain_lines(say: Callable[[str], None]) -> type[Any]:
    """Return a tqdm class that says `downloaded 120.0 of 438.0 MB` instead of drawing a bar."""
    from tqdm.std import tqdm

    class PlainLines(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # The library's own bars carry a name that the base class does not know.
            kwargs.pop("name", None)
            quiet = {"file": io.StringIO(), "leave": False, "disable": False}
            super().__init__(*args, **(kwargs | quiet), mininterval=SECONDS)

        def display(self, msg: str | None = None, pos: int | None = None) -> bool:
            in_bytes = str(self.desc).startswith("Downloading") and self.unit == "B"
            if msg is None and in_bytes and 0 < self.n < (self.total or 0):
                say(f"downloaded {self.n / 1e6:,.1f} of {self.total / 1e6:,.1f} MB")
            return True

    return PlainLines

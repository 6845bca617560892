"""How much a server takes at a time."""

from __future__ import annotations

from dataclasses import dataclass, fields

from smartcli.errors import UserError

FRACTIONS = frozenset({"wait_ms", "timeout", "body_timeout"})
"""Limits that need be no whole numbers."""
FROM_ZERO = frozenset({"wait_ms"})


@dataclass(frozen=True)
class Limits:
    """What one request may hold, how many there may be, and how they share batches."""

    batch_tokens: int = 4096
    """Most tokens that pass the encoder at once, one long text aside."""
    wait_ms: float = 5.0
    """Longest time that an idle model waits for requests that are likely to come, in milliseconds."""
    queue: int = 256
    """Requests that may be under way at a time: read, waiting, or in the model."""
    timeout: float = 30.0
    """Seconds that a request may wait for its answer once it is read."""
    max_body: int = 1_000_000
    """Bytes of a request's body."""
    max_texts: int = 256
    """Rows of a request."""
    max_chars: int = 20_000
    """Characters of a text."""
    body_timeout: float = 10.0
    """Seconds in which a body must arrive."""

    def check(self) -> None:
        """Raise a UserError naming the option whose value makes no sense."""
        for field in fields(self):
            value = getattr(self, field.name)
            above = field.name in FRACTIONS - FROM_ZERO
            least = 0 if above or field.name in FROM_ZERO else 1
            if not least <= value < float("inf") or (above and value == 0):
                expected = f"above {least}" if above else f"at least {least}"
                raise UserError(f"--{field.name.replace('_', '-')} must be a number {expected}, found {value:g}")

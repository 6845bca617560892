"""Everything wrong with the user's files, gathered, so that one look at the message shows all of it."""

from __future__ import annotations

from smartcli.errors import UserError

SHOWN = 20


class Problems:
    """Messages of the form `file:line: reason`; the first `SHOWN` are kept, all are counted."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.count = 0

    def add(self, message: str) -> None:
        self.count += 1
        if len(self.messages) < SHOWN:
            self.messages.append(message)

    def raise_if_any(self) -> None:
        """Raise one UserError with what was gathered."""
        if not self.count:
            return
        if self.count == 1:
            raise UserError(self.messages[0])
        more = [f"and {self.count - SHOWN:,} more"] if self.count > SHOWN else []
        raise UserError("\n  ".join([f"{self.count:,} problems in the data:", *self.messages, *more]))


def shorten(value: object, most: int = 60) -> str:
    """Return `value` quoted for a message, cut to `most` characters."""
    text = value if isinstance(value, str) else str(value)
    return repr(text if len(text) <= most else text[:most] + "…")

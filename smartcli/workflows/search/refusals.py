"""What training refuses in a trial: the values that were drawn for it, or what all trials of this worker share."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from smartcli.home import Home
from smartcli.workflows.search.slots import MISTAKE, Attempt, Slot


class Refusals:
    """Tells the one from the other: a user's mistake (a teacher that this home lacks) must not use up trials.

    A refusal lies in the values where this worker got another trial through, or where the same had been said of the
    trial here before this worker began: then the user has tried again.
    """

    def __init__(self, home: Home) -> None:
        self._here = f"{socket.gethostname()}, {home.root}"
        self._before: set[tuple[int, str]] | None = None
        self.got_through = False
        """Whether this worker has trained a trial to its end."""

    def look(self, slots: Sequence[Slot]) -> None:
        """Take in the study as it stands; the first look says what was refused before."""
        if self._before is None:
            attempts = [one for slot in slots for one in slot.attempts]
            self._before = {(one.root, str(one.notes[MISTAKE])) for one in attempts if MISTAKE in one.notes}

    def note(self, why: str) -> str:
        """Return what is noted of a refusal: another machine or home may lack what this one has."""
        return f"{self._here}: {why}"

    def of_values(self, attempt: Attempt, why: str) -> bool:
        """Return whether the refusal `why` lies in the values of an attempt."""
        return self.got_through or (attempt.root, self.note(why)) in (self._before or ())

"""Text of libraries and of addresses, without the passwords and tokens that may stand in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

HIDDEN = "***"
_NAMES = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY|CREDENTIAL", re.IGNORECASE)
# A password may hold a raw "@", and a key of an object store a "/"; a port and a path with an "@" are no user.
_USER = re.compile(r"(?<=://)(?:[^/\s]+|[^/\s:@]*:(?!\d*/)[^\s@]*)@")
_QUERY = re.compile(
    r"([?&;][^=&;\s]*(?:token|secret|password|signature|credential|key)[^=&;\s]*=)[^&;\s'\"]+", re.IGNORECASE
)
_HEADER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]+", re.IGNORECASE)
_SHORTEST = 6
"""Characters that a secret of the environment has at least; a shorter one would blank half of every message."""
_LONGEST = 300


def hidden(text: str) -> str:
    """Return `text` without users in addresses, secrets in their queries, and secrets of the environment."""
    for secret in _secrets():
        text = text.replace(secret, HIDDEN)
    text = _USER.sub(f"{HIDDEN}@", text)
    text = _QUERY.sub(rf"\1{HIDDEN}", text)
    return _HEADER.sub(rf"\1 {HIDDEN}", text)


def has_user(address: str) -> bool:
    """Return whether a user name, and so perhaps a password, stands in an address."""
    return _USER.search(address) is not None


def reason_of(error: BaseException) -> str:
    """Return a library's error as a part of one line: its kind and the start of its text, without secrets."""
    line = next((line.strip() for line in hidden(str(error)).splitlines() if line.strip()), "")
    shown = line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__


def _secrets() -> Iterator[str]:
    found = {value for name, value in os.environ.items() if _NAMES.search(name) and len(value) >= _SHORTEST}
    # The longest first: one may stand inside another.
    yield from sorted(found, key=len, reverse=True)

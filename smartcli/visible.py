"""Text of users and data sets, made safe to print on a terminal."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that move the cursor, colour, hide or reorder what is shown."""
_KEPT = frozenset({"\n", "\u200c", "\u200d"})
"""Line ends of our own messages, and the joiners that scripts and emoji are written with."""


def visible(text: str) -> str:
    """Return `text` with control and direction characters spelt out: ESC becomes `\\x1b`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _harmless(char) else _spelt(char) for char in text)


def _harmless(char: str) -> bool:
    return char in _KEPT or unicodedata.category(char) not in _STEERING


def _spelt(char: str) -> str:
    return " " if char == "\t" else char.encode("unicode_escape").decode("ascii")


def plain(text: str) -> Text:
    """Return Rich text that shows `text` as it is: no markup, no escape sequence."""
    from rich.text import Text

    return Text(visible(text))

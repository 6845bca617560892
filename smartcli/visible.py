"""Text of users and data sets, made safe to print on a terminal and to stand in a Markdown page."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that move the cursor, colour, hide or reorder what is shown."""
_KEPT = frozenset({"\n", "\u200c", "\u200d"})
"""Line ends of our own messages, and the joiners that scripts and emoji are written with."""

_MARKS = re.compile(r"([\\`*\[\]|<>])")


def visible(text: str) -> str:
    """Return `text` with control and direction characters spelt out: ESC becomes `\\x1b`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _harmless(char) else _spelt(char) for char in text)


def visible_json(text: str) -> str:
    """Return JSON of the same value whose strings hold no such character as it is: U+009B becomes `\\u009b`."""
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(char if _harmless(char) else json.dumps(char)[1:-1] for char in text)


def markdown(text: str) -> str:
    """Return `text` for a line of Markdown: its marks, and those of HTML, show as they are."""
    return _MARKS.sub(r"\\\1", visible(text).replace("\n", " "))


def code_span(text: str) -> str:
    """Return `text` as code in a line of Markdown."""
    shown = visible(text).replace("\n", " ")
    ticks = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    return f"{ticks}{shown}{ticks}" if len(ticks) == 1 else f"{ticks} {shown} {ticks}"


def _harmless(char: str) -> bool:
    return char in _KEPT or unicodedata.category(char) not in _STEERING


def _spelt(char: str) -> str:
    return " " if char == "\t" else char.encode("unicode_escape").decode("ascii")


def plain(text: str) -> Text:
    """Return Rich text that shows `text` as it is: no markup, no escape sequence."""
    from rich.text import Text

    return Text(visible(text))

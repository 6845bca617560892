"""Lines of a UTF-8 stream, read by the block: no byte is guessed at, and each line keeps its number."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

BLOCK = 1 << 20
BOM = b"\xef\xbb\xbf"
LOOKED_AT = 4096
"""Bytes by which UTF-16 is told."""
UTF16 = (b"\xff\xfe", b"\xfe\xff")
NAMES = {"cp1252": "Windows-1252", "latin-1": "Latin-1"}


class BadBytes(Exception):
    """A line that is not text: `line` counts from 1, `reason` says expected, found and what to do."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


def text_lines(stream: BinaryIO, encoding: str | None = None) -> Iterator[str]:
    """Yield the lines of `stream`, each with its end (`\\n` or `\\r\\n`), without a byte order mark.

    Only `\\n` ends a line. BadBytes comes exactly when the line at fault is asked for, so that a parser
    still knows in which row it stands. `encoding` is UTF-8 where it is None.
    """
    if encoding is None or codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        return chain.from_iterable(_blocks(stream))
    return _in_encoding(stream.read(), encoding)


def _in_encoding(raw: bytes, encoding: str) -> Iterator[str]:
    """Yield the lines of a text that stands in memory whole: other encodings have no line ends to cut blocks at."""
    try:
        text, reason = raw.decode(encoding), ""
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        text = raw[:start].decode(encoding, "ignore")
        text = text[: text.rfind("\n") + 1]
        found = f"byte 0x{raw[start]:02x}" if start < len(raw) else "other bytes"
        reason = f'expected text in {encoding}, as "encoding" says, found {found}'
    text = text.removeprefix("\ufeff")
    yield from io.StringIO(text, newline="\n")
    if reason:
        raise BadBytes(text.count("\n") + 1, reason)


def guess_encoding(raw: bytes) -> str | None:
    """Return what a text reads as, of UTF-8 (None), UTF-16, Windows-1252 and Latin-1."""
    if raw.startswith(UTF16):
        return "utf-16"
    if (found := unmarked_utf16(raw)) is not None:
        return found
    for name in ("utf-8", "cp1252"):
        try:
            raw.decode(name)
        except UnicodeDecodeError:
            continue
        return None if name == "utf-8" else name
    return "latin-1"


def unmarked_utf16(raw: bytes) -> str | None:
    """Return utf-16-le or utf-16-be where a text without byte order mark looks so: most of every other byte are NUL."""
    pairs = min(len(raw), LOOKED_AT) // 2
    if pairs < 2 or raw.startswith(UTF16):
        return None
    zeros = [raw[side : 2 * pairs : 2].count(0) for side in (0, 1)]
    for name, (text, high) in {"utf-16-le": zeros, "utf-16-be": zeros[::-1]}.items():
        if high > 0.5 * pairs and text < 0.05 * pairs:
            return name
    return None


def _blocks(stream: BinaryIO) -> Iterator[io.StringIO]:
    line = 1
    rest: list[bytes] = []
    while True:
        block = stream.read(BLOCK)
        cut = block.rfind(b"\n") + 1
        if block and not cut:
            rest.append(block)
            continue
        whole = b"".join((*rest, block[:cut]))
        rest = [block[cut:]]
        if line == 1 and whole.startswith(BOM):
            whole = whole[len(BOM) :]
        if line == 1 and whole.startswith(UTF16):
            raise BadBytes(
                1,
                'expected UTF-8 text, found UTF-16; write encoding = "utf-16" in tasks.toml, or save the file as UTF-8',
            )
        if line == 1 and (found := unmarked_utf16(whole)) is not None:
            raise BadBytes(
                1,
                f'expected UTF-8 text, found what reads as UTF-16; write encoding = "{found}" in tasks.toml, or save '
                "the file as UTF-8",
            )
        yield from _decoded(whole, line)
        line += whole.count(b"\n")
        if not block:
            return


def _decoded(whole: bytes, line: int) -> Iterator[io.StringIO]:
    """Yield the text of whole lines; where they hold a bad byte, first the lines before it, then raise."""
    at, reason = whole.find(b"\0"), "found a NUL byte; a text file has none, so it may be damaged or of another format"
    try:
        text = whole.decode("utf-8")
    except UnicodeDecodeError as error:
        if at < 0 or error.start < at:
            found = f"byte 0x{whole[error.start]:02x}"
            guess = guess_encoding(whole)
            reads = f"it reads as {NAMES[guess]}: " if guess in NAMES else ""
            advice = f'{reads}write encoding = "{guess}" in tasks.toml, or save the file as UTF-8'
            at, reason = error.start, f"expected UTF-8 text, found {found}; {advice}"
        text = ""
    if at < 0:
        yield io.StringIO(text, newline="\n")
        return
    before = whole[: whole.rfind(b"\n", 0, at) + 1]
    yield io.StringIO(before.decode("utf-8"), newline="\n")
    raise BadBytes(line + before.count(b"\n"), reason)

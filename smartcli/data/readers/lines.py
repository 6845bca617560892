"""Lines of a UTF-8 stream, read by the block: no byte is guessed at, and each line keeps its number."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

BLOCK = 1 << 20
BOM = b"\xef\xbb\xbf"
UTF16 = (b"\xff\xfe", b"\xfe\xff")


class BadBytes(Exception):
    """A line that is not text: `line` counts from 1, `reason` says expected, found and what to do."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


def text_lines(stream: BinaryIO) -> Iterator[str]:
    """Yield the lines of `stream`, each with its end (`\\n` or `\\r\\n`), without a byte order mark.

    Only `\\n` ends a line. BadBytes comes exactly when the line at fault is asked for, so that a parser
    still knows in which row it stands.
    """
    return chain.from_iterable(_blocks(stream))


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
            raise BadBytes(1, "expected UTF-8 text, found UTF-16; save the file as UTF-8")
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
            at, reason = error.start, f"expected UTF-8 text, found {found}; save the file as UTF-8 (it may be Latin-1)"
        text = ""
    if at < 0:
        yield io.StringIO(text, newline="\n")
        return
    before = whole[: whole.rfind(b"\n", 0, at) + 1]
    yield io.StringIO(before.decode("utf-8"), newline="\n")
    raise BadBytes(line + before.count(b"\n"), reason)

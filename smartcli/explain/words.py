"""A text's words as spans of characters, so that one can be left out and everything else stays as it is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_SINGLE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
"""Kana and Chinese characters: no spaces stand between words there, so each counts as a word."""
_APOSTROPHES = "'’"


@dataclass(frozen=True)
class Word:
    """Characters `start:stop` of text number `side` (0 or 1) of a row."""

    side: int
    start: int
    stop: int
    text: str


def words_of(texts: Sequence[str]) -> list[Word]:
    """Return the words of one or two texts, in order.

    A word is a run of letters and digits ("didn't" is one), a Chinese or Japanese character, or a run of other marks.
    """
    return [
        Word(side, found.start(), found.end(), found.group())
        for side, text in enumerate(texts)
        for found in _pattern(_marks(text)).finditer(text)
    ]


def without(texts: Sequence[str], word: Word) -> tuple[str, ...]:
    """Return the texts with the characters of `word` deleted; the spaces around it stay."""
    return tuple(
        text[: word.start] + text[word.stop :] if side == word.side else text for side, text in enumerate(texts)
    )


def _marks(text: str) -> str:
    """Return the accents and vowel signs of `text`, which belong to the letter before them but are no `\\w`."""
    return "" if text.isascii() else "".join(sorted({char for char in text if unicodedata.category(char)[0] == "M"}))


@lru_cache(maxsize=64)
def _pattern(marks: str) -> re.Pattern[str]:
    also = re.escape(marks)
    letters = rf"[^\W{_SINGLE}][{also}]*" if marks else rf"[^\W{_SINGLE}]"
    return re.compile(rf"[{_SINGLE}]|(?:{letters})+(?:[{_APOSTROPHES}](?:{letters})+)*|[^\w\s]+")

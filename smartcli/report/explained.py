"""An error explained on the page: its words with their effects, and the nearest training rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from smartcli.explain.words import Word

STRENGTHS = 5
SMALLEST = 0.005
"""Effects below this show neither number nor colour: two decimals of them are 0."""


@dataclass(frozen=True)
class Piece:
    """A stretch of text; a word that matters has its effect in `number`, and how it looks in `look`."""

    text: str
    number: str = ""
    look: str = ""


@dataclass(frozen=True)
class Near:
    """A training row near the one explained."""

    cosine: float
    label: str
    texts: tuple[str, ...]
    id: str
    same: bool


@dataclass(frozen=True)
class Explained:
    """One row: its texts in pieces, one tuple a text. `of` is what the words' effects are of."""

    id: str
    label: str
    prediction: str
    of: str
    texts: tuple[tuple[Piece, ...], ...]
    near: tuple[Near, ...]
    among: str


def pieces(texts: Sequence[str], words: Sequence[Word], effects: Sequence[float]) -> tuple[tuple[Piece, ...], ...]:
    """Return each text cut at its words; together the pieces are the text again.

    Colour goes by the effect beside the largest one of the row, in five steps, and never stands alone: a number
    with its sign goes with it.
    """
    largest = max((abs(effect) for effect in effects), default=0.0)
    out: list[list[Piece]] = [[] for _ in texts]
    at = [0] * len(texts)
    for word, effect in zip(words, effects, strict=True):
        text = texts[word.side]
        if word.start > at[word.side]:
            out[word.side].append(Piece(text[at[word.side] : word.start]))
        out[word.side].append(_piece(text[word.start : word.stop], float(effect), largest))
        at[word.side] = word.stop
    for side, text in enumerate(texts):
        if at[side] < len(text):
            out[side].append(Piece(text[at[side] :]))
    return tuple(tuple(one) for one in out)


def _piece(text: str, effect: float, largest: float) -> Piece:
    if abs(effect) < SMALLEST:
        return Piece(text)
    strength = min(STRENGTHS, math.ceil(STRENGTHS * abs(effect) / largest))
    return Piece(text, f"{effect:+.2f}", f"{'for' if effect > 0 else 'against'}{strength}")

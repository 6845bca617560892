"""How much each word matters: what the model gives for the text with and without it.

Erasure, as in Li, Monroe and Jurafsky 2016, "Understanding Neural Networks through Representation Erasure"
(arXiv 1612.08220), one word at a time: two words that say the same thing may each seem to matter little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from smartcli.explain.words import Word, without

Values = NDArray[np.float64]
Score = Callable[[list[tuple[str, ...]]], Values]
"""Rows of texts in, one value a row out: a class's probability, or a score."""


def occlude(score: Score, texts: Sequence[str], words: Sequence[Word]) -> tuple[float, Values]:
    """Return the value of the texts, and each word's effect (w,): that value − the value without the word.

    Above 0 the word speaks for the value. `score` is called once, with the texts first and then a row a word.
    """
    values = score([tuple(texts), *(without(texts, word) for word in words)])
    return float(values[0]), values[0] - values[1:]

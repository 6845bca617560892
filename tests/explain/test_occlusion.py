"""On a linear model a word's effect is its weight, and the effects sum to what the whole text adds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from smartcli.explain.occlusion import occlude
from smartcli.explain.words import words_of

WEIGHTS = {"good": 2.0, "dull": -1.5, "film": 0.25, "!": 0.5}
BIAS = 0.75


def linear(rows: list[tuple[str, ...]]) -> NDArray[np.float64]:
    """Bias plus the weight of every word, each time that it occurs."""
    return np.array([BIAS + sum(WEIGHTS.get(word.text, 0.0) for word in words_of(row)) for row in rows])


@pytest.mark.parametrize("texts", [("a good film, not dull!",), ("good good", "dull film"), ("good",), ("",)])
def test_on_a_linear_model_effects_are_the_weights_and_sum_to_full_minus_empty(texts: tuple[str, ...]) -> None:
    words = words_of(texts)
    value, effects = occlude(linear, texts, words)
    assert effects.tolist() == [WEIGHTS.get(word.text, 0.0) for word in words]
    empty = linear([tuple("" for _ in texts)])[0]
    assert value == linear([texts])[0]
    assert effects.sum() == pytest.approx(value - empty)


def test_signs_say_which_word_speaks_for_and_which_against() -> None:
    _, effects = occlude(linear, ("good dull",), words_of(("good dull",)))
    assert np.sign(effects).tolist() == [1, -1]


def test_the_model_is_asked_once_for_all() -> None:
    asked = []

    def score(rows: list[tuple[str, ...]]) -> NDArray[np.float64]:
        asked.append(rows)
        return np.zeros(len(rows))

    occlude(score, ("a b",), words_of(("a b",)))
    assert asked == [[("a b",), (" b",), ("a ",)]]

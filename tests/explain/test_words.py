"""Words as spans of characters: what counts as one, and what is left when it goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcli.explain.words import Word, without, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I didn't like it -- really!", ["I", "didn't", "like", "it", "--", "really", "!"]),
        ("rock’n’roll 'quoted'", ["rock’n’roll", "'", "quoted", "'"]),
        ("你好 hello世界", ["你", "好", "hello", "世", "界"]),
        ("naïve cafe\u0301 हिन्दी", ["naïve", "cafe\u0301", "हिन्दी"]),
        ("2.22 <b>", ["2", ".", "22", "<", "b", ">"]),
        ("👍🏽 ok", ["👍🏽", "ok"]),
        (" \t\n", []),
        ("", []),
    ],
)
def test_words_are_runs_of_letters_single_characters_of_chinese_and_runs_of_marks(text: str, words: list[str]) -> None:
    assert [word.text for word in words_of([text])] == words


@given(st.text())
def test_every_character_but_white_space_is_in_exactly_one_word(text: str) -> None:
    words = words_of([text])
    covered = [at for word in words for at in range(word.start, word.stop)]
    assert len(covered) == len(set(covered))
    assert {at for at, char in enumerate(text) if not char.isspace()} <= set(covered)
    assert all(text[word.start : word.stop] == word.text for word in words)


def test_a_word_goes_alone_and_both_texts_of_a_pair_are_looked_at() -> None:
    pair = ("a a b", "b")
    words = words_of(pair)
    assert words == [Word(0, 0, 1, "a"), Word(0, 2, 3, "a"), Word(0, 4, 5, "b"), Word(1, 0, 1, "b")]
    assert [without(pair, word) for word in words] == [(" a b", "b"), ("a  b", "b"), ("a a ", "b"), ("a a b", "")]

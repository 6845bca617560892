from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcli.visible import visible

CASES = [
    ("plain [red]text[/red]", "plain [red]text[/red]"),
    ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
    ("a\tb\rc\x07", "a b\\rc\\x07"),
    ("\x9b31m", "\\x9b31m"),
    ("abc\u202edef", "abc\\u202edef"),
    ("two\nlines", "two\nlines"),
    ("café – 日本 👩\u200d💻", "café – 日本 👩\u200d💻"),
]


@pytest.mark.parametrize(("text", "shown"), CASES)
def test_control_characters_are_spelt_and_writing_stays(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_no_escape_sequence_survives(text: str) -> None:
    assert not {"\x1b", "\x9b", "\r", "\x08", "\x07", "\u202e"} & set(visible(text))


def test_escape_sequences_in_a_message_reach_no_terminal(smart) -> None:  # type: ignore[no-untyped-def]
    result = smart("evaluate", "a\x1b[31m*")
    assert result.exit_code == 2
    assert "\\x1b[31m" in result.stderr
    assert "\x1b" not in result.stderr

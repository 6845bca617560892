from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcli.visible import code_span, markdown, visible, visible_json

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


@given(st.recursive(st.text() | st.integers(), lambda part: st.dictionaries(st.text(), part, max_size=3)))
def test_json_stays_the_same_value_and_holds_no_escape_sequence(value: object) -> None:
    text = visible_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(text) == value
    assert not {"\x1b", "\x7f", "\x9b", "\u202e"} & set(text)


def test_marks_of_markdown_and_html_show_as_they_are() -> None:
    assert markdown("a <script> [x](y) `z` | *b* \x1b[1m") == (r"a \<script\> \[x\](y) \`z\` \| \*b\* \\x1b\[1m")
    assert markdown("two\nlines") == "two lines"
    assert code_span("smart x") == "`smart x`"
    assert code_span("a ` b `` c\x1b") == r"``` a ` b `` c\x1b ```"


def test_escape_sequences_in_a_message_reach_no_terminal(smart) -> None:  # type: ignore[no-untyped-def]
    result = smart("evaluate", "a\x1b[31m*")
    assert result.exit_code == 2
    assert "\\x1b[31m" in result.stderr
    assert "\x1b" not in result.stderr

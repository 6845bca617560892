"""A guessed table as TOML that reads back, with its reasons as comments."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcli.data.guess_toml import table_toml, to_toml

VALUES: dict[str, Any] = {
    "name": "desk",
    "kind": "classification",
    "text": ["message"],
    "labels": ["a", "b"],
    "split": {"dev": 0.1, "seed": 0},
}


def test_each_key_has_its_reason_and_notes_stand_above() -> None:
    text = table_toml([(VALUES, {"kind": "two\nlabels"}, ("look\nhere",))], "my folder")
    assert "smart check my folder" in text
    assert "\n# Note: look here\n[[task]]\n" in text
    assert 'kind = "classification"'.ljust(44) + "# two labels\n" in text
    assert tomllib.loads(text) == {"task": [{**VALUES, "text": "message"}]}


def test_a_pair_is_a_list_and_a_long_line_keeps_its_comment_apart() -> None:
    values = {"text": ["one", "other"], "labels": [f"label {i}" for i in range(9)]}
    text = table_toml([(values, {"labels": "as in the file"}, ())], ".")
    assert tomllib.loads(text)["task"] == [values]
    assert '"label 8"]  # as in the file' in text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_reads_back(text: str) -> None:
    assert tomllib.loads(f"x = {to_toml(text)}")["x"] == text
    assert tomllib.loads(table_toml([({"name": "a"}, {"name": text}, (text,))], text))["task"] == [{"name": "a"}]


@pytest.mark.parametrize("value", [True, 3, 0.1, [1, 7], {"dev": 0.1, "seed": 0}])
def test_other_values_read_back(value: object) -> None:
    assert tomllib.loads(f"x = {to_toml(value)}")["x"] == value

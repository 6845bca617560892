"""Names: what is allowed, how they sort, and what patterns stand for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcli.errors import UserError
from smartcli.home import is_name
from smartcli.registry.names import check_name, expand_patterns, natural_order, number_of

KNOWN = ["ckpt1", "ckpt2", "ckpt4", "ckpt10", "sweep-a", "sweep-b", "s01", "s02"]


@pytest.mark.parametrize("name", ["a", "7", "ckpt1", "A.b_c-d", "x" * 64])
def test_good_names_are_returned(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a..b", "-a", ".a", "a b", "a\n", "x" * 65, "é", "a\0", "~", "a\\b"]
)
def test_bad_names_are_the_users_mistake(name: str) -> None:
    with pytest.raises(UserError, match=r"^--name must be"):
        check_name(name)


@given(st.text(max_size=70))
def test_a_name_is_one_harmless_path_part(text: str) -> None:
    if is_name(text):
        assert "/" not in text
        assert text not in (".", "..")
        assert text.isascii()
        assert not text.startswith((".", "-"))


def test_natural_order_counts() -> None:
    assert natural_order(["ckpt10", "b", "ckpt2", "ckpt1", "a"]) == ["a", "b", "ckpt1", "ckpt2", "ckpt10"]


def test_only_plain_numbers_count_as_given() -> None:
    assert [number_of(name) for name in ("ckpt7", "ckpt07", "ckpt", "ckpt7a", "myckpt7")] == [7, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["ckpt2"], ["ckpt2"]),
        (["ckpt1..ckpt4"], ["ckpt1", "ckpt2", "ckpt4"]),
        (["ckpt10", "ckpt1..ckpt10"], ["ckpt10", "ckpt1", "ckpt2", "ckpt4"]),
        (["sweep-*"], ["sweep-a", "sweep-b"]),
        (["ckpt?", "ckpt1"], ["ckpt1", "ckpt2", "ckpt4"]),
        (["s01..s02"], ["s01", "s02"]),
        (["[s]*"], ["s01", "s02", "sweep-a", "sweep-b"]),
    ],
)
def test_patterns_stand_for_each_name_once_in_order(patterns: list[str], expected: list[str]) -> None:
    assert expand_patterns(patterns, KNOWN) == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("ckpt3", r'no checkpoint "ckpt3"; did you mean'),
        ("nothing-*", "no checkpoint matches"),
        ("ckpt1..ckpt3", r'no checkpoint "ckpt3"'),
        ("ckpt4..ckpt1", "ends before it starts"),
        ("ckpt1..sweep-a", "a range of checkpoints looks like"),
        ("ckpt1..", "a range of checkpoints looks like"),
        ("../x", "a range of checkpoints looks like"),
        ("a/b", "checkpoint name must be"),
    ],
)
def test_patterns_for_nothing_are_errors(pattern: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        expand_patterns([pattern], KNOWN)

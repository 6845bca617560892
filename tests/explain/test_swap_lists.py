"""Lists of terms: the file's two columns, what is wrong with a line by its number, and the lists that ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartcli.errors import UserError
from smartcli.explain.swap_lists import SHIPPED, read_swap_list
from smartcli.explain.swaps import Exchange


@pytest.mark.parametrize(
    "content",
    [
        b"he,she\nking,queen\n",
        b"\xef\xbb\xbfold,new\r\nhe,she\r\n\r\n# more\r\nking,queen",
        b"he\tshe\nking\tqueen\n",
        b'# a comment\n"he", "she"\n king , queen \n',
    ],
)
def test_two_columns_are_read_whatever_stands_around_them(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "terms"
    path.write_bytes(content)
    assert read_swap_list(str(path)).terms == {"he": "she", "she": "he", "king": "queen", "queen": "king"}


def test_a_quoted_term_may_hold_the_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "terms.csv"
    path.write_text('"Paris, France",Rome\n')
    assert read_swap_list(str(path)).terms["Rome"] == "Paris, France"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"he\n", "terms.csv:1: expected two terms with a comma or a tab between them, found 1 field"),
        (b"he,she\na,b,c\n", "terms.csv:2: expected two terms with a comma or a tab between them, found 3 fields"),
        (b"# x\n\nhe,\n", "terms.csv:3: a term is missing"),
        (b"he,He\n", 'terms.csv:1: "he" is its own partner'),
        (b"", "terms.csv: no pair of terms in it; expected a line a pair"),
        (b"# nothing\n\nold,new\n", "terms.csv: no pair of terms in it"),
        (b"he,she\ncaf\xe9,tea\n", "terms.csv:2: expected UTF-8"),
        (b'"he,she\n', "terms.csv:1: "),
        (b"he,s\0he\n", "terms.csv:1: found a NUL byte"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "terms.csv"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_swap_list(str(path))
    assert message in str(caught.value)


def test_a_list_that_is_not_there_is_named_with_the_near_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'no such file; expected gender or facts.*did you mean "gender"'):
        read_swap_list("gendr")
    with pytest.raises(UserError, match="a folder"):
        read_swap_list(str(tmp_path))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_list_pairs_every_term_with_another(name: str) -> None:
    terms = read_swap_list(name).terms
    assert terms
    assert all(old.casefold() != new.casefold() for old, new in terms.items())
    # What it puts in, it knows: a second exchange finds the terms of the first.
    assert {new.casefold() for new in terms.values()} <= {old.casefold() for old in terms}


def test_gender_terms_go_both_ways() -> None:
    exchange = Exchange(read_swap_list("gender").terms)
    assert exchange("The actor and his wife: a King's daughter.") == "The actress and her husband: a Queen's son."


def test_facts_exchange_with_their_partner_and_make_pairs_that_differ() -> None:
    listed = read_swap_list("facts")
    assert listed.facts is not None
    assert Exchange(listed.terms)("Madrid is the capital of Spain") == "Rome is the capital of Italy"
    assert listed.facts.paper == ("Paris is the capital of France", "Shanghai is the capital of China")
    assert len(set(listed.facts.planted)) == len(listed.facts.planted) >= 100
    assert all(one != other for one, other in listed.facts.planted)

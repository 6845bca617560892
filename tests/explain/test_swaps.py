"""Terms exchanged: whole words, both ways at once, in the case that the text has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcli.errors import UserError
from smartcli.explain.swaps import Exchange, both_ways, parse_swaps

GENDER = both_ways([("he", "she"), ("his", "her"), ("him", "her"), ("man", "woman")])


@pytest.mark.parametrize(
    ("terms", "text", "changed"),
    [
        (
            {"preference": "taste"},
            "A preference, my Preference; PREFERENCE preferences",
            "A taste, my Taste; TASTE preferences",
        ),
        (GENDER, "He saw her; she's his man", "She saw his; he's her woman"),
        (GENDER, "there sheets hearth", "there sheets hearth"),
        ({"new york": "Paris"}, "New  York, newyork", "Paris, newyork"),
        ({"$5": "€4", ":)": ":("}, "US$5 :)) $5x", "US€4 :() $5x"),
        ({"a": "b", "b": "a"}, "a b a", "b a b"),
        ({"New York": "Rome", "York": "Leeds"}, "New York and York", "Rome and Leeds"),
        ({"Paris": "Madrid"}, "Paris paris PARIS", "Madrid madrid MADRID"),
        ({"I": "we"}, "I am, i am", "we am, we am"),
        ({"a.b": "x"}, "a.b acb", "x acb"),
        ({"straße": "weg"}, "Die Straße", "Die Weg"),
        ({"cafe": "bar"}, "cafe cafe\u0301", "bar cafe\u0301"),
        ({}, "as it is", "as it is"),
    ],
)
def test_whole_words_are_replaced_in_the_case_of_the_text(terms: dict[str, str], text: str, changed: str) -> None:
    assert Exchange(terms)(text) == changed


def test_what_was_found_is_counted() -> None:
    assert Exchange({"a": "b", "c": "d"}).counted("a A, b") == ("b B, b", {"a": 2})


@given(st.text(alphabet="heisrmanwo .,'", max_size=30))
def test_an_exchange_without_ambiguous_terms_undoes_itself(text: str) -> None:
    exchange = Exchange(both_ways([("he", "she"), ("man", "woman")]))
    assert exchange(exchange(text)) == text


@given(st.text(max_size=40))
def test_terms_that_do_not_occur_change_nothing(text: str) -> None:
    assert Exchange({"zqx": "y"})(text) == text or "zqx" in text.lower()


def test_a_term_of_two_pairs_takes_the_partner_of_its_first() -> None:
    assert both_ways([("his", "her"), ("him", "her")]) == {"his": "her", "her": "his", "him": "her"}
    assert both_ways([("He", "she"), ("he", "it")]) == {"He": "she", "she": "He", "it": "he"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["taste"], 'found "taste" (no =)'),
        (["=taste"], "(nothing before the =)"),
        (["taste="], "(nothing after the =)"),
        (["taste = Taste"], "are the same term"),
        (["a=b", "A=c"], '"A" is replaced twice, by "b" and by "c"'),
        ([""], "(no =)"),
    ],
)
def test_a_wrong_swap_is_named(values: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_swaps(values)
    assert message in str(caught.value)


def test_several_swaps_are_read() -> None:
    assert parse_swaps(["preference=taste", " new york = Paris ", "x=y=z"]) == {
        "preference": "taste",
        "new york": "Paris",
        "x": "y=z",
    }

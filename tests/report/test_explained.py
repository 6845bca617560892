"""An explained error on the page: its pieces are the text again, colour never stands alone, nothing is markup."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcli.explain.words import words_of
from smartcli.report.explained import Explained, Near, Piece, pieces
from smartcli.report.html import render_page
from tests.report.test_html import NASTY, Tags, make_page


@given(st.text(max_size=60), st.text(max_size=20), st.integers(0, 5))
def test_the_pieces_are_the_texts_again(one: str, other: str, left_out: int) -> None:
    words = words_of((one, other))
    words = words[: max(0, len(words) - left_out)]
    found = pieces((one, other), words, [0.1] * len(words))
    assert tuple("".join(piece.text for piece in text) for text in found) == (one, other)


def test_words_that_matter_have_a_number_with_its_sign_and_a_look() -> None:
    (found,) = pieces(("a dull film !",), words_of(("a dull film !",)), [0.001, -0.4, 0.1, 0.3999])
    assert found == (
        Piece("a"),
        Piece(" "),
        Piece("dull", "-0.40", "against5"),
        Piece(" "),
        Piece("film", "+0.10", "for2"),
        Piece(" "),
        Piece("!", "+0.40", "for5"),
    )


@pytest.mark.parametrize("near", [True, False])
def test_the_page_shows_it_below_the_errors_and_as_text(near: bool) -> None:
    words = words_of((NASTY, "plain words"))
    rows = (Near(0.98765, NASTY, (NASTY, "plain"), NASTY, True),) if near else ()
    texts = pieces((NASTY, "plain words"), words, [0.2] * len(words))
    one = Explained("r1", NASTY, NASTY, NASTY, texts, rows, NASTY)
    page = make_page()
    (section,) = page.sections
    (errors,) = section.errors
    page = replace(page, sections=(replace(section, errors=(replace(errors, explained=(one,)),)),))
    shown = render_page(page)
    found = Tags(shown).found
    assert [tag for tag, _ in found].count("script") == 1
    assert [tag for tag, _ in found].count("img") == 1
    assert not any("style" in attributes or name.startswith("on") for _, attributes in found for name in attributes)
    assert "\x1b" not in shown
    assert shown.index("mood: worst errors") < shown.index("the worst 1 explained") < shown.index("Lineage")
    assert '<span class="word for5">words<small>+0.20</small></span>' in shown
    assert ("0.988 (same text)" in shown) == near
    css = shown.split("<style>")[1].split("</style>")[0]
    for look in set(re.findall(r'class="word (\w+)"', shown)):
        assert f".{look} " in css or f".{look}," in css

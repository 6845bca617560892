from __future__ import annotations

import pytest

from smartcli.counts import counted


@pytest.mark.parametrize(("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (2000, "2,000 rows")])
def test_a_noun_agrees_with_its_number(number: int, text: str) -> None:
    assert counted(number, "row") == text


def test_a_verb_agrees_too_where_both_forms_are_given() -> None:
    assert [counted(n, "row repeats", "rows repeat") for n in (1, 3)] == ["1 row repeats", "3 rows repeat"]

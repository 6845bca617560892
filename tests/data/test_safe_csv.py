from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcli.data.safe_csv import csv_text, guard

FORMULAS = ["=1+1", "+A1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =cmd|' /C calc'!A0", "＝1", "-"]


@pytest.mark.parametrize("cell", FORMULAS)
def test_formula_gets_a_quote_in_front(cell: str) -> None:
    assert guard(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["", "plain", "a=b", "'=1", "-0.5", "+3", "-1e-05", " -2", "- "[:0]])
def test_numbers_and_plain_text_stay(cell: str) -> None:
    assert guard(cell) == cell


def test_numbers_of_ours_are_never_guarded() -> None:
    assert csv_text([["=a", -0.25, None, -3]], safe=True) == "'=a,-0.25,,-3\n"


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@given(st.lists(st.lists(cells, min_size=2, max_size=4), min_size=1, max_size=4), st.sampled_from(",\t"))
def test_what_is_written_reads_back_and_safe_cells_start_no_formula(lines: list[list[str]], delimiter: str) -> None:
    def read(text: str) -> list[list[str]]:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))

    assert read(csv_text(lines, delimiter=delimiter)) == lines
    for line in read(csv_text(lines, delimiter=delimiter, safe=True)):
        assert not [cell for cell in line if cell.startswith(("=", "@"))]


def test_row_with_one_empty_cell_is_not_an_empty_line() -> None:
    assert list(csv.reader(io.StringIO(csv_text([["a"], [""]])))) == [["a"], [""]]

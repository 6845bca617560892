from __future__ import annotations

from smartcli.significance.rows_needed import rows_needed


def test_by_hand() -> None:
    # z(.975) + z(.8) = 1.95996 + .84162 = 2.80158; 1,000 rows give a standard error of .02; for a difference of .03 it
    # must be .03/2.80158 = .010708: (.02/.010708)^2 = 3.4884 times the rows
    assert rows_needed(0.03, 1000, 0.02**2, 0.0, 0.05) == 3500
    assert rows_needed(-0.03, 1000, 0.02**2, 0.0, 0.05) == 3500


def test_more_tests_take_more_rows() -> None:
    alone, one_of_four = (rows_needed(0.03, 1000, 0.02**2, 0.0, alpha) for alpha in (0.05, 0.0125))
    assert alone is not None
    assert one_of_four is not None
    assert one_of_four > alone


def test_no_rows_do_where_the_seeds_alone_hide_the_difference() -> None:
    assert rows_needed(0.01, 1000, 0.001**2, 0.02**2, 0.05) is None
    assert rows_needed(0.0, 1000, 0.01**2, 0.0, 0.05) is None

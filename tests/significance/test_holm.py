from __future__ import annotations

import pytest

from smartcli.significance.holm import holm


def test_by_hand() -> None:
    # sorted .01 .03 .04: times 3, 2, 1 gives .03 .06 .04, and none may fall: .03 .06 .06
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_no_p_is_above_one() -> None:
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def test_one_test_stays_as_it_is_and_none_is_none() -> None:
    assert holm([0.02]) == [0.02]
    assert holm([]) == []

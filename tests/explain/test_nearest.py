"""Near rows by cosine: planted copies come first, whatever their length, and the row itself does not count."""

from __future__ import annotations

import numpy as np
import pytest

from smartcli.explain import nearest as module
from smartcli.explain.nearest import cosines, nearest, unit


def test_planted_copies_are_nearest_whatever_their_length() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(500, 16)).astype(np.float32)
    query = draw.normal(size=16).astype(np.float32)
    rows[[42, 7, 300]] = [3 * query, query, 0.01 * query]
    found = cosines([unit(rows)], [unit(query)])
    np.testing.assert_allclose(found[[7, 42, 300]], 1, atol=1e-6)
    assert set(nearest(found, 3)) == {7, 42, 300}
    assert -1 <= found.min() <= found.max() <= 1


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = unit(np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32))
    whole = cosines([rows], [rows[3]])
    monkeypatch.setattr(module, "BLOCK", 7)
    np.testing.assert_allclose(cosines([rows], [rows[3]]), whole, atol=1e-6)


def test_several_models_count_alike_by_the_mean_of_their_cosines() -> None:
    one, other = unit(np.eye(3, dtype=np.float32)), unit(np.ones((3, 2), np.float32))
    np.testing.assert_allclose(cosines([one, other], [one[1], other[0]]), [0.5, 1.0, 0.5], atol=1e-6)


def test_equal_cosines_keep_row_order_and_a_row_is_left_out() -> None:
    found = np.array([0.5, 1.0, 0.5, 0.5])
    assert nearest(found, 3) == [1, 0, 2]
    assert nearest(found, 9, leave_out=1) == [0, 2, 3]
    assert nearest(found, 0) == []


def test_a_row_of_zeros_has_no_direction_and_is_no_error() -> None:
    assert cosines([unit(np.zeros((1, 2), np.float32))], [unit(np.ones(2, np.float32))]).tolist() == [0.0]

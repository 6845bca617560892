"""Lengths without laying equal the lengths of what is laid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcli.data.joining import input_lengths, sequences_of
from smartcli.data.ragged import Ragged
from smartcli.families.template import JoinTemplate

TEMPLATE = JoinTemplate((1,), (2, 2), (1,), (2, 3), (4,), (0, 0), (0, 0, 1))
LENGTHS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8)


@given(LENGTHS, st.integers(8, 40))
@pytest.mark.parametrize(("sides", "join"), [(1, True), (2, True), (2, False)])
def test_lengths_and_cuts_are_those_of_the_sequences(
    sides: int, join: bool, lengths: list[tuple[int, int]], longest: int
) -> None:
    parts = [Ragged.of([np.arange(row[side], dtype=np.int32) for row in lengths]) for side in range(sides)]
    rows = np.arange(len(lengths))
    laid = sequences_of(TEMPLATE, parts, rows, join=join, max_length=longest)
    counted, cut = input_lengths(TEMPLATE, parts, rows, join=join, max_length=longest)
    np.testing.assert_array_equal(counted, np.sum([part.lengths for part in laid], axis=0))
    assert cut == sum(part.truncated for part in laid)

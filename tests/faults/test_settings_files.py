"""Odd and damaged settings, tables and JSON files: each is taken whole or refused by name, soon, in little memory."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from tests.faults.settings_files import READERS, assert_taken_or_refused, files

# A parser at the end of its stack leaves none for the garbage collector's callbacks of the test tools.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

WHOLE = ("config", "tasks", "spec", "json", "settings", "predictions")


@pytest.mark.parametrize("name", sorted(READERS))
def test_the_file_that_is_damaged_is_a_good_one(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    taken = assert_taken_or_refused(tmp_path_factory.mktemp("good"), name, READERS[name][1])
    assert taken == (name in WHOLE)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(file=files)
def test_odd_files_are_taken_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, file: tuple[str, bytes]
) -> None:
    assert_taken_or_refused(tmp_path_factory.getbasetemp(), *file)


@pytest.mark.faults
@settings(max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(file=files)
def test_two_thousand_files_are_taken_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, file: tuple[str, bytes]
) -> None:
    assert_taken_or_refused(tmp_path_factory.getbasetemp(), *file)

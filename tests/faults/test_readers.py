"""10,000 odd and damaged files: each is read soundly, or refused by name, within two seconds and 500 MB."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.readers.any_file import assert_read_or_refused, files

pytestmark = pytest.mark.faults


@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(file=files, split=st.sampled_from(["train", "dev", "test"]))
def test_ten_thousand_files_are_read_soundly_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, file: tuple[str, bytes], split: str
) -> None:
    assert_read_or_refused(tmp_path_factory.getbasetemp(), *file, split)

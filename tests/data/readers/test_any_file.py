"""Whatever a file holds, it is read soundly or refused by name (10,000 cases: tests/faults/test_readers.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.readers.any_file import assert_read_or_refused, files


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(file=files, split=st.sampled_from(["train", "dev", "test"]))
def test_any_file_is_read_soundly_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, file: tuple[str, bytes], split: str
) -> None:
    assert_read_or_refused(tmp_path_factory.getbasetemp(), *file, split)


WIDE = ",".join(f"column{i}" for i in range(100_000)).encode()
DEEP = b'{"id": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"


@pytest.mark.parametrize(
    ("suffix", "content", "rows"),
    [
        (".csv", b"id,sentence,y\n1," + b"x" * (1 << 20) + b",1\n", 1),
        (".csv", b'id,sentence,y\n1,"' + b'""' * (1 << 20) + b'",1\n', 1),
        (".csv", b'id,sentence,y\n1,"' + b"x,1\n" * (1 << 20), None),
        (".csv", b"id,sentence,y\n1," + b'"' * 1_000_001 + b",1\n", None),
        (".csv", WIDE + b",id,sentence,y\n" + b"," * 100_000 + b"1,a,1\n", 1),
        (".csv", WIDE + b"\n", None),
        (".csv", b"," * 2_000_000, None),
        (".csv", b"id,sentence,y\n" + b"\n" * 1_000_000, 0),
        (".csv", b"\0" * 2_000_000, None),
        (".csv", b'"' + b"\n" * 1_000_000, None),
        (".jsonl", b'{"id": "1", "y": 1, "sentence": "' + b"x" * (1 << 20) + b'"}\n', 1),
        (".jsonl", DEEP, None),
        (".jsonl", b'{"id": ' + b"1" * 1_000_000 + b"}", None),
        (".jsonl", b"{" + b",".join(b'"k%d": 1' % i for i in range(100_000)) + b"}\n", None),
        (".parquet", b"PAR1" + b"\xff" * 1000 + b"\xff\xff\xff\x7fPAR1", None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_large_and_deep_files_cost_little(tmp_path: Path, suffix: str, content: bytes, rows: int | None) -> None:
    assert assert_read_or_refused(tmp_path, suffix, content, "train") == rows

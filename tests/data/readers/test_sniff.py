"""How an unknown file is to be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartcli.data.readers.lines import BLOCK
from smartcli.data.readers.sniff import sniff
from smartcli.errors import UserError


def rows(delimiter: str, text: str = "the gate, the wall") -> str:
    return "".join(delimiter.join((f'"{text} {i}"', "a" if i else "label")) + "\n" for i in range(9))


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_separator_is_found_and_only_an_unusual_one_is_to_be_declared(tmp_path: Path, delimiter: str) -> None:
    (tmp_path / "a.csv").write_text(rows(delimiter))
    found = sniff(tmp_path / "a.csv")
    assert found.separator == delimiter
    assert found.delimiter == (delimiter if delimiter in ";|" else None)


def test_a_file_of_one_column_has_no_separator(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("message\nthe gate is open\n")
    assert sniff(tmp_path / "a.csv").separator is None


@pytest.mark.parametrize(
    ("encoding", "text", "found", "plain"),
    [
        ("utf-8", "gate", None, True),
        ("utf-8", "Tür", None, False),
        ("utf-8-sig", "gate", None, False),
        ("cp1252", "Tür", "cp1252", False),
        ("utf-16", "Tür", "utf-16", False),
        ("utf-16-le", "Tür", "utf-16-le", False),
        ("latin-1", "T\x81r", "latin-1", False),
    ],
)
def test_the_encoding_is_found(tmp_path: Path, encoding: str, text: str, found: str | None, plain: bool) -> None:
    for name in ("a.csv", "a.jsonl"):
        (tmp_path / name).write_bytes(rows(",", text).encode(encoding))
        looked = sniff(tmp_path / name)
        assert (looked.encoding, looked.ascii) == (found, plain)


def test_a_letter_far_down_the_file_counts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(rows(",").encode() * (2 * BLOCK // 200) + "Tür,a\n".encode("cp1252"))
    assert (tmp_path / "a.csv").stat().st_size > BLOCK
    assert sniff(tmp_path / "a.csv").encoding == "cp1252"


def test_a_letter_that_blocks_cut_in_half_is_still_utf_8(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x" * (BLOCK - 1) + "ü".encode())
    assert sniff(tmp_path / "a.csv").encoding is None


@pytest.mark.parametrize(("name", "said"), [("a.doc", "unknown kind of file"), ("a.csv", "cannot be read")])
def test_what_is_no_table_is_refused_by_name(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(UserError, match=f"{name}: {said}"):
        sniff(tmp_path / name)

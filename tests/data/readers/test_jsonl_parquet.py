"""JSON lines and parquet: the same cells as a CSV file, or an error that names the row."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smartcli.data.readers import Problems, open_table
from smartcli.errors import UserError


def read(path: Path, needed: tuple[str, ...] = ("id", "text"), optional: tuple[str, ...] = ()) -> list:
    problems = Problems()
    with open_table(path, needed, optional, problems=problems) as table:
        rows = [(line, tuple(cells)) for line, cells in table.rows]
    problems.raise_if_any()
    return rows


def test_a_small_parquet_file_does_not_unfold_into_much_memory(tmp_path: Path) -> None:
    """A dictionary holds one long text, which every row names."""
    count, long = 300, "x" * (1 << 20)
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([long]))
    table = pa.table({"id": range(count), "text": texts})
    pq.write_table(table, tmp_path / "t.parquet", store_schema=False)
    before, seen, most = pa.total_allocated_bytes(), 0, 0
    with open_table(tmp_path / "t.parquet", ("id", "text"), problems=Problems()) as opened:
        for _ in opened.rows:
            seen += 1
            most = max(most, pa.total_allocated_bytes() - before)
    assert seen == count
    assert most < 128 << 20


def lines(folder: Path, *objects: object) -> Path:
    path = folder / "t.jsonl"
    content = b"".join((o if isinstance(o, bytes) else json.dumps(o).encode()) + b"\n" for o in objects)
    path.write_bytes(content)
    return path


def test_json_lines_keep_types_and_missing_keys_are_missing_cells(tmp_path: Path) -> None:
    path = lines(tmp_path, {"id": 1, "text": "a"}, {"text": None, "id": "x"}, {"id": True}, b"")
    assert read(path) == [(1, (1, "a")), (2, ("x", None)), (3, (True, None))]


@pytest.mark.parametrize(
    ("second", "says"),
    [
        (b"{", r"t\.jsonl:2: not a JSON object"),
        (b"[1]", r"t\.jsonl:2: not a JSON object: expected an object, found list"),
        (b'{"id": 1, "text": "a", "id": 2}', r"t\.jsonl:2: .*'id' stands twice"),
        (b'{"id": NaN, "text": "a"}', r"t\.jsonl:2: .*NaN is not a JSON number"),
        (b'{"id": 1, "text": ["a"]}', r"t\.jsonl:2: expected text or a number"),
        (b'{"id": 1, "text": "\\ud800"}', r"t\.jsonl:2: found a NUL or half a surrogate pair"),
        (b'{"id": 1, "text": "\\u0000"}', r"t\.jsonl:2: found a NUL"),
        (b'{"id": 1, "text": "\xe9"}', r"t\.jsonl:2: expected UTF-8"),
        (b"[" * 100_000, r"t\.jsonl:2: "),
        (b'{"id": ' + b"9" * 5000 + b"}", r"t\.jsonl:2: not a JSON object"),
        (b'\n{"id": 1, "text": "a"}', r"t\.jsonl:2: an empty line between rows"),
        (b'{"id": 1, "text": "a", "y": 2}', r't\.jsonl:2: "y" stands here but not in the first row'),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, second: bytes, says: str) -> None:
    path = lines(tmp_path, {"id": 0, "text": "z"}, second)
    with pytest.raises(UserError, match=says):
        read(path, optional=("y",))


def test_the_first_object_says_which_columns_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r't\.jsonl:1: missing column "text"; found \'id\''):
        read(lines(tmp_path, {"id": 1}, {"id": 2, "text": "a"}))
    with pytest.raises(UserError, match=r"t\.jsonl:1: the file is empty"):
        read(lines(tmp_path))


def test_parquet_is_read_across_row_groups_and_types(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    texts = pa.array(["a", None, "ü"] * 5000).dictionary_encode()
    table = pa.table({"text": texts, "y": pa.array([0, 1, None] * 5000, pa.int8()), "vector": [[1.0]] * 15000})
    pq.write_table(table, path, row_group_size=4000)
    rows = read(path, ("text", "y"))
    assert len(rows) == 15000
    assert rows[:3] == [(1, ("a", 0)), (2, (None, 1)), (3, ("ü", None))]
    assert rows[-1] == (15000, ("ü", None))


def test_a_parquet_file_that_cannot_be_right_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"text": [["a"]], "y": [1]}), path)
    with pytest.raises(UserError, match=r'column "text" holds list'):
        read(path, ("text", "y"))
    with pytest.raises(UserError, match='missing column "label"'):
        read(path, ("label",))
    whole = path.read_bytes()
    for broken in (b"", b"PAR1", whole[:-20], whole[:4] + bytes(len(whole) - 8) + whole[-4:]):
        path.write_bytes(broken)
        with pytest.raises(UserError, match=r"t\.parquet"):
            read(path, ("y",))


def test_text_in_a_parquet_file_must_be_text(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"text": ["a", "b\0c"]}), path)
    with pytest.raises(UserError, match=r"t\.parquet:2: found a NUL"):
        read(path, ("text",))
    raw = pa.array([b"ok", b"caf\xe9"], pa.binary())
    pq.write_table(pa.table({"text": pa.Array.from_buffers(pa.string(), 2, raw.buffers())}), path)
    with pytest.raises(UserError, match=r"t\.parquet:.*UTF-?8"):
        read(path, ("text",))

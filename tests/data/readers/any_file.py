"""Files as they come: a strategy of damaged and odd ones, and the one thing that every reader owes each of them."""

from __future__ import annotations

import io
import json
import resource
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from smartcli.data.accept import SplitReader, SplitSource
from smartcli.data.labels import LabelReader
from smartcli.data.readers import Problems
from smartcli.errors import UserError
from smartcli.tasks import parse_task

SECONDS, BYTES = 2.0, 500 << 20
TASK = parse_task(
    {"name": "t", "kind": "classification", "text": ["sentence"], "label": "y", "id": "id", "labels": ["0", "1", "2"]},
    "t",
)

ODD = [
    "", " ", "NA", "null", "nan", "None", "-1", "0", "1", "2", "5", "1.0", "1e999", "٣", "a", "b c", "🦁", "שלום עולם",
    "\u2028", "\x85", "\x0b\x0c", "\ufeff", "\u202e", "=1+1", "\x1b[31m", "[red]", "<script>", "x" * 300,
]  # fmt: skip
MARKS = [
    b'"',
    b'""',
    b",",
    b"\t",
    b"\n",
    b"\r\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xe9",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\\",
]
HEADERS = [
    "id,sentence,y", "\tid\tsentence\ty", ",0,0,id,sentence,y", "y,id,more,sentence", '"id","sentence","y"',
    "id,sentence", "id,sentence,y,y", "sentence", "", "id;sentence;y", "a,b,c,sentence,a,id,y",
]  # fmt: skip

cells = st.one_of(st.sampled_from(ODD), st.text(max_size=12), st.integers(-3, 9).map(str))


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


@st.composite
def delimited(draw: st.DrawFn) -> bytes:
    """CSV or TSV: a likely header, rows of odd cells, and here and there a stray byte."""
    header = draw(st.sampled_from(HEADERS))
    mark = "\t" if "\t" in header else ","
    end = draw(st.sampled_from(["\n", "\r\n"]))
    width = header.count(mark) + 1
    lines = [header]
    for _ in range(draw(st.integers(0, 5))):
        row = [draw(cells) for _ in range(max(0, width + draw(st.sampled_from([0, 0, 0, 0, 1, -1]))))]
        lines.append(mark.join(_quoted(cell) if draw(st.booleans()) else cell for cell in row))
    raw = end.join([*lines, ""]).encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        raw = b"\xef\xbb\xbf" + raw
    return _damaged(draw, raw)


@st.composite
def json_lines(draw: st.DrawFn) -> bytes:
    """JSON lines: objects with odd values, and here and there a stray byte."""
    value = st.one_of(cells, st.none(), st.booleans(), st.floats(), st.integers(), st.lists(st.integers(), max_size=2))
    lines = []
    for _ in range(draw(st.integers(0, 5))):
        keys = draw(st.lists(st.sampled_from(["id", "sentence", "y", "more"]), max_size=4))
        lines.append(json.dumps({key: draw(value) for key in [*keys, "id", "sentence", "y"]}))
    return _damaged(draw, "\n".join([*lines, ""]).encode())


@st.composite
def parquet(draw: st.DrawFn) -> bytes:
    """A parquet file of odd cells, cut short or with bytes changed."""
    rows = draw(st.lists(st.tuples(cells, st.sampled_from(["0", "1", "2", "3", None])), max_size=5))
    out = io.BytesIO()
    texts = [text.encode("utf-8", "replace").decode() for text, _ in rows]
    columns = {"id": list(range(len(rows))), "sentence": texts, "y": [label for _, label in rows]}
    pq.write_table(pa.table(columns), out)
    raw = bytearray(out.getvalue())
    for at in draw(st.lists(st.integers(0, len(raw) - 1), max_size=3)):
        raw[at] = draw(st.integers(0, 255))
    return bytes(raw[: draw(st.integers(0, len(raw)))] if draw(st.integers(0, 4)) == 0 else raw)


def _damaged(draw: st.DrawFn, raw: bytes) -> bytes:
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 4]))):
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.sampled_from(MARKS)) + raw[at + draw(st.integers(0, 2)) :]
    return raw


files = st.one_of(
    st.tuples(st.sampled_from([".csv", ".tsv"]), delimited()),
    st.tuples(st.just(".jsonl"), json_lines()),
    st.tuples(st.just(".parquet"), parquet()),
    st.tuples(st.sampled_from([".csv", ".jsonl", ".parquet"]), st.binary(max_size=60)),
)


def assert_read_or_refused(folder: Path, suffix: str, content: bytes, split: str) -> int | None:
    """Assert that the file gives sound rows, or messages that name it, soon and in little memory; return the rows."""
    path = folder / f"any{suffix}"
    path.write_bytes(content)
    started, most = time.process_time(), _peak()
    problems = Problems()
    reader = SplitReader(SplitSource(TASK, split, (path,), TASK.text, TASK.label, TASK.id), LabelReader(TASK), problems)
    rows = list(reader.rows())
    assert time.process_time() - started < SECONDS
    assert _peak() - most < BYTES
    for message in problems.messages:
        assert message.startswith(str(path)), message
        assert ":" in message[len(str(path)) :][:1], message
        assert len(message) < 1000, message
        assert not any(mark in message for mark in "\x1b\0\u202e"), message
    try:
        problems.raise_if_any()
    except UserError:
        return None
    ids = [row[0] for row in rows]
    assert len(set(ids)) == len(ids)
    for _, texts, label in rows:
        assert texts[0].strip()
        assert "\0" not in texts[0]
        texts[0].encode("utf-8")
        assert label in (0.0, 1.0, 2.0) or (label is None and split != "train")
    return len(rows)


def _peak() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

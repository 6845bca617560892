"""CSV and TSV: what is read as it stands, and what is refused, by file and line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcli.data.readers import Problems, open_table
from smartcli.errors import UserError


def read(path: Path, needed: tuple[str, ...] = ("id", "text"), **more: object) -> list[tuple[int, tuple[str, ...]]]:
    problems = Problems()
    with open_table(path, needed, problems=problems, **more) as table:  # type: ignore[arg-type]
        rows = [(line, tuple(cells)) for line, cells in table.rows]
    problems.raise_if_any()
    return rows  # type: ignore[return-value]


def wrote(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("id,text\n1,a\n2,b\n", [(2, ("1", "a")), (3, ("2", "b"))]),
        ("id,text\r\n1,a\r\n2,b", [(2, ("1", "a")), (3, ("2", "b"))]),
        ("\ufeffid,text\n1,a\n", [(2, ("1", "a"))]),
        ('\ufeff"id","text"\n1,a\n', [(2, ("1", "a"))]),
        ("text\tmore\tid\na,b\tx\t1\n", [(2, ("1", "a,b"))]),
        (",,0,0,id,text\n1,2,3,4,5,a\n", [(2, ("5", "a"))]),
        (
            "id,text\n1,NA\n2,null\n3,nan\n4,007\n",
            [(2, ("1", "NA")), (3, ("2", "null")), (4, ("3", "nan")), (5, ("4", "007"))],
        ),
        ('id,text\n1,"say ""hi"""\n', [(2, ("1", 'say "hi"'))]),
        ('id,text\n1,5" pipe\n', [(2, ("1", '5" pipe'))]),
        ('id,text\n1,"a\nb\r\nc"\n2,d\n', [(2, ("1", "a\nb\r\nc")), (5, ("2", "d"))]),
        ('"id\n",id,text\nx,1,a\n', [(3, ("1", "a"))]),
        ("id,text\n1,a\n\n\n", [(2, ("1", "a"))]),
        ("id,text\n1, 🦁 שלום \n", [(2, ("1", " 🦁 שלום "))]),
        ("id,text\n,\n", [(2, ("", ""))]),
        ("id,text\n", []),
    ],
)
def test_cells_are_text_exactly_as_they_stand(tmp_path: Path, content: str, rows: list) -> None:
    assert read(wrote(tmp_path, content)) == rows


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", r"t\.csv:1: the file is empty"),
        ("\ufeff", r"t\.csv:1: the file is empty"),
        ("\n1,a\n", r"t\.csv:1: an empty line; expected the header"),
        ("id,txt\n1,a\n", r't\.csv:1: missing column "text"; found \'id\', \'txt\'; did you mean "txt"'),
        ("id,\x1btext\n1,a\n", r't\.csv:1: missing column "text"; .*; did you mean "\\x1btext"'),
        ("id,text,text\n1,a,b\n", r"t\.csv:1: the column 'text' stands twice"),
        ("id,text,x,x\n1,a,b,c\n", r"t\.csv:1: the column 'x' stands twice"),
        ("id,text\n1,a\n2\n", r"t\.csv:3: expected 2 fields as in the header, found 1"),
        ("id,text\n1,a,b\n", r"t\.csv:2: expected 2 fields as in the header, found 3"),
        ('id,text\n1,"a\nb"\n2,a,b\n', r"t\.csv:4: expected 2 fields"),
        ("id,text\n1,a\n\n2,b\n", r"t\.csv:3: an empty line between rows"),
        ('id,text\n1,"a\n2,b\n3,c\n', r"t\.csv:2: a quoted field is not closed"),
        ('id,text\n1,a\n2,"b" c\n', r"t\.csv:3: text after a closing quote"),
        ("id,text\n1,a\rb\n", r"t\.csv:2: a carriage return outside quotes"),
        (b"id,text\n1,a\n2,caf\xe9\n", r"t\.csv:3: expected UTF-8 text, found byte 0xe9"),
        (b'id,text\n1,a\n2,"x\ny \xe9"\n', r"t\.csv:3: expected UTF-8 text, found byte 0xe9.*on line 4"),
        (b"id,text\n1,a\n2,b\0\n", r"t\.csv:3: found a NUL byte"),
        (b"\xff\xfei\0d\0,\0t\0", r"t\.csv:1: expected UTF-8 text, found UTF-16"),
        (b"id,caf\xe9\n1,a\n", r"t\.csv:1: expected UTF-8"),
    ],
)
def test_what_cannot_be_right_is_named_by_file_and_line(tmp_path: Path, content: str | bytes, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read(wrote(tmp_path, content))


def test_every_wrong_row_is_named_and_many_are_counted(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(wrote(tmp_path, "id,text\n1\n2,b\n3,c,d\n"))
    assert "2 problems" in str(caught.value)
    assert "t.csv:2: " in str(caught.value)
    assert "t.csv:4: " in str(caught.value)
    with pytest.raises(UserError, match="and 30 more"):
        read(wrote(tmp_path, "id,text\n" + "1\n" * 50))


def test_rows_swallowed_by_stray_quotes_are_noticed_in_a_tsv(tmp_path: Path) -> None:
    body = 'id\ttext\ty\n1\ta\t0\n2\t"b\t0\n3\tc\t0\n4\td"\t0\n5\te\t0\n'
    with pytest.raises(UserError, match=r"t\.tsv:3: a quoted field runs on to line 5 and holds whole rows"):
        read(wrote(tmp_path, body, "t.tsv"))


def test_a_missing_file_and_a_folder_in_its_place_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv: no such file"):
        read(tmp_path / "none.csv")
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(UserError, match=r"d\.csv: a folder; expected a file"):
        read(tmp_path / "d.csv")
    with pytest.raises(UserError, match=r"x\.docx: unknown kind of file"):
        read(wrote(tmp_path, "", "x.docx"))


def test_one_column_is_split_as_the_extension_says(tmp_path: Path) -> None:
    assert read(wrote(tmp_path, "text\na, b\n", "t.tsv"), ("text",)) == [(2, ("a, b",))]
    with pytest.raises(UserError, match="expected 1 field"):
        read(wrote(tmp_path, "text\na, b\n"), ("text",))


def test_large_cells_and_many_columns_are_read(tmp_path: Path) -> None:
    big = "x" * 3_000_000
    assert read(wrote(tmp_path, f'id,text\n1,"{big}"\n2,b\n')) == [(2, ("1", big)), (3, ("2", "b"))]
    header = ",".join(f"c{i}" for i in range(100_000))
    row = ",".join("v" for _ in range(100_000))
    assert read(wrote(tmp_path, f"{header},id,text\n{row},1,a\n")) == [(2, ("1", "a"))]


CELL = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\t"), max_size=8)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5), end=st.sampled_from(["\n", "\r\n"]), data=st.data()
)
def test_what_a_csv_writer_writes_comes_back_with_its_lines(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], end: str, data: st.DataObject
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL, delimiter=data.draw(st.sampled_from(",\t")))
    writer.writerow(["id", "text"])
    lines = []
    for row in rows:
        lines.append(text.getvalue().count("\n") + 1)
        writer.writerow(row)
    path = wrote(tmp_path_factory.mktemp("csv"), text.getvalue())
    assert read(path) == list(zip(lines, rows, strict=True))

"""Delimiters, encodings and sheets: what is declared is read, and what is not is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartcli.data.readers import Problems, open_table
from smartcli.data.readers.columns import PLAIN, Form
from smartcli.data.readers.lines import guess_encoding
from smartcli.data.readers.sheet import sheet_names
from smartcli.errors import UserError
from smartcli.tasks import parse_task

Rows = list[tuple[int, tuple[object, ...]]]
ROWS: Rows = [(2, ("der Müll ist weg", "Abfall")), (3, ('ein "Loch"; tief', "Straße"))]


def read(path: Path, form: Form = PLAIN) -> Rows:
    problems = Problems()
    with open_table(path, ("text", "label"), problems=problems, form=form) as table:
        rows = [(line, tuple(cells)) for line, cells in table.rows]
    problems.raise_if_any()
    return rows


def written(path: Path, delimiter: str, encoding: str, end: str = "\r\n") -> Path:
    cells = [["text", "label"], *([str(cell) for cell in row] for _, row in ROWS)]
    quoted = [['"' + cell.replace('"', '""') + '"' for cell in row] for row in cells]
    path.write_bytes("".join(delimiter.join(row) + end for row in quoted).encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_what_is_declared_is_read(tmp_path: Path, delimiter: str, encoding: str) -> None:
    path = written(tmp_path / "a.csv", delimiter, encoding)
    assert read(path, Form((delimiter,), encoding)) == ROWS


@pytest.mark.parametrize(("delimiter", "word"), [(";", "semicolons"), ("|", "vertical bars")])
def test_another_delimiter_is_recognised_and_said(tmp_path: Path, delimiter: str, word: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(delimiter.join(["id", "text", "label"]) + "\n")
    with pytest.raises(UserError) as caught:
        read(path)
    said = f'a.csv:1: this looks separated by {word}; write delimiter = "{delimiter}" in tasks.toml'
    assert str(caught.value).endswith(said)


def test_tabs_in_a_csv_file_need_no_word(tmp_path: Path) -> None:
    assert read(written(tmp_path / "a.csv", "\t", "utf-8")) == ROWS


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        (
            "cp1252",
            'a.csv:2: expected UTF-8 text, found byte 0xfc; it reads as Windows-1252: write encoding = "cp1252"',
        ),
        ("utf-16-le", 'a.csv:1: expected UTF-8 text, found what reads as UTF-16; write encoding = "utf-16-le"'),
        ("utf-16-be", 'a.csv:1: expected UTF-8 text, found what reads as UTF-16; write encoding = "utf-16-be"'),
        ("utf-16", 'a.csv:1: expected UTF-8 text, found UTF-16; write encoding = "utf-16" in tasks.toml'),
    ],
)
def test_another_encoding_is_recognised_and_said(tmp_path: Path, encoding: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        read(written(tmp_path / "a.csv", ",", encoding))
    assert said in str(caught.value)


def test_a_wrong_encoding_names_the_line_and_the_byte(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", ",", "cp1252")
    with pytest.raises(UserError, match=r'a\.csv:2: expected text in ascii, as "encoding" says, found byte 0xfc'):
        read(path, Form(None, "ascii"))


def test_json_lines_have_encodings_too(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"text": "Müll", "label": "Abfall"}\n'.encode("cp1252"))
    assert read(path, Form(None, "cp1252")) == [(1, ("Müll", "Abfall"))]


def test_encodings_are_guessed_from_bytes() -> None:
    assert guess_encoding("Müll".encode()) is None
    assert guess_encoding("Müll".encode("cp1252")) == "cp1252"
    assert guess_encoding(b"\x81\xfc") == "latin-1", "a byte that Windows-1252 lacks"
    assert guess_encoding("Müll".encode("utf-16")) == "utf-16"
    assert guess_encoding("Müll".encode("utf-16-be")) == "utf-16-be"
    assert guess_encoding(b"a,b\n\0,1\n") is None, "one NUL byte is damage, and no encoding"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("delimiter", ";;", '"delimiter" must be one character'),
        ("delimiter", '"', '"delimiter" must be one character'),
        ("encoding", "utf8000", '"encoding" must be the name of a text encoding'),
        ("encoding", "base64", '"encoding" must be the name of a text encoding'),
        ("sheet", 3, '"sheet" must be a non-empty string'),
    ],
)
def test_a_wrong_key_is_named(key: str, value: object, said: str) -> None:
    entry = {"name": "t", "kind": "binary", "text": "a", "label": "b", key: value}
    with pytest.raises(UserError, match=r"tasks\.toml") as caught:
        parse_task(entry, "tasks.toml")
    assert said in str(caught.value)


def workbook(path: Path, **sheets: list[list[object]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


TABLE: list[list[object]] = [["no", "text", "label"], [1, "a bin", "waste"], [2, "a tree", 3.0]]


def test_a_sheet_is_read_with_its_row_numbers_and_whole_numbers(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", Data=[*TABLE, [None], [3]], Notes=[])
    assert read(path) == [(2, ("a bin", "waste")), (3, ("a tree", 3)), (5, (None, None))]
    with path.open("rb") as stream:
        assert sheet_names(stream, "a.xlsx") == ("Data",), "an empty sheet is none"


@pytest.mark.parametrize(
    "above", [[["Tickets of March"]], [["Tickets of March", None, None], [None], ["by desk"]], [[None]]]
)
def test_a_title_above_the_header_is_passed_over(tmp_path: Path, above: list[list[object]]) -> None:
    path = workbook(tmp_path / "a.xlsx", Data=[*above, *TABLE])
    first = len(above) + 2
    assert read(path) == [(first, ("a bin", "waste")), (first + 1, ("a tree", 3))]


@pytest.mark.parametrize(
    "rows",
    [
        [["text"], ["a bin"], ["a tree"]],
        [["text", None], ["a bin", "waste"], ["a tree", "parks"]],
        [["text"], ["a bin", 3], ["a tree", 2]],
    ],
)
def test_a_narrow_first_row_that_is_no_title_stays_the_header(tmp_path: Path, rows: list[list[object]]) -> None:
    path = workbook(tmp_path / "a.xlsx", Data=rows)
    with open_table(path, ["text"], problems=Problems()) as table:
        assert [cells[0] for _, cells in table.rows] == ["a bin", "a tree"]


def test_of_two_sheets_one_must_be_named(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", Data=TABLE, More=TABLE[:2])
    with pytest.raises(UserError, match='found "Data", "More"; say which with sheet = "Data" for this task'):
        read(path)
    assert read(path, Form(sheet="More")) == [(2, ("a bin", "waste"))]
    with pytest.raises(UserError, match='there is no sheet "Mor"; found "Data", "More"; did you mean "More"'):
        read(path, Form(sheet="Mor"))


def test_a_damaged_and_an_empty_workbook_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UserError, match=r"a\.xlsx: not a readable xlsx file"):
        read(tmp_path / "a.xlsx")
    with pytest.raises(UserError, match=r"b\.xlsx: expected one sheet, found none"):
        read(workbook(tmp_path / "b.xlsx", Data=[]))
    with pytest.raises(UserError, match='missing column "label"; found'):
        read(workbook(tmp_path / "c.xlsx", Data=[["text"], ["x"]]))


def test_an_older_workbook_is_to_be_saved_anew(tmp_path: Path) -> None:
    (tmp_path / "a.xls").write_bytes(b"x")
    with pytest.raises(UserError, match=r"unknown kind of file.*; save it as \.xlsx or \.csv$"):
        read(tmp_path / "a.xls")


def test_a_column_that_pandas_names_is_to_be_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",text,label\n0,a bin,waste\n")
    with (
        pytest.raises(UserError, match=r"column 1 has no name in the file \(Unnamed: 0 is pandas' word for it\)"),
        open_table(path, ("text", "label", "Unnamed: 0"), problems=Problems()),
    ):
        pass
    path.write_text("Unnamed: 0,text,label\n0,a bin,waste\n")
    assert read(path) == [(2, ("a bin", "waste"))]

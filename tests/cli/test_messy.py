"""Messy folders, each a real kind of mess: from the files to predictions in at most four commands, and no editor."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from typer.testing import Result

from tests.tiny import make_tiny_encoder

Smart = Callable[..., Result]
Rows = list[list[object]]

PARTS = ("waste", "roads", "parks")
WORDS = {"waste": "the bin is full of rubbish", "roads": "a deep hole in the street", "parks": "the swings are broken"}


def rows_of(count: int = 30, names: Sequence[object] = PARTS) -> Rows:
    """A header and rows whose sentence says their label."""
    keys = list(WORDS)
    body: Rows = [[f"{WORDS[keys[i % len(names) % 3]]} at number {i}", names[i % len(names)]] for i in range(count)]
    return [["message", "topic"], *body]


def csv_of(rows: Rows, delimiter: str = ",") -> str:
    def cell(value: object) -> str:
        text = "" if value is None else str(value)
        return '"' + text.replace('"', '""') + '"' if any(c in text for c in f'{delimiter}"\n') else text

    return "".join(delimiter.join(map(cell, row)) + "\n" for row in rows)


def xlsx_of(path: Path, **sheets: Rows) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "desk").mkdir()
    return tmp_path / "desk"


def go(smart: Smart, *words: object) -> str:
    done = smart(*words)
    assert done.exit_code == 0, done.stderr
    return done.stderr


def from_folder_to_predictions(
    smart: Smart, folder: Path, encoder: Path, rows: str, *options: str, suffix: str = "csv"
) -> list[dict[str, str]]:
    """Run init, prepare, finetune and predict, and return the predicted rows."""
    go(smart, "init", folder, *options)
    go(smart, "prepare", folder, "--encoder", encoder, "--name", "desk")
    go(smart, "finetune", "--data", "desk", "--name", "m", "--epochs", 1, "--batch-size", 8, "--lambda", 0)
    source = folder / f"new.{suffix}"
    if rows:
        source.write_text(rows, encoding="utf-8")
    go(smart, "predict", "m", "--input", source, "--output", folder / "out.csv")
    return list(csv.DictReader((folder / "out.csv").open(encoding="utf-8", newline="")))


NEW = "message\nthe bin is full\na hole\n"


def assert_topics(found: list[dict[str, str]], names: Sequence[str] = PARTS) -> None:
    assert len(found) == 2
    assert {row["prediction"] for row in found} <= set(names)


def test_semicolons(smart: Smart, folder: Path, encoder: Path) -> None:
    (folder / "tickets.csv").write_text(csv_of(rows_of(), ";"))
    assert_topics(from_folder_to_predictions(smart, folder, encoder, NEW))
    assert 'delimiter = ";"' in (folder / "tasks.toml").read_text()


def test_a_byte_order_mark(smart: Smart, folder: Path, encoder: Path) -> None:
    (folder / "tickets.csv").write_text(csv_of(rows_of()), encoding="utf-8-sig")
    assert_topics(from_folder_to_predictions(smart, folder, encoder, "\ufeff" + NEW))


def test_windows_1252(smart: Smart, folder: Path, encoder: Path) -> None:
    rows = rows_of(names=("Müll", "Straßen", "Gärten"))
    (folder / "tickets.csv").write_text(csv_of(rows), encoding="cp1252")
    found = from_folder_to_predictions(smart, folder, encoder, NEW)
    assert_topics(found, ("Müll", "Straßen", "Gärten"))
    assert 'encoding = "cp1252"' in (folder / "tasks.toml").read_text(encoding="utf-8")


def test_tabs_in_a_csv_file(smart: Smart, folder: Path, encoder: Path) -> None:
    (folder / "tickets.csv").write_text(csv_of(rows_of(), "\t"))
    assert_topics(from_folder_to_predictions(smart, folder, encoder, NEW))


def test_quotes_newlines_and_emoji_in_cells(smart: Smart, folder: Path, encoder: Path) -> None:
    rows = [rows_of()[0], *([f'{text}, "really"\n🚮 {text}', label] for text, label in rows_of()[1:])]
    (folder / "tickets.csv").write_text(csv_of(rows), encoding="utf-8")
    assert_topics(from_folder_to_predictions(smart, folder, encoder, csv_of([["message"], ['a "bin"\n🚮'], ["hole"]])))


def test_a_header_with_spaces_and_capitals(smart: Smart, folder: Path, encoder: Path) -> None:
    rows = [["Ticket Text", "Main Topic"], *rows_of()[1:]]
    (folder / "All Tickets.csv").write_text(csv_of(rows))
    assert_topics(from_folder_to_predictions(smart, folder, encoder, NEW.replace("message", "Ticket Text")))


def test_numbers_as_label_names(smart: Smart, folder: Path, encoder: Path) -> None:
    (folder / "tickets.csv").write_text(csv_of(rows_of(names=(10, 20, 35))))
    assert_topics(from_folder_to_predictions(smart, folder, encoder, NEW), ("10", "20", "35"))


@pytest.mark.parametrize("names", [("yes", "no"), ("TRUE", "FALSE")])
def test_yes_and_no_true_and_false(smart: Smart, folder: Path, encoder: Path, names: tuple[str, str]) -> None:
    (folder / "tickets.csv").write_text(csv_of(rows_of(names=names)))
    assert_topics(from_folder_to_predictions(smart, folder, encoder, NEW), names)
    assert 'kind = "binary"' in (folder / "tasks.toml").read_text()


def test_scores_from_1_to_7_are_asked_for_by_an_option(smart: Smart, folder: Path, encoder: Path) -> None:
    (folder / "tickets.csv").write_text(csv_of([["message", "urgency"], *rows_of(names=(1, 2, 3, 5, 7))[1:]]))
    done = smart("init", folder)
    assert done.exit_code == 2
    assert 'are the numbers of "urgency" (1 to 7) classes or scores?' in done.stderr
    assert "--kind classification or --kind regression" in done.stderr
    assert not (folder / "tasks.toml").exists()
    found = from_folder_to_predictions(smart, folder, encoder, NEW, "--kind", "regression")
    assert all(isinstance(float(row["prediction"]), float) for row in found)
    assert "range = [1, 7]" in (folder / "tasks.toml").read_text()


def test_a_missing_cell(smart: Smart, folder: Path, encoder: Path) -> None:
    rows = [*rows_of(), ["", "waste"], ["no label here at all", ""]]
    (folder / "tickets.csv").write_text(csv_of(rows))
    assert_topics(from_folder_to_predictions(smart, folder, encoder, NEW))


def test_98_to_2(smart: Smart, folder: Path, encoder: Path) -> None:
    body = [[f"a plain message of number {i}", "spam" if i % 50 == 0 else "fine"] for i in range(200)]
    (folder / "tickets.csv").write_text(csv_of([["message", "label"], *body]))
    assert_topics(from_folder_to_predictions(smart, folder, encoder, NEW), ("fine", "spam"))
    said = smart("check", folder).stdout
    assert "98%" in said or "2%" in said or "of class" in said, said


def test_one_file_and_no_folder_at_all(smart: Smart, folder: Path, encoder: Path) -> None:
    (folder / "tickets.csv").write_text(csv_of(rows_of()))
    said = go(smart, "prepare", folder / "tickets.csv", "--encoder", encoder)
    assert 'label = "topic"' in said
    go(smart, "finetune", "--data", "tickets", "--name", "m", "--epochs", 1, "--batch-size", 8, "--lambda", 0)
    done = smart("predict", "m", "--input", "-", input=NEW)
    assert done.stdout.splitlines()[0] == "message,prediction,class,probability"


def test_train_and_dev_files_are_one_task(smart: Smart, folder: Path, encoder: Path) -> None:
    (folder / "topic-train.csv").write_text(csv_of(rows_of()))
    (folder / "topic-dev.jsonl").write_text(
        "".join(json.dumps(dict(zip(("message", "topic"), row, strict=True))) + "\n" for row in rows_of(9)[1:])
    )
    assert_topics(from_folder_to_predictions(smart, folder, encoder, NEW))
    text = (folder / "tasks.toml").read_text()
    assert 'train = "topic-train.csv"' in text
    assert 'dev = "topic-dev.jsonl"' in text
    assert "split" not in text.partition("[[task]]")[2]


def test_a_workbook_with_a_title_above_its_header(smart: Smart, folder: Path, encoder: Path) -> None:
    xlsx_of(folder / "tickets.xlsx", Data=[["Tickets of March"], [None], *rows_of()])
    assert_topics(from_folder_to_predictions(smart, folder, encoder, NEW))
    assert 'label = "topic"' in (folder / "tasks.toml").read_text()


def test_utf_16_that_does_not_say_so(smart: Smart, folder: Path, encoder: Path) -> None:
    (folder / "tickets.csv").write_bytes(csv_of(rows_of()).encode("utf-16-le"))
    assert_topics(from_folder_to_predictions(smart, folder, encoder, NEW))
    assert 'encoding = "utf-16-le"' in (folder / "tasks.toml").read_text()


def test_several_labels_in_a_cell(smart: Smart, folder: Path, encoder: Path) -> None:
    rows = rows_of()
    for at, row in enumerate(rows[1:]):
        row[1] = ("waste", "waste; roads", "roads", "parks; roads", "")[at % 5]
    (folder / "tickets.csv").write_text(csv_of(rows))
    found = from_folder_to_predictions(smart, folder, encoder, NEW)
    assert {name for row in found for name in row["prediction"].split(";")} <= {*PARTS, ""}
    assert 'labels_separator = ";"' in (folder / "tasks.toml").read_text()


def test_a_workbook_with_two_sheets(smart: Smart, folder: Path, encoder: Path) -> None:
    xlsx_of(folder / "tickets.xlsx", Notes=[["read me"], ["hello"]], Data=rows_of())
    done = smart("init", folder)
    assert done.exit_code == 2
    assert "which sheet of tickets.xlsx? Notes, Data → --sheet Notes or --sheet Data" in done.stderr
    xlsx_of(folder.parent / "new.xlsx", New=[["message"], ["the bin is full"], ["a hole"]])
    go(smart, "init", folder, "--sheet", "Data")
    go(smart, "prepare", folder, "--encoder", encoder, "--name", "desk")
    go(smart, "finetune", "--data", "desk", "--name", "m", "--epochs", 1, "--batch-size", 8, "--lambda", 0)
    done = smart("predict", "m", "--input", folder / "tickets.xlsx")
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.splitlines()) == 31
    assert len(smart("predict", "m", "--input", folder.parent / "new.xlsx").stdout.splitlines()) == 3


def test_an_index_that_pandas_wrote(smart: Smart, folder: Path, encoder: Path) -> None:
    rows = [["Unnamed: 0", *rows_of()[0]], *([i, *row] for i, row in enumerate(rows_of()[1:]))]
    (folder / "tickets.csv").write_text(csv_of(rows))
    assert_topics(from_folder_to_predictions(smart, folder, encoder, NEW))
    assert 'id = "Unnamed: 0"' in (folder / "tasks.toml").read_text()


def test_two_columns_of_sentences_may_be_a_pair(smart: Smart, folder: Path, encoder: Path) -> None:
    rows = [["subject", "body", "topic"], *([f"about {text}", text, label] for text, label in rows_of()[1:])]
    (folder / "tickets.csv").write_text(csv_of(rows))
    done = smart("init", folder)
    assert done.exit_code == 2
    assert "--text subject or --text body or --text subject,body" in done.stderr
    assert_topics(from_folder_to_predictions(smart, folder, encoder, NEW.replace("message", "body"), "--text", "body"))


def test_what_was_written_is_never_overwritten(smart: Smart, folder: Path) -> None:
    (folder / "tickets.csv").write_text(csv_of(rows_of()))
    go(smart, "init", folder)
    before = (folder / "tasks.toml").read_bytes()
    done = smart("init", folder)
    assert done.exit_code == 2
    assert "is there already and is never overwritten" in done.stderr
    assert (folder / "tasks.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("files", "options", "said"),
    [
        ({}, [], "no file to look at"),
        ({"a.csv": "x,y\n1,2\n3,4\n"}, [], "none of its columns holds sentences (x, y)"),
        (
            {"a.csv": csv_of(rows_of())},
            ["--label", "topik"],
            'has no column "topik"; found message, topic; did you mean',
        ),
        ({"a.csv": csv_of(rows_of())}, ["--kind", "regression"], "expected numbers"),
        ({"a.csv": csv_of(rows_of())}, ["--kind", "ranking"], '"kind" must be one of'),
        ({"a.csv": csv_of(rows_of()), "b.csv": csv_of(rows_of())}, ["--label", "topic"], "there are 2 tasks (a, b)"),
        ({"a.csv": csv_of(rows_of()), "a.jsonl": "{}"}, [], "both would be the train file of one task"),
        ({"a.csv": "message\nonly sentences stand in here\nand no label at all\n"}, [], "looks like a label"),
    ],
)
def test_what_cannot_be_guessed_is_said(
    smart: Smart, folder: Path, files: dict[str, str], options: list[str], said: str
) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)
    done = smart("init", folder, *options)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not (folder / "tasks.toml").exists()

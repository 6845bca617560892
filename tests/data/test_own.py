"""Own tasks: a tasks.toml and its files become a data set, or a message that names file and key."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smartcli.data.own import read_own, read_table
from smartcli.data.saving import RowSink
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.workflows.preparing.preparation import prepare

FOUR = """
[[task]]
name = "topic"
kind = "classification"
text = "line"
label = "topic"
labels = ["garden", "kitchen", "street"]
metric = "f1"
train = "topic.tsv"
dev = "topic.tsv"

[[task]]
name = "rude"
kind = "binary"
text = ["line"]
label = "rude"
labels = ["no", "yes"]
train = "rude.jsonl"
dev = "rude.jsonl"
test = "rude-test.jsonl"

[[task]]
name = "stars"
kind = "classification"
text = ["line"]
label = "stars"
train = "stars.csv"
dev = "stars.csv"

[[task]]
name = "close"
kind = "regression"
text = ["a", "b"]
label = "score"
id = "key"
range = [0, 5]
scale = 5
metric = "spearman"
weight = 0.5
train = "close.parquet"
dev = "close.parquet"
"""


def write_four(folder: Path, table: str = FOUR) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tasks.toml").write_text(table, encoding="utf-8")
    (folder / "topic.tsv").write_text("line\ttopic\nroses, red\tgarden\na pan\tkitchen\na lamp\tstreet\n")
    rude = [{"line": "thank you", "rude": "no"}, {"line": "go away", "rude": "yes"}]
    (folder / "rude.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rude))
    (folder / "rude-test.jsonl").write_text('{"line": "hm"}\n')
    (folder / "stars.csv").write_text('line,stars\n"so, so",1\nbad,0\ngood,2\n')
    pq.write_table(
        pa.table({"key": [7, 8], "a": ["x", "y"], "b": ["p", "q"], "score": [0.2, 1.0]}), folder / "close.parquet"
    )
    return folder


def read(folder: Path) -> RowSink:
    (folder / "out").mkdir()
    sink = RowSink(folder / "out")
    read_own(folder, sink)
    return sink


def test_four_tasks_in_four_formats_become_one_data_set(tmp_path: Path, home: Home) -> None:
    data = prepare(home, str(write_four(tmp_path / "shop")), encoder=None).data_set
    assert (data.name, data.source, data.tasks.names) == ("shop", "own", ("topic", "rude", "stars", "close"))
    labels = {task: data.rows(task, "train").labels.tolist() for task in data.tasks.names}  # type: ignore[union-attr]
    assert labels == {"topic": [0, 1, 2], "rude": [0, 1], "stars": [1, 0, 2], "close": [1, 5]}
    assert data.tasks.get("stars").labels == ("0", "1", "2")
    assert data.rows("close", "train").id_list() == ["7", "8"]
    assert data.rows("topic", "train").id_list() == ["1", "2", "3"]
    assert data.rows("topic", "train").text(0, 0) == "roses, red"
    assert not data.labelled("rude", "test")


def test_the_same_rows_in_another_format_or_place_have_the_same_fingerprint(tmp_path: Path, home: Home) -> None:
    first = prepare(home, str(write_four(tmp_path / "a"))).data_set
    other = write_four(tmp_path / "b", FOUR.replace("topic.tsv", "topic.csv").replace("stars.csv", "deep/stars.csv"))
    (other / "topic.tsv").unlink()
    (other / "topic.csv").write_bytes(
        b'\xef\xbb\xbfline,topic\r\n"roses, red",garden\r\na pan,kitchen\r\na lamp,street'
    )
    (other / "deep").mkdir()
    (other / "stars.csv").rename(other / "deep" / "stars.csv")
    assert prepare(home, str(other)).data_set.fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('text = "line"', 'txet = "line"', r'tasks\.toml: unknown key "txet".*did you mean "text"'),
        ('kind = "binary"', 'kind = "pair"', r'task "rude": "kind" must be one of'),
        ("range = [0, 5]", "", r'task "close": a regression task needs "range'),
        ('id = "key"', 'id = "a"', r'task "close": "text", "label" and "id" must name different columns'),
        ('name = "rude"', 'name = "topic"', r'task name "topic" stands twice'),
        ('[[task]]\nname = "topic"', "x = 1\n[[task]]\nname = 'topic'", r'tasks\.toml: unknown key "x"'),
        ("scale = 5", "scale = ", r"tasks\.toml:\d+: not valid TOML"),
        ("scale = 5", "scale = .5", r"not valid TOML: .*; a number starts with a digit: 0\.1, not \.1$"),
        ('name = "stars"', 'name = "stars"\nclass_weights = [1, 2, 1]', r'"class_weights" by number need "labels"'),
        ("scale = 5", "scale = 5.5", r"close\.parquet:2: wrong score: expected a number from 0 to 0\.909091"),
        ('dev = "topic.tsv"', 'dev = "none.tsv"', r"none\.tsv: no such file"),
        ('dev = "topic.tsv"', 'dev = "topic.xls"', r"topic\.xls: unknown kind of file"),
        ('["no", "yes"]', '["no", "ja"]', r"rude\.jsonl:2: wrong rude: expected one of no, ja, found 'yes'"),
        ('"garden", ', "", r"topic\.tsv:2: wrong topic: expected one of kitchen, street, found 'garden'"),
        ('train = "stars.csv"\n', "", r'task "stars": without a "train" file the class names are unknown'),
        ('train = "stars.csv"\ndev = "stars.csv"', "", r'task "stars": no files'),
        ('text = "line"\n', 'text = "lines"\n', r'topic\.tsv:1: missing column "lines".*did you mean "line"'),
    ],
)
def test_a_wrong_table_is_named_by_file_and_key(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in FOUR
    with pytest.raises(UserError, match=says):
        read(write_four(tmp_path, FOUR.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", r"expected at least one \[\[task\]\]"),
        (b"name = '\xe9'", r"tasks\.toml:1: expected UTF-8"),
        (b"x = " + b"[" * 5000, "not valid TOML"),
        (b"task = 3", r"expected at least one \[\[task\]\]"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, raw: bytes, says: str) -> None:
    (tmp_path / "tasks.toml").write_bytes(raw)
    with pytest.raises(UserError, match=says):
        read_table(tmp_path)


def test_a_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tasks\.toml: no such file"):
        read_table(tmp_path)


def test_classes_of_dev_must_stand_in_train(tmp_path: Path) -> None:
    folder = write_four(tmp_path, FOUR.replace('dev = "stars.csv"', 'dev = "more.csv"'))
    (folder / "more.csv").write_text("line,stars\nx,3\n")
    with pytest.raises(UserError, match=r"more\.csv:2: wrong stars: expected a whole number from 0 to 2, found '3'"):
        read(folder)


@pytest.mark.parametrize("raw", [b"line;stars\nx;1\n", "line,stars\nmüde,1\n".encode("cp1252"), b"line,stars\nx,1,2\n"])
def test_of_a_train_file_that_cannot_be_read_no_label_is_doubted(tmp_path: Path, raw: bytes) -> None:
    folder = write_four(tmp_path, FOUR.replace('train = "stars.csv"', 'train = "odd.csv"'))
    (folder / "odd.csv").write_bytes(raw)
    with pytest.raises(UserError, match=r"odd\.csv:\d") as caught:
        read(folder)
    assert "problems" not in str(caught.value), "one cause, one message"


def test_too_few_labels_in_train_are_told_once(tmp_path: Path) -> None:
    folder = write_four(tmp_path, FOUR.replace('train = "stars.csv"', 'train = "odd.csv"'))
    (folder / "odd.csv").write_text("line,stars\nx,1\n")
    with pytest.raises(
        UserError, match=r"^[^ ]*odd\.csv: task .stars., train split: expected at least two different labels"
    ):
        read(folder)


def test_labels_that_differ_in_case_alone_are_a_warning(tmp_path: Path, home: Home) -> None:
    folder = write_four(tmp_path / "d")
    (folder / "stars.csv").write_text("line,stars\na,Good\nb,good\nc,bad\n")
    warnings = prepare(home, str(folder)).data_set.info["warnings"]
    assert any('the labels "Good" and "good" differ in the case of letters alone' in line for line in warnings)


def test_a_number_in_a_text_column_of_excel_is_a_text(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    folder = write_four(tmp_path, FOUR.replace("stars.csv", "stars.xlsx"))
    book = openpyxl.Workbook()
    for row in (["line", "stars"], [112, 1], ["so, so", 2]):
        book.active.append(row)
    book.save(folder / "stars.xlsx")
    assert [texts for _, texts, _ in read(folder).open("stars", "train").all()] == [("112",), ("so, so",)]


def test_a_table_without_train_or_dev_files_is_kept_with_a_warning(tmp_path: Path, home: Home) -> None:
    folder = write_four(tmp_path / "d", FOUR.replace('train = "topic.tsv"\ndev = "topic.tsv"', 'test = "topic.tsv"'))
    data = prepare(home, str(folder)).data_set
    assert data.splits("topic") == ("test",)
    assert 'task "topic" has no train and no dev file, so it cannot be trained on' in data.info["warnings"]

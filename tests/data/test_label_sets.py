"""Rows with several labels: names in one cell or a column a class, read, stored, divided; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smartcli.data.inspection import balance, find_conflicts
from smartcli.data.own import read_own
from smartcli.data.own_split import assign, strata
from smartcli.data.reading import Reading
from smartcli.data.saving import RowSink
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.task_keys import Shares
from smartcli.tasks import Task, parse_task
from smartcli.workflows.preparing.init_table import Given, guess_table
from smartcli.workflows.preparing.preparation import prepare

NAMES = {"name": "topics", "kind": "multilabel", "text": "text", "label": "topics", "labels_separator": "|"}
COLUMNS = {"name": "topics", "kind": "multilabel", "text": "text", "label": ["roads", "waste"]}


def read(folder: Path, files: dict[str, str], entry: dict[str, object]) -> tuple[Reading, RowSink]:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    task = {**entry, **{Path(name).stem: name for name in files}}
    table = "".join(f"{key} = {json.dumps(value)}\n" for key, value in task.items())
    (folder / "tasks.toml").write_text(f"[[task]]\n{table}", encoding="utf-8")
    out = folder / "out"
    out.mkdir()
    sink = RowSink(out)
    return read_own(folder, sink), sink


def labels_of(sink: RowSink, split: str, classes: int) -> list[list[int]]:
    found = sink.open("topics", split, classes).labels
    assert found is not None
    return found.tolist()  # type: ignore[no-any-return]


def test_names_in_one_cell_are_learnt_in_order_and_an_empty_cell_means_none(tmp_path: Path) -> None:
    train = "text,topics\na,waste|roads\nb,roads\nc,\nd,parks | waste|waste\n"
    reading, sink = read(tmp_path, {"train.csv": train, "dev.csv": "text,topics\ne,parks\nf,\n"}, NAMES)
    assert reading.tasks.first.labels == ("parks", "roads", "waste")
    assert labels_of(sink, "train", 3) == [[0, 1, 1], [0, 1, 0], [0, 0, 0], [1, 0, 1]]
    assert labels_of(sink, "dev", 3) == [[1, 0, 0], [0, 0, 0]]
    assert not reading.skipped
    assert [row[2] for row in sink.open("topics", "train", 3).all()] == [(1, 2), (1,), (), (0, 2)]


def test_a_column_a_class_takes_what_programs_write_for_yes_and_no(tmp_path: Path) -> None:
    train = "text,roads,waste\na,1,0\nb,0,true\nc,No,1.0\nd,,1\n"
    reading, sink = read(tmp_path, {"train.csv": train, "dev.csv": "text,roads,waste\ne,0,0\n"}, COLUMNS)
    assert reading.tasks.first.labels == ("roads", "waste")
    assert labels_of(sink, "train", 2) == [[1, 0], [0, 1], [0, 1]]
    assert [str(row) for row in reading.skipped] == [f"{tmp_path / 'train.csv'}:5: no roads"]


@pytest.mark.parametrize("test", ["text\na\n", "text,roads,waste\na,-1,-1\n"])
def test_a_test_file_may_be_without_labels(tmp_path: Path, test: str) -> None:
    train = "text,roads,waste\na,1,0\nb,0,1\n"
    _, sink = read(tmp_path, {"train.csv": train, "dev.csv": train, "test.csv": test}, COLUMNS)
    assert sink.open("topics", "test", 2).labels is None


@pytest.mark.parametrize(
    ("entry", "rows", "said"),
    [
        (NAMES, "text,topics\ne,parks|roda\n", 'dev.csv:2: wrong topics: expected one of parks, roads (the labels of'),
        (COLUMNS, "text,roads,waste\ne,2,0\n", 'dev.csv:2: wrong roads, waste: expected 0 or 1 (or yes and no'),
        (COLUMNS, "text,roads\ne,1\n", 'dev.csv:1: missing column "waste"'),
    ],
)  # fmt: skip
def test_a_wrong_label_is_named_by_file_and_line(
    tmp_path: Path, entry: dict[str, object], rows: str, said: str
) -> None:
    train = "text,topics,roads,waste\na,parks|roads,1,0\nb,roads,0,1\n"
    with pytest.raises(UserError) as caught:
        read(tmp_path, {"train.csv": train, "dev.csv": rows}, entry)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels_separator": None}, 'labels_separator = "|" for names in one column'),
        ({"kind": "classification"}, "a classification row has one label; leave it out"),
        ({"label": ["a", "b"]}, '"label" lists a column a class; leave it out'),
        ({"label": ["a"], "labels_separator": None}, "at least two columns, one a class, found 1"),
        ({"label": ["a", "b"], "labels_separator": None, "labels": ["x"]}, "at least two"),
        ({"label": ["a", "b"], "labels_separator": None, "labels": list("xyz")}, "names the 2 columns of"),
        ({"kind": "binary", "label": ["a", "b"], "labels_separator": None}, 'are for kind = "multilabel"'),
        ({"metric": "accuracy"}, '"metric" of a multilabel task must be one of micro_f1, macro_f1'),
        ({"range": [0, 1]}, '"range" is for regression tasks only'),
    ],
)
def test_wrong_keys_are_named(change: dict[str, object], said: str) -> None:
    entry = {key: value for key, value in {**NAMES, **change}.items() if value is not None}
    with pytest.raises(UserError) as caught:
        parse_task(entry, "tasks.toml")
    assert said in str(caught.value)


@pytest.mark.parametrize("entry", [NAMES, COLUMNS, {**COLUMNS, "labels": ["Roads", "Waste"]}])
def test_a_task_comes_back_from_json(entry: dict[str, object]) -> None:
    task = parse_task(entry, "t")
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task


def test_json_of_other_kinds_is_as_before() -> None:
    plain = parse_task({"name": "a", "kind": "binary", "text": "t", "label": "l"}, "t").to_json()
    assert "labels_separator" not in plain
    assert "label_columns" not in plain
    assert plain["label"] == "l"


def test_rows_are_divided_by_the_rarest_label_that_they_have() -> None:
    draw = np.random.default_rng(0)
    labels = (draw.random((400, 3)) < [0.5, 0.3, 0.05]).astype(np.int8)
    stratum = strata(labels, False)  # type: ignore[arg-type]
    assert set(stratum[labels[:, 2] == 1]) == {2}
    assert set(stratum[~labels.any(axis=1)]) == {3}
    place = assign([f"row {i}" for i in range(400)], stratum, Shares(0.2, 0.2), "topics")
    rare = labels[:, 2] == 1
    for number in (1, 2):
        assert abs(int((rare & (place == number)).sum()) - 0.2 * rare.sum()) <= 1


def test_balance_and_conflicts_count_labels_and_whole_sets(tmp_path: Path) -> None:
    train = "text,topics\na,waste|roads\na,roads|waste\nb,roads\nb,waste\nc,\n"
    reading, sink = read(tmp_path, {"train.csv": train, "dev.csv": "text,topics\nd,roads\n"}, NAMES)
    rows = sink.open("topics", "train", 2)
    assert balance(reading.tasks.first, rows.labels) == {"roads": 3, "waste": 3}
    found = find_conflicts(reading.tasks.first, {"train": rows})
    assert (found.texts, found.rows) == (1, 2)
    assert found.examples == ("train 4 (labels waste) and train 3 (labels roads)",)


LISTS = [["waste", "roads"], ["roads"], [], None, ["parks"]]


def in_parquet(path: Path, labels: list[object]) -> None:
    texts = [f"text {i}" for i in range(len(labels))]
    pq.write_table(pa.table({"text": texts, "topics": labels}), path)


def in_jsonl(path: Path, labels: list[object]) -> None:
    lines = [json.dumps({"text": f"text {i}", "topics": own}) + "\n" for i, own in enumerate(labels)]
    path.write_text("".join(lines), encoding="utf-8")


@pytest.mark.parametrize(("suffix", "write"), [("jsonl", in_jsonl), ("parquet", in_parquet)])
@pytest.mark.parametrize("numbers", [False, True])
def test_a_cell_of_json_lines_or_parquet_may_be_a_list(tmp_path: Path, suffix: str, write: Any, numbers: bool) -> None:
    names = {"parks": 7, "roads": 12, "waste": 30}
    own = [[names[name] for name in cell] if cell and numbers else cell for cell in LISTS]
    write(tmp_path / f"train.{suffix}", own)
    write(tmp_path / f"dev.{suffix}", own[:1])
    reading, sink = read(tmp_path, {}, {**NAMES, "train": f"train.{suffix}", "dev": f"dev.{suffix}"})
    assert reading.tasks.first.labels == (("7", "12", "30") if numbers else ("parks", "roads", "waste"))
    assert labels_of(sink, "train", 3) == [[0, 1, 1], [0, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize(("suffix", "write"), [("jsonl", in_jsonl), ("parquet", in_parquet)])
def test_a_list_in_a_file_is_recognised_and_a_name_with_the_separator_refused(
    tmp_path: Path, suffix: str, write: Any
) -> None:
    path = tmp_path / f"notes.{suffix}"
    write(path, [["waste", "roads"], ["roads"], [], ["parks", "roads"], ["parks"]] * 6)
    guessed = guess_table([path], Given(), None).tasks[0].values
    assert (guessed["kind"], guessed["label"], guessed["labels_separator"]) == ("multilabel", "topics", "|")
    write(path, [["waste|bins"], ["roads"]])
    with pytest.raises(UserError) as caught:
        read(tmp_path, {}, {**NAMES, "train": path.name})
    assert "\"topics\" has the label 'waste|bins', which holds '|' itself; declare another" in str(caught.value)


def test_how_labels_are_joined_in_the_file_does_not_count_in_the_fingerprint(tmp_path: Path, home: Home) -> None:
    marks = []
    for separator in ("|", ";"):
        folder = tmp_path / f"by{len(marks)}"
        folder.mkdir()
        rows = f"text,topics\na,waste{separator}roads\nb,roads\n"
        entry = {**NAMES, "labels_separator": separator}
        read(folder, {"train.csv": rows, "dev.csv": rows}, entry)
        marks.append(prepare(home, str(folder), name=folder.name, encoder="minilm").data_set.fingerprint)
    assert marks[0] == marks[1]


def test_a_split_whose_label_cells_are_all_empty_is_unlabelled(tmp_path: Path) -> None:
    train = "text,topics\na,waste|roads\nb,roads\n"
    reading, sink = read(tmp_path, {"train.csv": train, "dev.csv": train, "test.csv": "text,topics\nc,\nd,\n"}, NAMES)
    assert sink.open("topics", "test", 2).labels is None
    assert not sink.splits["topics"]["test"].labelled
    assert reading.notes == ['task "topics": no row of the test split has a label, so it counts as unlabelled']

"""Which files are one task, and which split each is, by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartcli.data.guess_files import group_files, table_files, task_name
from smartcli.errors import UserError
from smartcli.tasks import TASK_NAME


def groups(*names: str, folder: str = "tickets") -> dict[str, dict[str, str]]:
    found = group_files([Path(folder) / name for name in names])
    return {group.name: {split: path.name for split, path in group.files.items()} for group in found}


@pytest.mark.parametrize(
    ("train", "dev", "test", "name"),
    [
        ("topic-train.csv", "topic-dev.csv", "topic-test.csv", "topic"),
        ("train_topic.tsv", "valid_topic.tsv", "test_topic.tsv", "topic"),
        ("topic.Training.jsonl", "topic.Validation.jsonl", "topic.Testing.jsonl", "topic"),
        ("topic train.csv", "topic val.xlsx", "topic test.parquet", "topic"),
        ("topic.csv", "topic-dev.csv", "topic-test.csv", "topic"),
        ("train.csv", "dev.csv", "test.csv", "tickets"),
    ],
)
def test_names_say_task_and_split(train: str, dev: str, test: str, name: str) -> None:
    assert groups(train, dev, test) == {name: {"train": train, "dev": dev, "test": test}}


@pytest.mark.parametrize(
    ("file", "name"), [("topic.csv", "topic"), ("topic-test.csv", "topic"), ("dev.csv", "tickets")]
)
def test_a_file_alone_is_all_its_rows_whatever_it_is_called(file: str, name: str) -> None:
    assert groups(file) == {name: {"train": file}}


def test_a_file_alone_keeps_what_it_is_called() -> None:
    found = group_files([Path("a") / name for name in ("topic-test.csv", "tone.csv", "mood-dev.csv", "mood-train.csv")])
    assert [(group.name, group.called) for group in found] == [("topic", "test"), ("tone", None), ("mood", None)]


def test_words_that_hold_a_split_word_are_no_split() -> None:
    assert groups("trainers.csv", "latest.csv", "device.csv").keys() == {"trainers", "latest", "device"}


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("All Tickets (2024)", "all-tickets-2024"),
        ("2024", "task-2024"),
        ("Müllabfuhr Straße", "mullabfuhr-strasse"),
        ("公園", "task"),
        ("seed", "seed-task"),
        ("x" * 40, "x" * 32),
    ],
)
def test_any_name_becomes_one_of_a_task(base: str, name: str) -> None:
    assert task_name(base) == name
    assert TASK_NAME.fullmatch(name)


def test_names_that_become_the_same_are_numbered() -> None:
    assert list(groups("Ticket list.csv", "ticket-list.csv")) == ["ticket-list", "ticket-list-2"]


def test_two_files_of_one_split_are_refused() -> None:
    with pytest.raises(UserError, match=r"topic\.tsv: stands beside topic\.csv, and both would be the train file"):
        groups("topic.csv", "topic.tsv")


def test_files_that_hold_no_rows_are_passed_over(tmp_path: Path) -> None:
    for name in ("b.csv", "A.JSONL", "notes.md", ".hidden.csv", "~$open.xlsx"):
        (tmp_path / name).write_text("x")
    (tmp_path / "folder.csv").mkdir()
    assert [path.name for path in table_files(tmp_path)] == ["A.JSONL", "b.csv"]


def test_a_folder_without_such_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file to look at"):
        table_files(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        table_files(tmp_path / "absent")

"""`smart check`: a folder is looked over, and nothing is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from smartcli.home import Home
from tests.data.files import QQP, SST, write_course
from tests.tiny import make_tiny_encoder

Smart = Callable[..., Result]

TABLE = """
[[task]]
name = "mood"
kind = "classification"
text = "line"
label = "mood"
labels = ["bad", "good"]
train = "train.csv"
dev = "dev.csv"
test = "test.csv"
"""


def write(folder: Path) -> Path:
    folder.mkdir()
    (folder / "tasks.toml").write_text(TABLE)
    (folder / "train.csv").write_text("line,mood\nfine day,good\nfine day,good\nrain again and again,bad\nno label,\n")
    (folder / "dev.csv").write_text("line,mood\nfine day,bad\nsun,good\n")
    (folder / "test.csv").write_text("line\nsun\nrain again and again\n")
    return folder


def test_every_kind_of_oddity_is_counted(smart: Smart, tmp_path: Path, home: Home) -> None:
    encoder = make_tiny_encoder(tmp_path / "tiny")
    result = smart("check", write(tmp_path / "own"), "--encoder", encoder, "--json", "--max-length", "8")
    assert result.exit_code == 0, result.stderr
    value = json.loads(result.stdout)
    splits = value["tasks"][0]["splits"]
    assert splits["train"]["balance"] == {"bad": 1, "good": 2}
    assert [splits[s]["rows"] for s in ("train", "dev", "test")] == [3, 2, 2]
    assert [splits[s]["duplicates"] for s in ("train", "dev", "test")] == [1, 0, 0]
    assert [splits[s]["also_in_train"] for s in ("train", "dev", "test")] == [0, 1, 1]
    assert splits["test"]["also_in_dev"] == 1
    assert value["tasks"][0]["conflicts"]["texts"] == 1
    assert value["lengths_in"] == f"tokens of {encoder}"
    assert [Path(skip).name for skip in value["skipped"]] == ["train.csv:5: no mood"]
    findings = "\n".join(value["findings"])
    conflict = "1 text stands with different labels (3 rows)"
    for words in (conflict, "1 row repeats", "1 row stands in train too", "1 row stands in dev too"):
        assert words in findings
    assert not home.root.exists()


def test_the_course_s_folder_is_known_without_a_table(smart: Smart, tmp_path: Path) -> None:
    result = smart("check", write_course(tmp_path / "course", quora_train=QQP + "2\tq9\tx\t\t\n"))
    assert result.exit_code == 0, result.stderr
    for words in ("sst (classification, accuracy)", "qqp (binary", "look at: ", "quora-train.csv:4: no sentence2"):
        assert words in result.stdout


def test_wrong_files_are_exit_2_by_file_and_line(smart: Smart, tmp_path: Path) -> None:
    result = smart("check", write_course(tmp_path / "course", ids_sst_dev=SST.replace("\t4", "\t9")))
    assert result.exit_code == 2
    assert "ids-sst-dev.csv:2: wrong sentiment" in result.stderr
    for folder in (tmp_path / "none", tmp_path):
        assert smart("check", folder).exit_code == 2


def test_a_file_alone_is_read_by_the_guess_of_prepare(smart: Smart, tmp_path: Path) -> None:
    rows = [f"bin number {i} is full,{('waste', 'roads')[i % 2]}" for i in range(60)]
    (tmp_path / "notes.csv").write_text("message,about\n" + "\n".join([*rows, rows[0]]) + "\n")
    (tmp_path / "other.csv").write_text("nothing of this\n")
    encoder = make_tiny_encoder(tmp_path / "tiny")
    ran = smart("check", tmp_path / "notes.csv", "--encoder", str(encoder), "--json")
    assert ran.exit_code == 0, ran.stderr
    (task,) = json.loads(ran.stdout)["tasks"]
    assert (task["name"], task["kind"]) == ("notes", "binary")
    assert sum(split["rows"] for split in task["splits"].values()) == 61
    assert 'text = "message"' in ran.stderr
    assert not (tmp_path / "tasks.toml").exists()
    open_choice = smart("check", tmp_path / "other.csv")
    assert open_choice.exit_code == 2

"""`smart prepare` and `smart data`: what is printed, stored, refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from smartcli.data.store import open_data
from smartcli.home import Home
from tests.data.files import QQP, SST, STS, write_course
from tests.tiny import make_tiny_encoder

Smart = Callable[..., Result]
BROKEN = QQP + "2\tq3\tonly one?\t\t\n"


def test_the_demo_is_prepared_without_files_or_network(smart: Smart, home: Home) -> None:
    result = smart("prepare", "demo")
    assert result.exit_code == 0, result.stderr
    assert "synthetic" in result.stdout
    assert "smart finetune" in result.stderr
    assert open_data(home).encoder == "minilm"
    again = smart("prepare", "--json")
    assert again.exit_code == 0
    value = json.loads(again.stdout)
    assert value["already"] is True
    assert value["tasks"]["sst"]["train"] >= 300


def test_course_files_give_table_1_with_skipped_rows_and_leaks(smart: Smart, tmp_path: Path, home: Home) -> None:
    folder = write_course(tmp_path / "course", quora_train=BROKEN)
    result = smart("prepare", "cs224n", "--path", folder)
    assert result.exit_code == 0, result.stderr
    assert f"  {folder / 'quora-train.csv'}:4: no sentence2 and no is_duplicate" in result.stdout
    assert "cs224n (SST, QQP, STS subset)" in result.stdout
    assert "without labels: sst test, qqp test, sts test" in result.stdout
    assert "the text of 3 dev rows stands in train too" in result.stderr
    value = json.loads(smart("prepare", "cs224n", "--path", folder, "--json").stdout)
    assert value["tasks"] == {
        "sst": {"train": 3, "dev": 3, "test": 2},
        "qqp": {"train": 2, "dev": 2, "test": 2},
        "sts": {"train": 2, "dev": 2, "test": 2},
    }
    assert value["leaks"]["qqp"] == {"dev": 2, "test": 0}
    assert [(skip["line"], skip["reason"]) for skip in value["skipped"]] == [(4, "no sentence2 and no is_duplicate")]
    assert value["data"] == {"name": "cs224n", "fingerprint": open_data(home, "cs224n").fingerprint}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"ids_sst_train": SST.replace("\t4\n", "\t5\n")}, "ids-sst-train.csv:2: wrong sentiment: expected"),
        ({"sts_dev": STS.replace("4.8", "nan")}, "sts-dev.csv:2: wrong similarity: expected"),
        ({"quora_dev": QQP.replace("is_duplicate", "dup")}, 'quora-dev.csv:1: missing column "is_duplicate"'),
        ({"ids_sst_dev": SST.replace("s3", "s1")}, "ids-sst-dev.csv:4: duplicate id"),
        ({"sts_train": STS.encode().replace(b"cat", b"c\xe4t")}, "sts-train.csv:3: expected UTF-8 text"),
        ({"sts_train": b""}, "sts-train.csv:1: the file is empty"),
    ],
)  # fmt: skip
def test_wrong_input_is_exit_2_by_file_and_line_and_leaves_nothing(
    smart: Smart, tmp_path: Path, home: Home, changed: dict[str, str | bytes], says: str
) -> None:
    folder = write_course(tmp_path / "course", **changed)
    result = smart("prepare", "cs224n", "--path", folder)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("error:") == 1
    assert not home.root.exists()


def test_strict_refuses_what_is_skipped_otherwise(smart: Smart, tmp_path: Path) -> None:
    folder = write_course(tmp_path / "course", quora_train=BROKEN)
    result = smart("prepare", "cs224n", "--path", folder, "--strict")
    assert result.exit_code == 2
    assert "quora-train.csv:4: no sentence2 and no is_duplicate" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["demmo"], 'did you mean "demo"'),
        (["cs224n"], "--path"),
        (["cs224n", "--path", "nowhere"], "--path nowhere: no such folder"),
        (["demo", "--path", "."], "--path is for"),
        (["demo", "--splits", "paper"], "--splits is for"),
        (["hub", "--splits", "papers"], 'did you mean "paper"'),
        (["demo", "--name", "../x"], "--name"),
        (["demo", "--encoder", "./nowhere"], "--encoder ./nowhere"),
    ],
)
def test_wrong_options_are_named(smart: Smart, home: Home, arguments: list[str], says: str) -> None:
    result = smart("prepare", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not home.root.exists()


def test_other_content_under_a_name_needs_force(smart: Smart, tmp_path: Path, home: Home) -> None:
    first = write_course(tmp_path / "one")
    other = write_course(tmp_path / "two", sts_dev=STS.replace("4.8", "4.7"))
    assert smart("prepare", "cs224n", "--path", first).exit_code == 0
    before = open_data(home).fingerprint
    refused = smart("prepare", "cs224n", "--path", other)
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert open_data(home).fingerprint == before
    assert smart("prepare", "cs224n", "--path", first).exit_code == 0
    assert smart("prepare", "cs224n", "--path", other, "--name", "other").exit_code == 0
    assert smart("prepare", "cs224n", "--path", other, "--force").exit_code == 0
    assert open_data(home, "cs224n").fingerprint != before


def test_tokens_are_stored_where_the_tokenizer_is_at_hand(smart: Smart, tmp_path: Path, home: Home) -> None:
    encoder = make_tiny_encoder(tmp_path / "tiny")
    folder = write_course(tmp_path / "course")
    plain = json.loads(smart("prepare", "cs224n", "--path", folder, "--json").stdout)
    assert plain["tokens"]["stored"] is False
    assert "first training" in plain["tokens"]["reason"]
    value = json.loads(smart("prepare", "cs224n", "--path", folder, "--encoder", encoder, "--json").stdout)
    assert value["tokens"] == {"encoder": str(encoder), "stored": True, "reason": "stored"}
    assert value["encoder"] == str(encoder)
    assert list((home.data / "cs224n" / "tokens").iterdir())
    # Prepared again without the option, the data set keeps its encoder.
    again = json.loads(smart("prepare", "cs224n", "--path", folder, "--json").stdout)
    assert again["encoder"] == str(encoder)


def test_data_list_show_and_rm(smart: Smart, tmp_path: Path, home: Home) -> None:
    assert "smart prepare demo" in smart("data", "list").stderr
    folder = write_course(tmp_path / "course", quora_train=BROKEN)
    smart("prepare", "cs224n", "--path", folder, "--name", "mine")
    listed = json.loads(smart("data", "list", "--json").stdout)
    assert [(row["name"], row["rows"], row["latest"]) for row in listed] == [("mine", 20, True)]
    assert "mine (latest)" in smart("data", "list").stdout
    shown = smart("data", "show", "mine")
    assert "quora-train.csv:4: no sentence2" in shown.stdout
    assert json.loads(smart("data", "show", "--json").stdout)["rows"]["sst"]["train"] == 3
    result = smart("data", "show", "other")
    assert (result.exit_code, result.stderr) == (2, 'error: NAME: there is no data set "other"; expected one of mine\n')
    assert smart("data", "rm", "mine", "--yes").exit_code == 0
    assert smart("data", "rm", "mine", "--yes").exit_code == 2
    assert not (home.data / "mine").exists()


@pytest.mark.real
def test_the_real_course_files_give_the_documented_counts(smart: Smart, real_data: Path) -> None:
    value = json.loads(smart("prepare", "cs224n", "--path", real_data / "cs224n", "--json").stdout)
    assert {task: list(own.values()) for task, own in value["tasks"].items()} == {
        "sst": [8544, 1101, 2210],
        "qqp": [16225, 1998, 1989],
        "sts": [6040, 863, 1725],
    }
    assert value["title"] == "cs224n (QQP subset)"
    files = [Path(skip["file"]).name for skip in value["skipped"]]
    assert files == ["quora-train.csv", "quora-dev.csv"]

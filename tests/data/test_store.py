"""Data sets on disk: whole, checked, listed, removed."""

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

import numpy as np
import pytest
from saved_rows import save_rows

from smartcli.data.store import LATEST, list_data, open_data, remove_data
from smartcli.errors import SmartCliError, UserError
from smartcli.home import Home
from smartcli.tasks import TaskTable, parse_task_table

ONE = {"name": "mood", "kind": "classification", "text": ["line"], "label": "mood", "labels": ["bad", "good"]}
TWO = {"name": "alike", "kind": "regression", "text": ["a", "b"], "label": "score", "range": [0, 5]}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def table() -> TaskTable:
    return parse_task_table({"task": [ONE, TWO]}, "table")


def rows(label: float = 1.0) -> dict:
    return {
        "mood": {
            "train": [("a", ("NA",), label), ("b", ("löwe 🦁\nzwei",), 0.0)],
            "dev": [("c", ("x",), 1.0)],
            "test": [("d", ("null",), None)],
        },
        "alike": {"train": [("1", ("p", "q"), 2.5)], "dev": [("2", ("r", "s"), 0.0)]},
    }


def test_what_was_saved_comes_back(home: Home) -> None:
    saved = save_rows(home, "first", table(), rows())
    data = open_data(home, "first")
    assert data.fingerprint == saved.fingerprint
    assert data.tasks == table()
    assert data.splits("mood") == ("train", "dev", "test")
    assert data.splits("alike") == ("train", "dev")
    assert [data.count("mood", s) for s in ("train", "dev", "test")] == [2, 1, 1]
    train = data.rows("mood", "train")
    assert (len(train), train.sides, train.id(1), train.text(0, 1)) == (2, 1, "b", "löwe 🦁\nzwei")
    assert train.labels is not None
    np.testing.assert_array_equal(train.labels, [1.0, 0.0])
    assert data.rows("mood", "test").labels is None
    assert not data.labelled("mood", "test")
    assert list(data.rows("alike", "train").batches(1, 10)) == [["q"]]
    with pytest.raises(UserError, match='task "alike" has no test split'):
        data.rows("alike", "test")


def test_the_fingerprint_counts_rows_and_table_but_neither_name_encoder_nor_files(home: Home) -> None:
    first = save_rows(home, "a", table(), rows(), encoder="x").fingerprint
    assert save_rows(home, "b", table(), rows(), encoder="y").fingerprint == first
    named = parse_task_table({"task": [{**ONE, "train": "t.csv"}, TWO]}, "table")
    assert save_rows(home, "c", named, rows()).fingerprint == first
    assert save_rows(home, "d", table(), rows(label=0.0)).fingerprint != first
    scored = parse_task_table({"task": [{**ONE, "metric": "f1"}, TWO]}, "table")
    assert save_rows(home, "e", scored, rows()).fingerprint != first


def test_other_content_under_a_name_needs_force_and_the_same_does_not(home: Home) -> None:
    first = save_rows(home, "a", table(), rows())
    assert save_rows(home, "a", table(), rows()).fingerprint == first.fingerprint
    with pytest.raises(UserError, match="--force"):
        save_rows(home, "a", table(), rows(label=0.0))
    assert open_data(home, "a").fingerprint == first.fingerprint
    assert save_rows(home, "a", table(), rows(label=0.0), force=True).fingerprint != first.fingerprint
    assert sorted(p.name for p in home.data.iterdir()) == [LATEST, "a"]


def test_a_data_set_prepared_again_takes_the_new_encoder(home: Home) -> None:
    save_rows(home, "a", table(), rows(), encoder="x")
    assert save_rows(home, "a", table(), rows(), encoder="y").encoder == "y"


def test_a_failure_while_writing_leaves_nothing(home: Home) -> None:
    def broken():
        yield ("a", ("x",), 1.0)
        raise UserError("row 2 is wrong")

    with pytest.raises(UserError, match="row 2"):
        save_rows(home, "a", table(), {"mood": {"train": broken()}, "alike": {}})
    assert not home.root.exists()


def test_no_name_means_the_one_prepared_last(home: Home) -> None:
    with pytest.raises(UserError, match="smart prepare demo"):
        open_data(home)
    save_rows(home, "z", table(), rows())
    save_rows(home, "a", table(), rows())
    assert open_data(home).name == "a"
    save_rows(home, "z", table(), rows())
    assert open_data(home).name == "z"
    remove_data(home, "z")
    assert open_data(home).name == "a"
    assert [data.name for data in list_data(home)] == ["a"]


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a..b", ".hidden", "x" * 65, "a b"])
def test_a_name_that_is_no_name_is_refused(home: Home, name: str) -> None:
    for act in (lambda: open_data(home, name), lambda: save_rows(home, name, table(), rows())):
        with pytest.raises(UserError, match="is not a name"):
            act()


def test_an_unknown_name_gets_the_near_one(home: Home) -> None:
    save_rows(home, "reviews", table(), rows())
    with pytest.raises(UserError, match='did you mean "reviews"'):
        open_data(home, "revews")


@pytest.mark.parametrize("file", ["mood-train.arrow", "data.json"])
def test_every_flipped_byte_is_noticed(home: Home, file: str) -> None:
    save_rows(home, "a", table(), rows())
    path = home.data / "a" / file
    whole = path.read_bytes()
    for at in range(0, len(whole), 23):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(SmartCliError, match="altered"):
            open_data(home, "a").rows("mood", "train")
    path.write_bytes(whole[:-1])
    with pytest.raises(SmartCliError, match="altered"):
        open_data(home, "a").rows("mood", "train")


def test_a_stranger_or_a_link_in_the_folder_is_refused(home: Home) -> None:
    save_rows(home, "a", table(), rows())
    stranger = home.data / "a" / "notes.txt"
    stranger.write_text("hello")
    with pytest.raises(SmartCliError, match=r"notes\.txt"):
        open_data(home, "a")
    stranger.unlink()
    stranger.symlink_to("/etc/hostname")
    with pytest.raises(SmartCliError, match="symbolic link"):
        open_data(home, "a")


def test_files_are_private_whatever_the_umask(home: Home) -> None:
    old = os.umask(0)
    try:
        save_rows(home, "a", table(), rows())
    finally:
        os.umask(old)
    for path in home.data.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_full_disk_is_named_with_the_bytes_needed_and_leaves_what_was_there(home: Home) -> None:
    kept = save_rows(home, "a", table(), rows())
    many = [(str(i), ("a long line " * 20,), 1.0) for i in range(400)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(SmartCliError, match=r"could not write .*mood-train\.arrow.* bytes needed") as caught:
            save_rows(home, "a", table(), {**rows(), "mood": {"train": many}}, force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.exit_code == 1
    assert open_data(home, "a").fingerprint == kept.fingerprint
    assert sorted(path.name for path in home.data.iterdir()) == [LATEST, "a"]

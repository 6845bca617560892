"""A disk that fills up at any write: exit 1, path and bytes in the message, nothing half-written."""

from __future__ import annotations

import errno
import os
import re
import resource
from pathlib import Path

import pytest
from forked import Ended, in_child
from registry_fixtures import make_fill
from training import Shop

from smartcli.atomic import DISK, write_file
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import RunHeader, Runs
from smartcli.workflows.scoring.ensembling import ensemble


def train(home: Home, name: str) -> None:
    with Registry(home).claim(name):
        run = Runs(home).create(name, RunHeader(settings={}))
        for step in (1, 2):
            run.save(lambda folder: DISK.write(folder / "weights", b"w" * 5000), {"step": step})
        Registry(home).commit(name, make_fill(name))
        Runs(home).remove(name)


def visible(home: Home) -> list[str]:
    return [path.name for path in home.checkpoints.iterdir() if path.name != ".numbers"]


def check_clean_failure(home: Home, ended: Ended) -> None:
    assert ended.crash is None, ended
    assert ended.exit_code == 1, ended
    assert ended.error is not None
    assert str(home.root) in ended.error
    assert "File too large" in ended.error or "No space left" in ended.error
    assert ".tmp-" not in ended.error
    assert visible(home) == ["earlier"]
    assert Registry(home).verify() == []
    for run in Runs(home).list():
        run.load()
        assert not list(run.folder.glob(".tmp-*"))


def test_a_file_size_limit_at_each_size_leaves_earlier_checkpoints_intact(home: Home) -> None:
    train(home, "earlier")
    for number, limit in enumerate((0, 20, 60, 200, 500, 1000, 4999)):

        def work(number: int = number, limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            train(home, f"x{number}")

        ended = in_child(work)
        check_clean_failure(home, ended)
        assert ended.error is not None
        assert "bytes needed" in ended.error
        for run in Runs(home).list():
            Runs(home).remove(run.name)
    assert in_child(lambda: train(home, "x")).error is None


def fill_at_calls(home: Home, stride: int) -> None:
    train(home, "earlier")
    call = 0
    while True:
        name = f"x{call}"

        def work(name: str = name, call: int = call) -> None:
            seen = 0

            def observe(kind: str, path: Path) -> None:
                nonlocal seen
                seen += 1
                if seen == call + 1 and kind in ("mkdir", "write", "fsync", "fsync-dir", "rename"):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

            DISK.observer = observe
            train(home, name)

        ended = in_child(work)
        if ended.error is None:
            assert ended.crash is None
            if name in Registry(home).names():
                Registry(home).remove(name)
            if call > 60:
                break
        else:
            assert "No space left" in ended.error
            assert ended.exit_code == 1
            # The rename of a commit had happened when the parent folder could not be synced.
            if name in Registry(home).names():
                Registry(home).remove(name)
            check_clean_failure(home, ended)
            for run in Runs(home).list():
                Runs(home).remove(run.name)
        call += stride


def test_no_space_at_some_calls_leaves_earlier_checkpoints_intact(home: Home) -> None:
    fill_at_calls(home, 17)


@pytest.mark.faults
def test_no_space_at_any_call_leaves_earlier_checkpoints_intact(home: Home) -> None:
    fill_at_calls(home, 1)


def test_a_home_that_is_a_file_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    ended = in_child(lambda: train(Home(tmp_path / "file"), "x"))
    assert ended.exit_code == 2
    assert str(tmp_path / "file") in (ended.error or "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_home_can_be_read_and_says_so_when_written(home: Home) -> None:
    train(home, "earlier")
    paths = [home.root, home.checkpoints, home.runs, home.locks]
    for path in paths:
        path.chmod(0o500)
    try:
        ended = in_child(lambda: train(home, "x"))
        assert ended.exit_code == 1
        assert "--home" in (ended.error or "")
        assert Registry(home).names() == ["earlier"]
        assert Registry(home).verify() == []
    finally:
        for path in paths:
            path.chmod(0o700)


def test_a_home_below_missing_folders_is_made(tmp_path: Path) -> None:
    write_file(tmp_path / "a" / "b" / "c", "x")
    train(Home(tmp_path / "d" / "e"), "x")
    assert Registry(Home(tmp_path / "d" / "e")).names() == ["x"]


def test_a_full_disk_under_an_ensemble_names_the_file_and_the_bytes(home: Home, tmp_path: Path) -> None:
    shop = Shop.open(home, tmp_path)
    for name in ("one", "two"):
        shop.train(name, max_steps="1")

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        ensemble(home, ["one", "two"], name="both")

    ended = in_child(work)
    assert ended.exit_code == 1, ended
    assert re.search(r"checkpoints/both/\S+: File too large; [\d,]+ bytes needed", ended.error or ""), ended
    assert Registry(home).names() == ["one", "two"]

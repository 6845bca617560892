"""Files and folders appear whole or not at all, with the right modes, and errors say what to do."""

from __future__ import annotations

import errno
import os
import resource
import threading
import time
from pathlib import Path

import pytest
from forked import Child, calls_of, in_child, kill_at

from smartcli.atomic import (
    DISK,
    FOREIGN_AGE,
    TEMP_PREFIX,
    clean_stale,
    explain_os_errors,
    new_folder,
    refuse_symlinks,
    write_file,
    write_output,
)
from smartcli.errors import SmartCliError, UserError


def make(target: Path, text: str, *, replace: bool = False) -> None:
    with new_folder(target, replace=replace) as temp:
        (temp / "inner").mkdir()
        (temp / "inner" / "file").write_text(text)


def read(target: Path) -> str:
    return (target / "inner" / "file").read_text()


def test_file_and_folder_modes_ignore_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        write_file(tmp_path / "new" / "deep" / "file", "x")
        make(tmp_path / "folder", "x")
    finally:
        os.umask(before)
    found = {path.relative_to(tmp_path).as_posix(): oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("*")}
    assert found == {
        "new": "0o700",
        "new/deep": "0o700",
        "new/deep/file": "0o600",
        "folder": "0o700",
        "folder/inner": "0o700",
        "folder/inner/file": "0o600",
    }


def test_file_is_synced_before_its_rename_and_the_folder_after(tmp_path: Path) -> None:
    calls = [call for call, _ in calls_of(lambda: write_file(tmp_path / "file", "x"))]
    assert calls == ["write", "fsync", "rename", "fsync-dir"]


def test_folder_contents_are_synced_before_its_rename(tmp_path: Path) -> None:
    calls = [call for call, _ in calls_of(lambda: make(tmp_path / "folder", "x"))]
    assert calls == ["mkdir", "fsync", "fsync-dir", "fsync-dir", "rename", "fsync-dir"]


def test_an_error_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with new_folder(tmp_path / "folder") as temp:
            (temp / "file").write_text("x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_existing_folder_is_kept_unless_replaced(tmp_path: Path) -> None:
    make(tmp_path / "folder", "old")
    with pytest.raises(SmartCliError, match="exists already"):
        make(tmp_path / "folder", "new")
    assert read(tmp_path / "folder") == "old"
    make(tmp_path / "folder", "new", replace=True)
    assert read(tmp_path / "folder") == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_replacing_survives_a_kill_before_every_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(type(DISK), "exchange", lambda *_: False)
    count = 0
    while True:
        place = tmp_path / str(count)
        make(place / "data", "old")

        def work(place: Path = place, count: int = count) -> None:
            kill_at(count)
            make(place / "data", "new", replace=True)

        ended = in_child(work)
        clean_stale(place)
        assert [path.name for path in place.iterdir()] == ["data"]
        assert read(place / "data") in ("old", "new")
        if not ended.killed:
            break
        count += 1
    assert read(place / "data") == "new"
    assert count >= 7


def test_only_what_dead_processes_left_is_cleaned(tmp_path: Path) -> None:
    def leave() -> None:
        kill_at(1)
        make(tmp_path / "folder", "x")

    assert in_child(leave).killed
    old, fresh = tmp_path / f"{TEMP_PREFIX}1.2.0123abcd-old", tmp_path / f"{TEMP_PREFIX}1.2.0123abcd-fresh"
    for path in (old, fresh):
        path.mkdir()
    os.utime(old, (0, time.time() - FOREIGN_AGE - 10))
    assert len(list(tmp_path.iterdir())) == 3
    with new_folder(tmp_path / "mine"):
        assert len(list(tmp_path.iterdir())) == 2
        assert clean_stale(tmp_path) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [fresh.name, "mine"]


def test_temporary_folder_of_a_live_process_is_left_alone(tmp_path: Path) -> None:
    def linger() -> None:
        with new_folder(tmp_path / "theirs"):
            time.sleep(60)

    child = Child(linger)
    while not list(tmp_path.iterdir()):
        time.sleep(0.005)
    assert clean_stale(tmp_path) == []
    child.kill()
    assert child.wait().killed
    assert len(clean_stale(tmp_path)) == 1


def test_file_size_limit_names_path_and_bytes(tmp_path: Path) -> None:
    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        write_file(tmp_path / "file", b"x" * 5000)

    ended = in_child(work)
    assert ended.exit_code == 1
    assert ended.error is not None
    assert f"could not write {tmp_path / 'file'}: File too large; 5,000 bytes needed" in ended.error
    assert list(tmp_path.iterdir()) == []


def test_full_disk_of_a_library_is_told_by_the_final_path(tmp_path: Path) -> None:
    with pytest.raises(SmartCliError, match="free some space") as raised, new_folder(tmp_path / "folder"):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    assert str(tmp_path / "folder") in str(raised.value)
    assert "free" in str(raised.value)


def test_error_about_another_file_passes_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"), new_folder(tmp_path / "folder"):
        (tmp_path / "absent").read_bytes()


def test_a_file_in_the_way_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="expected a folder"):
        write_file(tmp_path / "file" / "home" / "x", "x")


def test_read_only_errors_name_the_home_option(tmp_path: Path) -> None:
    with pytest.raises(SmartCliError, match="--home"), explain_os_errors(tmp_path, "write"):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))


def test_links_and_special_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(SmartCliError, match="link is a symbolic link"):
        refuse_symlinks(tmp_path)
    (tmp_path / "link").unlink()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SmartCliError, match="pipe is a special file"):
        refuse_symlinks(tmp_path)


def test_an_output_that_is_a_link_stays_one_and_a_pipe_is_written_into(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_output(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_output(tmp_path / "pipe", "through")
    reader.join()
    assert read == ["through"]
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_an_output_that_is_a_full_device_names_path_and_bytes() -> None:
    with pytest.raises(SmartCliError, match="could not write /dev/full: No space left on device; 3 bytes needed"):
        write_output(Path("/dev/full"), "abc")

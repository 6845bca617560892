"""Files and folders that appear whole or not at all: temp, fsync, rename, fsync of the parent.

Every write of the project goes through `Disk`, so that a test can record the order of calls and a
failpoint can stop between any two of them. A temporary name carries its process: what a killed
process leaves behind is known by it, never shown, and cleaned up by the next writer.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from smartcli.disk import DISK, FILE_MODE, FOLDER_MODE, Disk, explain_os_errors
from smartcli.errors import SmartCliError
from smartcli.processes import parse_token, this_process
from smartcli.strictjson import canonical_json

__all__ = [
    "DISK",
    "FILE_MODE",
    "FOLDER_MODE",
    "TEMP_PREFIX",
    "Disk",
    "canonical_json",
    "clean_stale",
    "explain_os_errors",
    "hide",
    "new_folder",
    "publish",
    "refuse_symlinks",
    "remove_folder",
    "sync_tree",
    "temp_folder",
    "write_file",
    "write_output",
]

TEMP_PREFIX = ".tmp-"
_ASIDE = "-aside-"
FOREIGN_AGE = 7 * 24 * 3600
"""Seconds after which a temporary name of another machine counts as left behind."""


def temp_path(folder: Path) -> Path:
    """Return a new temporary name in `folder` that carries this process."""
    return folder / f"{TEMP_PREFIX}{this_process().token}-{uuid4().hex[:12]}"


def write_file(path: Path, content: bytes | str) -> None:
    """Replace `path` by `content` atomically and durably."""
    raw = content.encode("utf-8") if isinstance(content, str) else content
    DISK.make_folder(path.parent)
    temp = temp_path(path.parent)
    try:
        DISK.write(temp, raw, shown=path)
        DISK.rename(temp, path)
        DISK.sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temp.unlink(missing_ok=True)


def write_output(path: Path, content: bytes | str) -> None:
    """Write a file that the user named, like `write_file`; a link stays one, and a pipe or device is written into."""
    if path.exists() and not path.is_file():
        raw = content.encode("utf-8") if isinstance(content, str) else content
        with explain_os_errors(path, "write", needed=len(raw)):
            path.write_bytes(raw)
    else:
        write_file(Path(os.path.realpath(path)), content)


@contextlib.contextmanager
def temp_folder(target: Path) -> Iterator[Path]:
    """Yield a new 0700 folder beside `target` that is gone afterwards, unless it was renamed.

    Errors of writing in it name `target`, which the user knows.
    """
    DISK.make_folder(target.parent)
    temp = temp_path(target.parent)
    DISK.becomes[temp] = target
    try:
        DISK.make_temp(temp)
        with explain_os_errors(target, "write", inside=temp):
            yield temp
    finally:
        DISK.becomes.pop(temp, None)
        if temp.exists():
            DISK.remove_tree(temp)


@contextlib.contextmanager
def new_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `target`; on success it becomes `target`, else it vanishes.

    The files in it are fsynced, then the folder, then it is renamed and the parent fsynced. With
    `replace`, it takes the place of a folder at `target`, which is then removed; without, an
    existing `target` is an error and stays as it is.
    """
    clean_stale(target.parent)
    with temp_folder(target) as temp:
        yield temp
        sync_tree(temp)
        DISK.sync_folder(temp)
        publish(temp, target, replace=replace)


def sync_tree(folder: Path) -> None:
    """Make everything inside `folder` durable, 0600 and 0700; a link or special file is refused."""
    refuse_symlinks(folder)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.chmod(FOLDER_MODE)
            DISK.sync_folder(path)
        else:
            DISK.sync_file(path)


def publish(temp: Path, target: Path, *, replace: bool = False) -> None:
    """Rename the finished `temp` to `target` beside it, durably."""
    if not os.path.lexists(target):
        DISK.rename(temp, target)
        DISK.sync_folder(target.parent)
        return
    if not replace:
        raise SmartCliError(f"{target} exists already; remove it or choose another name")
    if DISK.exchange(temp, target):
        DISK.sync_folder(target.parent)
        DISK.remove_tree(temp)
        return
    # Two renames where the system cannot exchange; `clean_stale` puts the old one back after a kill between them.
    aside = target.parent / f"{temp_path(target.parent).name}{_ASIDE}{target.name}"
    DISK.rename(target, aside)
    try:
        DISK.rename(temp, target)
    except BaseException:
        os.rename(aside, target)
        raise
    DISK.sync_folder(target.parent)
    DISK.remove_tree(aside)


def remove_folder(folder: Path) -> None:
    """Remove `folder` so that it vanishes at once: nobody ever sees a part of it under its name."""
    DISK.remove_tree(hide(folder))


def hide(folder: Path) -> Path:
    """Rename `folder` durably to a temporary name, and return that: the short half of a removal."""
    aside = temp_path(folder.parent)
    DISK.becomes[aside] = folder
    try:
        DISK.rename(folder, aside)
        DISK.sync_folder(folder.parent)
    finally:
        del DISK.becomes[aside]
    return aside


def clean_stale(folder: Path) -> list[Path]:
    """Remove what dead processes left under temporary names in `folder`; return those paths.

    Names of a machine or container where nobody here can look count as left behind after a week.
    """
    try:
        found = sorted(path for path in folder.iterdir() if path.name.startswith(TEMP_PREFIX))
    except OSError:
        return []
    removed = []
    for path in found:
        with contextlib.suppress(OSError, SmartCliError):
            if not _left_behind(path):
                continue
            name = path.name.partition(_ASIDE)[2]
            if name and not os.path.lexists(folder / name):
                DISK.rename(path, folder / name)
                DISK.sync_folder(folder)
                continue
            DISK.remove_tree(path)
            removed.append(path)
    return removed


def _left_behind(path: Path) -> bool:
    owner = parse_token(path.name.removeprefix(TEMP_PREFIX))
    alive = owner.alive() if owner else None
    return time.time() - path.lstat().st_mtime > FOREIGN_AGE if alive is None else not alive


def refuse_symlinks(folder: Path) -> None:
    """Raise when `folder` or anything in it is neither a plain file nor a folder, naming it."""
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise SmartCliError(f"{path} is a symbolic link; expected a plain file or folder; remove it")
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise SmartCliError(f"{path} is a special file; expected a plain file or folder; remove it")

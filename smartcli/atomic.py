"""Files and folders that appear whole or not at all: temp, fsync, rename, fsync of the parent.

Every write of the project goes through `Disk`, so that a test can record the order of calls and a
failpoint can stop between any two of them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from smartcli.errors import SmartCliError

FILE_MODE = 0o600
FOLDER_MODE = 0o700
TEMP_PREFIX = ".tmp-"


class Disk:
    """The file-system calls of a commit, one method each; `observer` hears each before it happens."""

    observer: Callable[[str, Path], None] | None = None

    def _tell(self, call: str, path: Path) -> None:
        if self.observer is not None:
            self.observer(call, path)

    def make_folder(self, path: Path) -> None:
        """Create `path` and missing parents, each 0700 whatever the umask."""
        missing: list[Path] = []
        at = path
        while not at.exists():
            missing.append(at)
            at = at.parent
        for folder in reversed(missing):
            self._tell("mkdir", folder)
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=FOLDER_MODE)
                folder.chmod(FOLDER_MODE)

    def write(self, path: Path, content: bytes) -> None:
        """Write a new file (0600) and fsync it; it is not visible under a final name yet."""
        self._tell("write", path)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), FILE_MODE)
            file.write(content)
            file.flush()
            self._tell("fsync", path)
            os.fsync(file.fileno())

    def sync_file(self, path: Path) -> None:
        """Set the mode of a file that a library wrote to 0600, and fsync it."""
        self._tell("fsync", path)
        path.chmod(FILE_MODE)
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def sync_folder(self, path: Path) -> None:
        """Fsync a folder, so that the names in it last."""
        self._tell("fsync-dir", path)
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def rename(self, source: Path, target: Path) -> None:
        """Move `source` to `target` in one step (same file system), replacing a file there."""
        self._tell("rename", target)
        os.replace(source, target)


DISK = Disk()


@contextlib.contextmanager
def explain_os_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn an OSError of writing into a message that names the path and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            hint = "the disk is full or a size limit was reached; free some space and run the same command again"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = "it cannot be written; choose another place with --home or $SMART_HOME"
        else:
            hint = "check the path, or choose another place with --home or $SMART_HOME"
        where = error.filename or path
        raise SmartCliError(f"could not {doing} {where}: {error.strerror or error}; {hint}") from error


def write_file(path: Path, content: bytes | str) -> None:
    """Replace `path` by `content` atomically and durably."""
    raw = content.encode("utf-8") if isinstance(content, str) else content
    with explain_os_errors(path, "write"):
        DISK.make_folder(path.parent)
        temp = path.parent / f"{TEMP_PREFIX}{uuid4().hex}"
        try:
            DISK.write(temp, raw)
            DISK.rename(temp, path)
            DISK.sync_folder(path.parent)
        finally:
            temp.unlink(missing_ok=True)


def canonical_json(value: Any) -> bytes:
    """Return the one byte form of `value`: keys in the given order, two-space indent, final newline."""
    return (json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode("utf-8")


@contextlib.contextmanager
def new_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `target`; on success it becomes `target`, else it vanishes.

    The files in it are fsynced, then the folder, then it is renamed and the parent fsynced. With
    `replace`, a folder already at `target` is moved aside first and removed afterwards; without, an
    existing `target` is an error and stays as it is.
    """
    with explain_os_errors(target, "write"):
        DISK.make_folder(target.parent)
        temp = target.parent / f"{TEMP_PREFIX}{target.name}-{uuid4().hex[:12]}"
        DISK.make_folder(temp)
        try:
            yield temp
            for path in sorted(temp.rglob("*"), reverse=True):
                if path.is_dir():
                    path.chmod(FOLDER_MODE)
                    DISK.sync_folder(path)
                else:
                    DISK.sync_file(path)
            DISK.sync_folder(temp)
            aside = None
            if target.exists():
                if not replace:
                    raise SmartCliError(f"{target} exists already; remove it or choose another name")
                aside = target.parent / f"{TEMP_PREFIX}old-{target.name}-{uuid4().hex[:12]}"
                DISK.rename(target, aside)
            DISK.rename(temp, target)
            DISK.sync_folder(target.parent)
            if aside is not None:
                shutil.rmtree(aside, ignore_errors=True)
        finally:
            shutil.rmtree(temp, ignore_errors=True)


def refuse_symlinks(folder: Path) -> None:
    """Raise when `folder` or anything in it is a symbolic link, naming it."""
    for path in (folder, *folder.rglob("*")):
        if stat.S_ISLNK(path.lstat().st_mode):
            raise SmartCliError(f"{path} is a symbolic link; expected a plain file or folder; remove it")

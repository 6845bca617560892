"""The file-system calls of every write, one method each, and their errors in words."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from smartcli.errors import SmartCliError, UserError

FILE_MODE = 0o600
FOLDER_MODE = 0o700

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_WRONG_PATH = frozenset({errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP})
_LIBRARY_ERRNO = re.compile(r"(?:os error|errno) (\d+)", re.IGNORECASE)


class Disk:
    """One method a call; `observer` hears each before it happens, with the path it is about.

    Errors are SmartCliErrors that name the path, the bytes needed where they are known, and a remedy.
    """

    observer: Callable[[str, Path], None] | None = None

    def __init__(self) -> None:
        self.becomes: dict[Path, Path] = {}
        """Temporary path to the one it is going to have, which is the one that errors name."""

    def shown(self, path: Path) -> Path:
        """Return `path` as the user knows it."""
        for at in (path, *path.parents):
            if at in self.becomes:
                return self.becomes[at] / path.relative_to(at)
        return path

    def _tell(self, call: str, path: Path) -> None:
        if self.observer is not None:
            self.observer(call, path)

    def make_folder(self, path: Path) -> None:
        """Create `path` and missing parents, each 0700 whatever the umask, durably."""
        with explain_os_errors(path, "create"):
            missing: list[Path] = []
            at = path
            while not at.is_dir():
                missing.append(at)
                if at == at.parent:
                    break
                at = at.parent
            for folder in reversed(missing):
                self._tell("mkdir", folder)
                try:
                    folder.mkdir(mode=FOLDER_MODE)
                    folder.chmod(FOLDER_MODE)
                except FileExistsError:
                    if not folder.is_dir():
                        raise NotADirectoryError(errno.ENOTDIR, "a file is in its place", str(folder)) from None
                with contextlib.suppress(PermissionError):
                    _sync(folder.parent)

    def make_temp(self, path: Path) -> None:
        """Create one folder, 0700; its name need not last."""
        with explain_os_errors(path, "create"):
            self._tell("mkdir", path)
            path.mkdir(mode=FOLDER_MODE)
            path.chmod(FOLDER_MODE)

    def write(self, path: Path, content: bytes, *, shown: Path | None = None) -> None:
        """Write a file (0600) and fsync it; errors name `shown` if given, else the name it is going to have."""
        with explain_os_errors(shown or path, "write", needed=len(content)):
            self._tell("write", path)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), FILE_MODE)
                file.write(content)
                file.flush()
                self._tell("fsync", path)
                os.fsync(file.fileno())

    def sync_file(self, path: Path) -> None:
        """Set the mode of a file that a library wrote to 0600, and fsync it."""
        with explain_os_errors(path, "write", needed=path.stat().st_size):
            self._tell("fsync", path)
            path.chmod(FILE_MODE)
            _sync(path)

    def sync_folder(self, path: Path) -> None:
        """Fsync a folder, so that the names in it last."""
        with explain_os_errors(path, "write"):
            self._tell("fsync-dir", path)
            _sync(path)

    def rename(self, source: Path, target: Path) -> None:
        """Move `source` to `target` in one step (same file system), replacing a file there."""
        with explain_os_errors(target, "write"):
            self._tell("rename", target)
            os.replace(source, target)

    def exchange(self, one: Path, other: Path) -> bool:
        """Swap two folders in one step; False where the system cannot."""
        with explain_os_errors(other, "replace"):
            self._tell("exchange", other)
            return _exchange(one, other)

    def remove_tree(self, path: Path) -> None:
        """Remove a folder or file that nobody sees any more; what cannot go now is left to `clean_stale`."""
        self._tell("remove", path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


DISK = Disk()


@contextlib.contextmanager
def explain_os_errors(
    path: Path, doing: str, *, needed: int | None = None, inside: Path | None = None
) -> Iterator[None]:
    """Turn an error of writing into a message that names the path, the bytes needed and what to do.

    A library's own error counts when its text carries the number of a full disk. With `inside` (the
    temporary folder that becomes `path`), an error about a file elsewhere passes through.
    """
    try:
        yield
    except SmartCliError:
        raise
    except OSError as error:
        number = error.errno if error.errno is not None else _library_errno(error)
        where = path
        if inside is not None:
            found = None if error.filename is None else Path(os.fsdecode(error.filename))
            ours = found is not None and found.is_relative_to(inside)
            if not ours and number not in _FULL:
                raise
            where = path / found.relative_to(inside) if found is not None and ours else path
        raise _explained(where, doing, number, error.strerror or str(error), needed) from error
    except Exception as error:
        number = _library_errno(error)
        if number is None or number not in _FULL:
            raise
        raise _explained(path, doing, number, os.strerror(number), needed) from error


def _explained(path: Path, doing: str, number: int | None, reason: str, needed: int | None) -> SmartCliError:
    path = DISK.shown(path)
    text = f"could not {doing} {path}: {reason}"
    if number in _WRONG_PATH:
        return UserError(f"{text}; expected a folder that can be made or written there; choose another path")
    if number in _FULL:
        room = [] if needed is None else [f"{needed:,} bytes needed"]
        if number != errno.EFBIG:
            room += [f"{free:,} free" for free in _free(path)]
        limit = "raise the file size limit (ulimit -f)" if number == errno.EFBIG else "free some space"
        return SmartCliError("; ".join([text, *([", ".join(room)] if room else []), f"{limit} and run it again"]))
    if number in _REFUSED:
        return SmartCliError(f"{text}; make it writable, or choose another place with --home or $SMART_HOME")
    if number in (errno.ENOTEMPTY, errno.EEXIST):
        return SmartCliError(f"{text}; it exists already: remove it or choose another name")
    return SmartCliError(f"{text}; check the path, or choose another place with --home or $SMART_HOME")


def hash_file(path: Path) -> str:
    """Return the SHA-256 (hex) of a file, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_size(folder: Path) -> int:
    """Return the bytes of the plain files in `folder`; what vanishes meanwhile counts as nothing."""
    total = 0
    for at, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(at, name)).st_size
    return total


def _free(path: Path) -> list[int]:
    for at in (path, *path.parents):
        with contextlib.suppress(OSError):
            return [shutil.disk_usage(at).free]
    return []


def _library_errno(error: Exception) -> int | None:
    found = _LIBRARY_ERRNO.search(str(error))
    return int(found[1]) if found else None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot fsync a folder and say so with EINVAL.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)


def _exchange(one: Path, other: Path) -> bool:
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin" and hasattr(library, "renamex_np"):
        done = library.renamex_np(*names, 2)
    elif hasattr(library, "renameat2"):
        at_working_folder = -100
        done = library.renameat2(at_working_folder, names[0], at_working_folder, names[1], 2)
    else:
        return False
    return bool(done == 0)

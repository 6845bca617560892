"""The journal of a study: Optuna's file, with a lock that dies with its process, and whole lines only."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend

from smartcli.atomic import FILE_MODE

LOCK_SECONDS = 60.0


class Journal(JournalFileBackend):
    """Appends records under a lock of the system (flock), as the registry does.

    Optuna's own locks are files that a killed process leaves behind, and that others remove by their age. And where a
    disk is full, half a line would stay, onto which the next record is written, so that nobody could read the journal
    again: here it is taken away before the next record.
    """

    def __init__(self, path: Path) -> None:
        self._file = path
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
        super().__init__(str(path))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records and bring them to disk; on an OSError the journal is as it was."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with self._locked(), self._file.open("r+b", buffering=0) as file:
            end = _after_last_line(file)
            file.truncate(end)
            file.seek(end)
            try:
                rest = memoryview(lines)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(end)
                raise

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock

        # FileLock would make the folders of a file system that is not mounted at the moment.
        self._file.stat()
        # Beside the journal, since some systems lock a file against its own reader.
        with FileLock(f"{self._file}.lock", timeout=LOCK_SECONDS, mode=FILE_MODE, poll_interval=0.02):
            yield


def _after_last_line(file: Any, block: int = 4096) -> int:
    """Return the position behind the last line end, reading backwards."""
    at = int(file.seek(0, os.SEEK_END))
    while at > 0:
        begin = max(0, at - block)
        file.seek(begin)
        found = file.read(at - begin).rfind(b"\n")
        if found >= 0:
            return begin + int(found) + 1
        at = begin
    return 0

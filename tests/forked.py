"""Run a function in a forked child, which may be killed, and learn how it ended."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartcli.atomic import DISK
from smartcli.errors import SmartCliError


@dataclass(frozen=True)
class Ended:
    """How a child ended: what the function returned or which clean error it raised, or that it was killed."""

    killed: bool
    value: Any = None
    error: str | None = None
    exit_code: int | None = None
    crash: str | None = None
    """Any other exception: never right."""


class Child:
    """A forked process that runs `work`."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._read)
            _report(write, work)
        os.close(write)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> Ended:
        with os.fdopen(self._read, "rb") as pipe:
            raw = pipe.read()
        _, status = os.waitpid(self.pid, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL, status
            return Ended(killed=True)
        return Ended(killed=False, **json.loads(raw))


def in_child(work: Callable[[], Any]) -> Ended:
    """Run `work` in a child and wait for it."""
    return Child(work).wait()


def kill_at(call: int) -> None:
    """Kill this process just before its file-system call number `call`, counted from 0."""
    seen = 0

    def observe(_: str, __: Path) -> None:
        nonlocal seen
        if seen == call:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

    DISK.observer = observe


def calls_of(work: Callable[[], Any]) -> list[tuple[str, Path]]:
    """Return the file-system calls that `work` makes, in order."""
    calls: list[tuple[str, Path]] = []
    DISK.observer = lambda call, path: calls.append((call, path))
    try:
        work()
    finally:
        DISK.observer = None
    return calls


def _report(pipe: int, work: Callable[[], Any]) -> None:
    try:
        try:
            result = {"value": work()}
        except SmartCliError as error:
            result = {"error": str(error), "exit_code": error.exit_code}
        except BaseException as error:
            result = {"crash": f"{type(error).__name__}: {error}"}
        os.write(pipe, json.dumps(result).encode())
    finally:
        sys.stdout.flush()
        os._exit(0)

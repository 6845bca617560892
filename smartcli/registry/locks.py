"""One process a name: file locks that die with their process, with the owner's pid beside them."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartcli.atomic import DISK, FILE_MODE, explain_os_errors
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.processes import Process, parse_token, this_process

REGISTRY = ".registry"
"""The lock for the short moments in which names appear and vanish; no checkpoint can be called that."""
SHORT, LONG = 2.0, 120.0
"""Seconds to wait for a name that a training may hold, and for the registry, which nobody holds for long."""


class Busy(UserError):
    """A live process holds the name."""


@dataclass
class _Held:
    pid: int
    thread: int
    lock: Any
    count: int = 1


_held: dict[Path, _Held] = {}


@contextlib.contextmanager
def hold(home: Home, name: str, *, wait: float = SHORT, again: bool = True) -> Iterator[None]:
    """Hold the lock of `name`; Busy names the live process that has it after `wait` seconds.

    The thread that has it may take it again, unless `again` is False.
    """
    path = home.locks / f"{name}.lock"
    mine = _held.get(path)
    if mine is not None and mine.pid == os.getpid() and mine.thread == threading.get_ident():
        if not again:
            raise _busy(name, this_process())
        mine.count += 1
        try:
            yield
        finally:
            mine.count -= 1
        return
    lock = _acquire(home, name, path, wait)
    try:
        _held[path] = _Held(os.getpid(), threading.get_ident(), lock)
        _write_owner(home, name)
        yield
    finally:
        # A forked child that leaves this block must not free what its parent holds.
        if _held.get(path) is None or _held[path].pid == os.getpid():
            _held.pop(path, None)
            with contextlib.suppress(OSError):
                _owner_path(home, name).unlink(missing_ok=True)
            lock.release()


@contextlib.contextmanager
def registry_lock(home: Home) -> Iterator[None]:
    """Hold the lock under which names appear and vanish."""
    with hold(home, REGISTRY, wait=LONG):
        yield


def owner_of(home: Home, name: str) -> Process | None:
    """Return the live process that holds `name`, or None; nothing is locked for a moment by asking.

    Only an owner on another machine, whose pid says nothing here, is probed by trying the lock.
    """
    process = _read_owner(home, name)
    if process is None:
        return None
    alive = process.alive()
    if alive is None:
        return process if _is_locked(home.locks / f"{name}.lock") else None
    return process if alive else None


def _acquire(home: Home, name: str, path: Path, wait: float) -> Any:
    from filelock import FileLock, Timeout

    DISK.make_folder(home.locks)
    lock = FileLock(str(path), mode=FILE_MODE, thread_local=False)
    with explain_os_errors(path, "lock"):
        try:
            lock.acquire(timeout=wait, poll_interval=0.02)
        except Timeout:
            raise _busy(name, _read_owner(home, name)) from None
    return lock


def _busy(name: str, owner: Process | None) -> Busy:
    what = "the registry" if name == REGISTRY else f'"{name}"'
    who = "another process" if owner is None else f"process {owner.pid}"
    if owner is not None and owner.alive() is None:
        who += " of another machine or container"
    return Busy(f"{what} is in use by {who}, which is still running; wait for it to end, or stop it")


def _owner_path(home: Home, name: str) -> Path:
    return home.locks / f"{name}.pid"


def _write_owner(home: Home, name: str) -> None:
    # Not durable on purpose: after a power cut no owner lives.
    me = this_process()
    path = _owner_path(home, name)
    with explain_os_errors(path, "write", needed=64):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), FILE_MODE)
            file.write(f"{me.pid}\n{me.token}\n")


def _read_owner(home: Home, name: str) -> Process | None:
    try:
        lines = _owner_path(home, name).read_text("ascii").splitlines()
    except (OSError, ValueError):
        return None
    return parse_token(lines[1]) if len(lines) > 1 else None


def _is_locked(path: Path) -> bool:
    from filelock import FileLock, Timeout

    try:
        with FileLock(str(path), timeout=0, mode=FILE_MODE, thread_local=False):
            return False
    except Timeout:
        return True
    except OSError:
        return False

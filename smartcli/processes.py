"""Which process owns a lock or a temporary name, and whether it still lives.

Own code, since psutil's start time is the wall clock's: it moves when the clock is set, and a living owner would look
dead. Ticks since boot do not.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

_TOKEN = re.compile(r"(\d+)\.(\d+)\.([0-9a-f]{8})")


@dataclass(frozen=True)
class Process:
    """A process so named that its pid given to another one later is not mistaken for it."""

    pid: int
    started: str
    """Start time in clock ticks since boot where the system tells it, else "0"."""
    machine: str
    """Eight hex digits that differ between machines and between containers on one machine."""

    @property
    def token(self) -> str:
        """Form that fits into a file name; `parse_token` reads it."""
        return f"{self.pid}.{self.started}.{self.machine}"

    def alive(self) -> bool | None:
        """Return whether it runs; None when it belongs to another machine, where nobody here can tell."""
        if self.machine != _machine():
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):
            pass
        state, started = _stat(self.pid)
        if state in ("Z", "X"):
            return False
        return "0" in (started, self.started) or started == self.started


def this_process() -> Process:
    """Return the calling process (asked anew each time: a fork is another process)."""
    pid = os.getpid()
    return Process(pid, _stat(pid)[1], _machine())


def parse_token(text: str) -> Process | None:
    """Return the process whose token `text` starts with, or None."""
    found = _TOKEN.match(text)
    return Process(int(found[1]), found[2], found[3]) if found and int(found[1]) > 0 else None


def _machine() -> str:
    try:
        # A pid means nothing outside its namespace, and containers often share a host name.
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{socket.gethostname()} {namespace}".encode()).hexdigest()[:8]


def _stat(pid: int) -> tuple[str, str]:
    """Return state letter and start time from /proc, or ("", "0") where there is none."""
    try:
        raw = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return "", "0"
    after_name = raw.rpartition(b")")[2].split()
    return (after_name[0].decode(), after_name[19].decode()) if len(after_name) > 19 else ("", "0")

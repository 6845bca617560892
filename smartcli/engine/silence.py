"""Connections that notice a silent other end: a cut cable says nothing, and TCP by itself waits a quarter of an hour.

The kernel asks the other machine's kernel whether it is there (RFC 1122, keep-alive; RFC 5482, user timeout), so a busy
process is never taken for a lost one. Linux alone has both options; elsewhere the training's own timeout stays.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from smartcli.errors import UserError

VARIABLE = "SMART_SILENT_SECONDS"
SECONDS = 60
PROBES = 4
"""Questions without an answer until a connection counts as lost."""


def silent_seconds() -> int:
    """Return the seconds without a sign after which a machine counts as lost; UserError where the variable is none."""
    given = os.environ.get(VARIABLE, str(SECONDS))
    if not given.isdecimal() or not 5 <= int(given) <= 86400:
        raise UserError(f"{VARIABLE} must be a whole number of seconds from 5 to 86400, found {given!r}")
    return int(given)


def notice_silence(seconds: int) -> int:
    """Have every TCP connection of this process fail after `seconds` without a sign; return how many there are.

    Those of torch are made in C++ and have no Python object: they are found by their file descriptors.
    """
    folder = Path("/proc/self/fd")
    if not hasattr(socket, "TCP_USER_TIMEOUT") or not folder.is_dir():
        return 0
    found = 0
    for name in os.listdir(folder):
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                found += _watch(int(name), seconds)
        except OSError:
            continue  # Closed meanwhile, as is the descriptor that lists the folder.
    return found


def _watch(descriptor: int, seconds: int) -> bool:
    with socket.socket(fileno=os.dup(descriptor)) as connection:
        if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
            return False
        each = max(1, seconds // (PROBES + 1))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, each)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, each)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
        # Keep-alive asks only where nothing is under way; this counts for what was sent and not answered.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, seconds * 1000)
        return True

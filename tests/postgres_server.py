"""A real PostgreSQL server on this machine's loopback, with a password, run by a user that is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PASSWORD = "s3cret-Wort"


def programs() -> Path | None:
    """The folder of initdb and pg_ctl: on the path, or where Debian puts them."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda path: int(path.parent.name))


def cannot_run() -> str | None:
    """Why there can be no server here, or None."""
    if programs() is None:
        return "needs a PostgreSQL server: apt-get install postgresql"
    if os.getuid() == 0 and _user() is None:
        return "PostgreSQL does not run as root, and there is no user postgres or nobody"
    return None


def _user() -> str | None:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


class Server:
    """A server in a folder of its own; `url` has the password in it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self.url = f"postgresql://anna:{PASSWORD}@127.0.0.1:{self.port}/postgres"
        self._as: dict[str, Any] = {"user": _user(), "cwd": "/"} if os.getuid() == 0 else {}
        (folder / "password").write_text(PASSWORD)
        if self._as:
            shutil.chown(folder, self._as["user"])
            shutil.chown(folder / "password", self._as["user"])
        self._run("initdb", "-D", folder / "data", "-U", "anna", "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8",
                  "--locale=C", f"--pwfile={folder}/password")  # fmt: skip

    def start(self) -> None:
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.folder} -c fsync=off"
        )
        self._run("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-w", "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *words: object) -> None:
        folder = programs()
        assert folder is not None
        command = [str(folder / program), *map(str, words)]
        # Not a pipe: the server would keep it open.
        with (self.folder.parent / f"{self.folder.name}.out").open("w+") as out:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False, **self._as)
            out.seek(0)
            said = out.read()
        Path(out.name).unlink()
        if done.returncode != 0:
            raise AssertionError(f"{program}: {said}")


@contextmanager
def postgres_server() -> Iterator[Server]:
    """Run a server until the end of the block, and remove it."""
    # pytest's own folders are closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="smart-postgres-"))
    server = Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)

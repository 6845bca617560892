"""bash for the documentation's blocks: `smart` in it is a fork of this process, so that torch is imported once."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from forked import Child

import smartcli.workflows.training.train  # noqa: F401  brings torch, once for every fork

SHIM = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    request = json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(request).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(request)
    sys.exit(ord(server.recv(1) or b"\\x01"))
"""


@dataclass(frozen=True)
class Ran:
    """How a script ended, and what it wrote."""

    code: int
    stdout: str
    stderr: str


def run_script(script: str, folder: Path, env: Mapping[str, str]) -> Ran:
    """Run `script` in `folder`, ending at the first failure; the variables of `env` are added."""
    children = []
    # A socket's path is limited to some 100 bytes, which pytest's folders may exceed.
    with tempfile.TemporaryDirectory(prefix="smart-") as own, socket.socket(socket.AF_UNIX) as server:
        place = Path(own)
        command = shlex.join([sys.executable, "-S", "-E", str(place / "shim.py"), str(place / "socket")])
        (place / "shim.py").write_text(SHIM, encoding="utf-8")
        (place / "smart").write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        (place / "smart").chmod(0o755)
        server.bind(str(place / "socket"))
        server.listen()
        server.settimeout(0.05)
        with (place / "out").open("w") as out, (place / "err").open("w") as err:
            shell = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", script],
                env={**os.environ, **env, "PATH": f"{place}:{os.environ['PATH']}"},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
            while shell.poll() is None:
                try:
                    client, _ = server.accept()
                except TimeoutError:
                    continue
                with client:
                    children.append(_serve(client))
        for child in children:
            child.wait()
        return Ran(shell.returncode, (place / "out").read_text(), (place / "err").read_text())


def _serve(client: socket.socket) -> Child:
    size, files, _, _ = socket.recv_fds(client, 4, 3)
    with client.makefile("rb") as stream:
        arguments, folder, env = json.loads(stream.read(int.from_bytes(size, "big")))
    child = Child(lambda: _smart(client, files, arguments, folder, env))
    for file in files:
        os.close(file)
    return child


def _smart(client: socket.socket, files: list[int], arguments: list[str], folder: str, env: dict[str, str]) -> None:
    from smartcli.cli.app import run

    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
    sys.argv = ["smart", *arguments]
    code = 1
    try:
        run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    client.send(bytes([code]))

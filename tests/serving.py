"""Servers for tests: a forked child that serves a checkpoint of tiny weights, and raw bytes to send to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import time
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forked import Child, Ended

import smartcli.workflows.serving.web_app  # noqa: F401  brings FastAPI, once for every server
from smartcli.home import Home
from smartcli.tasks import Task, TaskTable
from smartcli.workflows.serving.http_server import Address, serve
from smartcli.workflows.serving.limits import Limits
from tests.hand_made import make_data, make_model
from tests.tiny import WORDS, make_tiny_encoder

PAIR = ("one", "other")
TASKS = TaskTable(
    (
        Task(name="mood", kind="classification", text=("text",), label="label", labels=("bad", "so so", "good")),
        Task(name="same", kind="binary", text=PAIR, label="label", labels=("0", "1")),
        Task(name="near", kind="regression", text=PAIR, label="label", range=(0.0, 5.0), metric="pearson"),
    )
)


def make_served(home: Home, folder: Path, names: Iterable[str] = ("first",)) -> None:
    """Register checkpoints with heads for `TASKS`."""
    data = make_data(home, tasks=TASKS)
    encoder = make_tiny_encoder(folder / "encoder")
    for seed, name in enumerate(names):
        make_model(home, name, data, encoder, seed=seed)


def sentence(number: int) -> str:
    """A sentence of one to twelve words, another one for each number."""
    return " ".join(WORDS[(number * 31 + at * 7) % len(WORDS)] for at in range(1 + number % 12))


@dataclass
class Served:
    """A server under test."""

    url: str
    child: Child
    place: Path
    ended: Ended | None = None
    warnings: list[str] = field(default_factory=list)

    def stop(self, number: int = signal.SIGTERM) -> Ended:
        """Send a signal and wait for the end."""
        os.kill(self.child.pid, number)
        self.ended = self.child.wait()
        self.warnings = (self.place / "warnings").read_text().splitlines()
        return self.ended

    def ask(self, body: Any, path: str = "/predict", **headers: str) -> tuple[int, Any]:
        """POST JSON and return status and answer."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.send(request(raw, path, **headers))
        return answer.status, json.loads(answer.body)

    def get(self, path: str, **headers: str) -> Answer:
        """GET a path."""
        lines = [f"GET {path} HTTP/1.1", "host: x", "connection: close", *_lines(headers), "", ""]
        return self.send("\r\n".join(lines).encode())

    def connect(self) -> socket.socket:
        """Open a connection."""
        parts = urllib.parse.urlsplit(self.url)
        return socket.create_connection((parts.hostname, parts.port), timeout=30)

    def send(self, raw: bytes) -> Answer:
        """Send raw bytes over a connection of their own and return the first answer."""
        with self.connect() as own:
            own.sendall(raw)
            return receive(own)


@dataclass(frozen=True)
class Answer:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


def receive(own: socket.socket) -> Answer:
    """Read one answer from a connection."""
    answer = http.client.HTTPResponse(own)
    answer.begin()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(answer.status, headers, answer.read())


def request(body: bytes, path: str = "/predict", **headers: str) -> bytes:
    """Return a POST of JSON as bytes; `headers` (underscores for hyphens) replace the usual ones, "" drops one."""
    lines = {"host": "x", "content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    return "\r\n".join([f"POST {path} HTTP/1.1", *_lines(lines), "", ""]).encode("latin-1") + body


def _lines(headers: dict[str, str]) -> list[str]:
    return [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value]


@contextlib.contextmanager
def served(
    home: Home,
    name: str,
    place: Path,
    limits: Limits = Limits(),  # noqa: B008
    *,
    int8: bool = False,
) -> Iterator[Served]:
    """Serve a checkpoint in a forked child until the block ends, or the test has stopped it."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "warnings").touch()

    def warn(message: str) -> None:
        with (place / "warnings").open("a") as file:
            file.write(message + "\n")

    def ready(message: str) -> None:
        (place / "ready.part").write_text(message)
        (place / "ready.part").rename(place / "ready")

    def work() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.default_int_handler)
        address = Address(port=0)
        serve(home, name, address, limits, device="cpu", int8=int8, say=lambda _: None, warn=warn, ready=ready)

    child = Child(work)
    end = time.monotonic() + 60
    while not (place / "ready").exists():
        assert time.monotonic() < end
        if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            raise AssertionError(child.wait())
        time.sleep(0.01)
    words = (place / "ready").read_text().split()
    found = Served(next(word for word in words if word.startswith("http")), child, place)
    try:
        yield found
    finally:
        if found.ended is None:
            found.stop()

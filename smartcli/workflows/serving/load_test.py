"""Clients that ask a server as fast as it answers: each waits for its answer and then asks the next question."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from smartcli.errors import SmartCliError, UserError
from smartcli.hidden import hidden

PERCENTILES = (50, 95, 99)
OK = 200
WAIT = 120.0
"""Seconds after which a client gives its answer up as an error."""
Check = Callable[[int, Any], str | None]
"""Looks at the answer to body number i; what is wrong with it, if anything."""


@dataclass
class Side:
    """What clients of one number met: seconds of each answer, and errors by what was said."""

    clients: int
    rows_each: int
    """Rows of a request."""
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def throughput(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, share: int) -> float | None:
        """Return the latency in seconds that so many per cent of the answers do not exceed; None without answers."""
        return float(np.percentile(self.latencies, share)) if self.latencies else None

    def add(self, other: Side) -> None:
        """Take another slice of time with as many clients in."""
        self.seconds += other.seconds
        self.latencies += other.latencies
        self.errors += other.errors

    def to_json(self) -> dict[str, Any]:
        """Return the numbers; latencies in milliseconds."""
        each = {f"p{share}_ms": self.percentile(share) for share in PERCENTILES}
        return {
            "clients": self.clients,
            "seconds": round(self.seconds, 3),
            "answers": len(self.latencies),
            "per_second": round(self.throughput, 2),
            "rows_per_second": round(self.throughput * self.rows_each, 2),
            **{key: None if value is None else round(1000 * value, 2) for key, value in each.items()},
            "errors": dict(self.errors),
        }


class Client:
    """One connection to a server, kept open from question to question, and opened again where that failed."""

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"{hidden(url)}: expected a URL such as http://127.0.0.1:8000")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        try:
            self._connection = kind(parts.hostname, parts.port, timeout=WAIT)
        except ValueError:
            raise UserError(f"{hidden(url)}: expected a port from 1 to 65535") from None
        self._base = parts.path.rstrip("/")
        self._headers = {} if token is None else {"authorization": f"Bearer {token}"}

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body of a GET."""
        return self._ask("GET", path, None, {})

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Return status and body of a POST of JSON."""
        return self._ask("POST", path, body, {"content-type": "application/json"})

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            self._connection.request(method, self._base + path, body, self._headers | headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next question opens it again."""
        self._connection.close()


def load(
    url: str,
    bodies: Sequence[bytes],
    *,
    clients: int,
    seconds: float,
    rows_each: int = 1,
    token: str | None = None,
    check: Check = lambda number, answer: None,
) -> Side:
    """Let so many clients ask for so many seconds, each going round the bodies from a place of its own.

    An answer other than 200, none at all, or one in which `check` finds a fault counts as an error.
    """
    side = Side(clients, rows_each)
    start = threading.Barrier(clients + 1)
    lock, stop = threading.Lock(), threading.Event()

    def run(place: int) -> None:
        own = Side(1, rows_each)
        client = Client(url, token)
        start.wait()
        for number in itertools.count(place * len(bodies) // clients):
            if stop.is_set():
                break
            _once(client, number % len(bodies), bodies, own, check)
        client.close()
        with lock:
            side.add(own)

    threads = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(clients)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    side.seconds = time.perf_counter() - began
    return side


def _once(client: Client, number: int, bodies: Sequence[bytes], own: Side, check: Check) -> None:
    began = time.perf_counter()
    try:
        status, raw = client.post("/predict", bodies[number])
    except (OSError, http.client.HTTPException) as error:
        own.errors[f"{type(error).__name__}: {error}"] += 1
        time.sleep(0.1)
        return
    taken = time.perf_counter() - began
    if status != OK:
        own.errors[f"{status}: {raw[:200].decode('utf-8', 'replace')}"] += 1
        return
    own.latencies.append(taken)
    fault = check(number, json.loads(raw))
    if fault is not None:
        own.errors[fault] += 1


def health_of(url: str, token: str | None = None) -> dict[str, Any]:
    """Return what a server says of itself; a SmartCliError where none answers, or another one does."""
    client = Client(url, token)
    try:
        status, raw = client.get("/health")
        found = json.loads(raw)
        if status == OK and isinstance(found, dict) and isinstance(found.get("tasks"), list):
            return found
        reason = f"it answered {status}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
    finally:
        client.close()
    raise SmartCliError(
        f"{hidden(url)}: no server of smart serve answers there ({reason}); start one, or name a checkpoint"
    )

"""What stands before the application: token, size and time of bodies, number of requests, errors as JSON.

A plain ASGI application around another one. A body is read whole, and up to a bound also where it is refused: a server
that closes a connection on which the client is still writing makes the client's system drop the answer.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from smartcli.counts import counted
from smartcli.errors import SmartCliError
from smartcli.workflows.serving.limits import Limits
from smartcli.workflows.serving.predict_request import BAD_REQUEST, TOO_LARGE, Refused

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PREDICT = "/predict"
OPEN_PATHS = ("/health", "/docs", "/openapi.json", "/static-offline-docs")
"""What needs no token: probes have none, and a browser sends none."""
DRAINED = 64_000_000
"""Most bytes of a body that are read only to be dropped."""
JSON_TYPES = ("application/json",)
UNAUTHORIZED, TIMEOUT, UNSUPPORTED, FAILED, BUSY = 401, 408, 415, 500, 503
CLOSE = {"connection": "close"}


class Gate:
    """The application of a server with its limits kept."""

    def __init__(
        self,
        app: App,
        limits: Limits,
        *,
        token: str | None = None,
        seconds_ahead: Callable[[], float] = lambda: 0.0,
        answered: Callable[[str, int, float], None] = lambda path, code, seconds: None,
        failed: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        """`seconds_ahead` says how long a queue takes, `answered` hears of answers, `failed` of faults of ours."""
        self._app, self._limits, self._token = app, limits, token
        self._seconds_ahead, self._answered, self._failed = seconds_ahead, answered, failed
        self.under_way = 0
        self.stopping = False
        """Whether answers shall end their connections."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, answer = time.perf_counter(), _Answer(send, self)
        headers = _headers(scope)
        stranger = self._stranger(scope, headers)
        # Who has no token takes no place that another could have.
        counts = stranger is None and scope["path"] == PREDICT and scope["method"] == "POST"
        self.under_way += counts
        try:
            refused = stranger or self._first_look(scope, headers)
            body = await self._read(headers, receive, refused)
            await self._app(scope, _replay(body, receive), answer.send)
        except Refused as refused:
            await answer.refuse(refused)
        except Exception as error:
            self._failed(error)
            said = str(error) if isinstance(error, SmartCliError) else "a fault of the server; its log says more"
            await answer.refuse(Refused(FAILED, said))
        finally:
            self.under_way -= counts
            self._answered(scope["path"], answer.code, time.perf_counter() - started)

    def _stranger(self, scope: Scope, headers: dict[str, str]) -> Refused | None:
        """Return why a request is refused for want of the token."""
        if self._token is not None and not scope["path"].startswith(OPEN_PATHS):
            kind, _, given = headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token.encode()):
                return Refused(UNAUTHORIZED, "a bearer token is needed", {"www-authenticate": "Bearer"})
        return None

    def _first_look(self, scope: Scope, headers: dict[str, str]) -> Refused | None:
        """Return why a request is refused before its body is looked at."""
        if scope["path"] != PREDICT or scope["method"] != "POST":
            return None
        if self.under_way > self._limits.queue:
            return busy(self._seconds_ahead(), f"{counted(self._limits.queue, 'request is', 'requests are')} under way")
        kind, _, parameters = headers.get("content-type", "").partition(";")
        charset = parameters.replace('"', "").strip().lower()
        if kind.strip().lower() not in JSON_TYPES or charset not in ("", "charset=utf-8"):
            return Refused(UNSUPPORTED, "expected the header content-type: application/json")
        if headers.get("content-encoding", "identity").lower() != "identity":
            return Refused(UNSUPPORTED, "expected a body without content-encoding")
        return None

    async def _read(self, headers: dict[str, str], receive: Receive, refused: Refused | None) -> bytes:
        """Return the body; Refused where it is too large, too slow, or `refused` already, once it has been read."""
        declared = int(headers.get("content-length", "0"))
        if declared and "transfer-encoding" in headers:
            # What stands between may have read another end of this body than we do.
            raise _closing(Refused(BAD_REQUEST, "content-length beside transfer-encoding; send one of them"))
        if declared > self._limits.max_body:
            refused = refused or self._too_large()
        # A client that waits to be told to go on has not sent its body.
        if refused and (declared > DRAINED or "100-continue" in headers.get("expect", "").lower()):
            raise _closing(refused)
        parts: list[bytes] = []
        size, more = 0, True
        try:
            async with asyncio.timeout(self._limits.body_timeout):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(TIMEOUT, "the client went away")
                    part, more = message.get("body", b""), message.get("more_body", False)
                    size += len(part)
                    if size > self._limits.max_body:
                        refused, parts = refused or self._too_large(), []
                    if refused is None:
                        parts.append(part)
                    elif size > DRAINED:
                        raise _closing(refused)
        except TimeoutError:
            slow = Refused(TIMEOUT, f"the body did not arrive within {self._limits.body_timeout:g} seconds")
            raise _closing(refused or slow) from None
        if refused is not None:
            raise refused
        return b"".join(parts)

    def _too_large(self) -> Refused:
        return Refused(TOO_LARGE, f"the body is too large; expected at most {self._limits.max_body:,} bytes")


class _Answer:
    """The way out: remembers the status code, and ends connections while the server stops."""

    def __init__(self, send: Send, gate: Gate) -> None:
        self._send, self._gate = send, gate
        self.code = FAILED
        self._begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun, self.code = True, message["status"]
            if self._gate.stopping:
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        await self._send(message)

    async def refuse(self, refused: Refused) -> None:
        """Send a refusal, unless another answer has begun: that one then ends broken, as it must."""
        if self._begun:
            return
        body = json.dumps({"detail": refused.message}, ensure_ascii=False).encode("utf-8", "replace")
        headers = {"content-type": "application/json", "content-length": str(len(body)), **refused.headers}
        raw = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": refused.status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})


def busy(seconds_ahead: float, why: str) -> Refused:
    """Return a refusal that says when to come again: when what is under way is done, at least a second."""
    seconds = max(1, math.ceil(seconds_ahead))
    return Refused(BUSY, f"{why}; try again in {seconds} s", {"retry-after": str(seconds)})


def _closing(refused: Refused) -> Refused:
    return Refused(refused.status, refused.message, {**refused.headers, **CLOSE})


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the whole body at once, and then what comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again

"""The gate around small applications, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from smartcli.errors import SmartCliError
from smartcli.workflows.serving.gate import Gate, busy
from smartcli.workflows.serving.limits import Limits

LIMITS = Limits(max_body=100, body_timeout=0.05, queue=1)
JSON = {"content-type": "application/json"}


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the body that came."""
    message = await receive()
    assert not message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


def ask(
    gate: Gate,
    *parts: bytes,
    path: str = "/predict",
    method: str = "POST",
    headers: dict[str, str] = JSON,
    end: bool = True,
) -> tuple[list[Any], bytes]:
    """Send a request whose body comes in parts; return the messages that were sent and the body joined."""
    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    waiting += [{"type": "http.request", "body": b"", "more_body": False}] if end else []
    sent: list[Any] = []

    async def receive() -> Any:
        if waiting:
            return waiting.pop(0)
        await asyncio.sleep(30)
        raise AssertionError("nobody should wait so long")

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(gate({"type": "http", "path": path, "method": method, "headers": raw}, receive, send))
    return sent, b"".join(message.get("body", b"") for message in sent[1:])


def header(sent: list[Any], name: str) -> str | None:
    return {key.decode(): value.decode() for key, value in sent[0]["headers"]}.get(name)


def test_a_body_in_parts_arrives_whole_and_the_answer_is_counted() -> None:
    counted: list[Any] = []
    gate = Gate(echo, LIMITS, answered=lambda path, code, seconds: counted.append((path, code, seconds < 5)))
    assert ask(gate, b'{"a":', b" 1}")[1] == b'{"a": 1}'
    assert counted == [("/predict", 200, True)]
    assert gate.under_way == 0


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("a secret path"), "a fault of the server; its log says more"),
        (SmartCliError("it is ill"), "it is ill"),
    ],
)
def test_a_fault_of_ours_is_500_told_to_the_log_and_not_to_the_client(error: Exception, said: str) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise error

    heard: list[Exception] = []
    sent, body = ask(Gate(broken, LIMITS, failed=heard.append), b"{}")
    assert (sent[0]["status"], json.loads(body)["detail"]) == (500, said)
    assert heard == [error]


def test_a_fault_after_the_answer_has_begun_sends_no_second_one() -> None:
    async def late(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError

    sent, _ = ask(Gate(late, LIMITS), b"{}")
    assert [message["type"] for message in sent] == ["http.response.start"]


def test_a_body_that_is_too_large_is_read_to_its_end_and_none_of_it_is_kept() -> None:
    sent, body = ask(Gate(echo, LIMITS), *[b"a" * 60] * 50)
    assert sent[0]["status"] == 413
    assert "at most 100 bytes" in json.loads(body)["detail"]
    assert header(sent, "connection") is None


def test_a_body_that_never_ends_is_408_and_the_connection_is_closed() -> None:
    sent, _ = ask(Gate(echo, LIMITS), b"{", end=False)
    assert (sent[0]["status"], header(sent, "connection")) == (408, "close")


@pytest.mark.parametrize("length", ["101", "99999999999"])
def test_who_asks_before_sending_too_much_is_answered_at_once(length: str) -> None:
    sent, _ = ask(Gate(echo, LIMITS), headers={**JSON, "content-length": length, "expect": "100-continue"}, end=False)
    assert (sent[0]["status"], header(sent, "connection")) == (413, "close")


def test_beyond_the_queue_is_503_with_the_time_that_the_queue_takes() -> None:
    gate = Gate(echo, LIMITS, seconds_ahead=lambda: 6.2)
    gate.under_way = 1
    sent, body = ask(gate, b"{}")
    assert (sent[0]["status"], header(sent, "retry-after")) == (503, "7")
    assert json.loads(body)["detail"] == "1 request is under way; try again in 7 s"
    assert ask(gate, path="/health", method="GET")[0][0]["status"] == 200
    assert busy(0.0, "why").headers == {"retry-after": "1"}


def test_who_has_no_token_takes_no_place_in_the_queue() -> None:
    gate, taken = Gate(echo, LIMITS, token="a-token-of-some-length"), []

    async def receive() -> Any:
        taken.append(gate.under_way)
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        pass

    for given in ("Bearer wrong", "Bearer a-token-of-some-length"):
        raw = [(b"content-type", b"application/json"), (b"authorization", given.encode())]
        asyncio.run(gate({"type": "http", "path": "/predict", "method": "POST", "headers": raw}, receive, send))
    assert taken == [0, 1]


def test_a_stopping_server_ends_connections_with_its_answers() -> None:
    gate = Gate(echo, LIMITS)
    gate.stopping = True
    assert header(ask(gate, b"{}")[0], "connection") == "close"


@pytest.mark.parametrize("path", ["/predict", "/metrics", "/", "/unknown"])
def test_a_token_opens_what_is_not_open(path: str) -> None:
    gate = Gate(echo, LIMITS, token="a-token-of-some-length")
    right: Callable[[str], dict[str, str]] = lambda kind: {**JSON, "authorization": f"{kind} a-token-of-some-length"}  # noqa: E731
    assert ask(gate, b"{}", path=path)[0][0]["status"] == 401
    assert ask(gate, b"{}", path=path, headers=right("Bearer"))[0][0]["status"] == 200
    assert ask(gate, b"{}", path=path, headers=right("bearer"))[0][0]["status"] == 200
    assert ask(gate, b"{}", path=path, headers=right("Basic"))[0][0]["status"] == 401

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hand_made import make_checkpoint, make_data
from typer.testing import Result

from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.workflows.serving.http_server import (
    Address,
    IdleConnections,
    need_packages,
    token_from_environment,
    url_of,
)

Smart = Callable[..., Result]


MISTAKES = [
    ("serve nothing", 2, "nothing"),
    ("serve first --device gpu", 2, "--device must be one of auto, cpu, cuda"),
    ("serve first --wait-ms -1", 2, "--wait-ms must be a number at least 0, found -1"),
    ("serve first --queue 0", 2, "--queue must be a number at least 1"),
    ("serve first --timeout nan", 2, "--timeout must be a number above 0"),
    ("serve first --host no.such.host.invalid", 2, "--host no.such.host.invalid: no such address"),
    ("serve first --host 192.0.2.1", 2, "cannot listen on 192.0.2.1"),
    ("serve first --port TAKEN", 2, "Address already in use"),
    ("bench-serve first --seconds 0", 2, "--seconds must be above 0"),
    ("bench-serve nothing", 2, "nothing"),
    ("bench-serve http://127.0.0.1:9 --threads 1", 2, "--threads is for a server that is started here"),
    ("bench-serve http://127.0.0.1:9", 1, "no server of smart serve answers there"),
]


def test_mistakes_are_named_before_a_model_is_loaded(home: Home, tmp_path: Path, smart: Smart) -> None:
    make_checkpoint(home, "first", make_data(home))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for command, code, said in MISTAKES:
            found = smart(*command.replace("TAKEN", str(taken.getsockname()[1])).split())
            assert (found.exit_code, said in found.stderr) == (code, True), (command, found.stderr)


def test_an_address_is_bound_and_named() -> None:
    with Address(port=0).bind() as bound:
        assert url_of(bound) == f"http://127.0.0.1:{bound.getsockname()[1]}"
    if socket.has_ipv6:
        with Address("::1", 0).bind() as bound:
            assert url_of(bound) == f"http://[::1]:{bound.getsockname()[1]}"


@pytest.mark.parametrize("token", ["", "short", "with blank and length", "0123456789abcdef\n", "ä" * 20])
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMART_SERVE_TOKEN", token)
    with pytest.raises(UserError, match=r"\$SMART_SERVE_TOKEN must be") as caught:
        token_from_environment()
    assert not token or token not in str(caught.value)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    need_packages()
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(
        UserError, match=r"needs prometheus_client; install it with: pip install 'smart-finetune\[serve"
    ):
        need_packages()


def connection(cycle: Any) -> Any:
    closed: list[str] = []
    transport = SimpleNamespace(
        close=lambda: closed.append("closed"), abort=lambda: closed.append("cut"), is_closing=lambda: bool(closed)
    )
    return SimpleNamespaceHash(cycle=cycle, closed=closed, transport=transport)


class SimpleNamespaceHash(SimpleNamespace):
    __hash__ = object.__hash__


def test_a_connection_without_a_request_is_closed_after_a_time() -> None:
    idle = IdleConnections(10)
    silent, busy, active = connection(None), connection(SimpleNamespace(response_complete=False)), connection(None)
    for now in (0.0, 6.0, 9.9):
        idle.sweep([silent, busy, active], now)
        active.cycle = SimpleNamespace(response_complete=True)
        assert silent.closed == busy.closed == active.closed == []
    idle.sweep([silent, busy, active], 10.1)
    assert (silent.closed, busy.closed, active.closed) == (["closed"], [], [])
    idle.sweep([busy, active], 22.0)
    assert (busy.closed, active.closed) == ([], ["closed"])


def test_a_connection_whose_client_reads_nothing_is_cut() -> None:
    idle, unread = IdleConnections(10), connection(SimpleNamespace(response_complete=False))
    # uvicorn closes the connection of an answer that broke off; what is left in its buffer has a reader no more.
    unread.transport.close()
    for now in (0.0, 9.9, 10.1):
        idle.sweep([unread], now)
        assert unread.closed == (["closed"] if now < 10 else ["closed", "cut"])

"""Every TCP connection of the process gets the options by which a machine that cannot be reached is noticed."""

from __future__ import annotations

import socket

import pytest

from smartcli.engine.silence import PROBES, notice_silence, silent_seconds
from smartcli.errors import UserError


def test_connections_get_the_options_and_other_sockets_do_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as near:
        far, _ = server.accept()
        one, other = socket.socketpair()
        with far, one, other, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            before = datagrams.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert notice_silence(50) >= 3
            for end in (near, far):
                assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 50_000
                asks = [end.getsockopt(socket.IPPROTO_TCP, o) for o in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)]
                assert asks == [10, 10]
                assert asks[0] + PROBES * asks[1] == 50
            assert datagrams.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == before
            # The options are the connection's; both ends go on working.
            near.sendall(b"still here")
            assert far.recv(32) == b"still here"


def test_the_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMART_SILENT_SECONDS", raising=False)
    assert silent_seconds() == 60
    monkeypatch.setenv("SMART_SILENT_SECONDS", "300")
    assert silent_seconds() == 300


@pytest.mark.parametrize("value", ["", "4", "soon", "-60", "1e3", "86401"])
def test_a_wrong_variable_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SMART_SILENT_SECONDS", value)
    with pytest.raises(UserError, match="SMART_SILENT_SECONDS must be a whole number of seconds from 5 to 86400"):
        silent_seconds()

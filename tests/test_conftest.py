from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from smartcli.home import Home


def test_a_test_has_an_empty_home_of_its_own(home: Home, tmp_path: Path) -> None:
    assert not home.root.exists()
    assert str(home.root) == os.environ["SMART_HOME"]


def test_the_outside_network_is_closed() -> None:
    with socket.socket() as outside, pytest.raises(OSError, match="tests may not reach"):
        outside.connect(("192.0.2.1", 80))


def test_this_machine_can_be_reached() -> None:
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client.connect(server.getsockname())

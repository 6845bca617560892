"""Every test has a home of its own, no network but this machine, and no settings of the user's shell."""

from __future__ import annotations

import os

# Tiny models gain nothing from threads, and threads that wait for each other starve a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where a test asks for all threads: threads that spin while they wait make a busy machine ten times as slow.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import signal
import socket
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from smartcli.home import Home

_LOCAL = {"localhost", "127.0.0.1", "::1", "0.0.0.0"}
_CLEARED = ("SMART_ENCODER", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_TOKEN", "FORCE_COLOR", "NO_COLOR", "CLICOLOR_FORCE")


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("SMART_HOME", str(root / "smart"))
    monkeypatch.setenv("HF_HOME", str(root / "hf"))
    monkeypatch.setenv("COLUMNS", "120")
    for name in _CLEARED:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _no_outside_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in _LOCAL:
            raise OSError(f"tests may not reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def home() -> Home:
    """The home that the commands of this test use; nothing is in it yet."""
    return Home(Path(os.environ["SMART_HOME"]))


@pytest.fixture
def sighup_heard() -> Iterator[None]:
    """SIGHUP as a shell gives it, also where the tests run under nohup; processes started meanwhile inherit it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@cache
def _app() -> Any:
    from smartcli.cli.app import build_app

    return build_app()


@pytest.fixture
def smart() -> Callable[..., Result]:
    """Run `smart` in this process: `smart("evaluate", "--json")` gives exit_code, stdout and stderr."""

    def run(*arguments: str | Path, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(_app(), [str(word) for word in arguments], input=input)

    return run


@pytest.fixture
def real_data() -> Path:
    """The folder that $SMART_TEST_DATA names; the test is skipped without it."""
    named = os.environ.get("SMART_TEST_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip("needs real data: set SMART_TEST_DATA to a folder that holds cs224n/")
    return Path(named).absolute()

"""A terminal that closes under `smart`: a training is saved, or goes on to its end where SIGHUP is ignored."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pty
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from training import Shop

from smartcli.cli.hangup import outliving_the_terminal
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Runs

LIMIT = 120.0
"""Seconds that a test waits for anything."""
ROOT = Path(__file__).parents[2]
TRAIN = {"sst": 240, "qqp": 240, "sts": 240}


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path, train=TRAIN)


def wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not until():
        assert time.monotonic() < end
        time.sleep(0.005)


class OnATerminal:
    """`smart finetune` as the first process of a terminal of its own, which `hang_up` closes."""

    def __init__(self, shop: Shop, name: str, epochs: int, on_hangup: signal.Handlers) -> None:
        command = [sys.executable, "-m", "smartcli", "finetune", "--encoder", str(shop.encoder), "--name", name]
        command += ["--epochs", str(epochs), "--batch-size", "4", "--lambda", "0", "--threads", "1"]
        self.log = shop.home.runs / name / "log.jsonl"
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGHUP, on_hangup)
            os.environ["PYTHONPATH"] = str(ROOT)
            os.execv(sys.executable, [*command, "--precision", "fp32"])
        os.set_blocking(self.screen, False)

    def has_trained(self) -> bool:
        # What is shown must be read: a full terminal holds the program up.
        with contextlib.suppress(BlockingIOError):
            os.read(self.screen, 65536)
        return self.log.exists() and b'"step"' in self.log.read_bytes()

    def hang_up(self) -> None:
        os.close(self.screen)

    def exit_code(self) -> int:
        found: list[int] = []

        def ended() -> bool:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            found.append(os.waitstatus_to_exitcode(status))
            return pid != 0

        wait(ended)
        return found[-1]


def test_a_training_whose_terminal_closes_saves_and_ends_with_129(shop: Shop) -> None:
    training = OnATerminal(shop, "long", 50, signal.SIG_DFL)
    wait(training.has_trained)
    training.hang_up()
    assert training.exit_code() == 129
    position = Runs(shop.home).open("long").position()
    assert position is not None
    assert 1 <= position["total"] < 50 * 60


def test_a_training_that_ignores_sighup_outlives_its_terminal(shop: Shop) -> None:
    training = OnATerminal(shop, "short", 2, signal.SIG_IGN)
    wait(training.has_trained)
    training.hang_up()
    assert training.exit_code() == 0
    assert Registry(shop.home).names() == ["short"]


class Screen(io.StringIO):
    """A stream that says it is a terminal and fails as it is told."""

    def __init__(self, error: int | None) -> None:
        super().__init__()
        self.error = error

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        return super().write(text)


@contextlib.contextmanager
def shown_on(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "stderr", stream)
    with outliving_the_terminal():
        yield
    assert sys.stderr is stream, "the stream before is back"


def test_another_error_of_a_terminal_is_still_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with shown_on(Screen(errno.ENOSPC), monkeypatch), pytest.raises(OSError, match="No space left"):
        print("a", file=sys.stderr)


def test_a_terminal_that_is_there_shows_all_and_a_file_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, file = Screen(None), io.StringIO()
    with shown_on(screen, monkeypatch):
        print("a", file=sys.stderr)
        assert sys.stderr.isatty()
    assert screen.getvalue() == "a\n"
    with shown_on(file, monkeypatch):
        assert sys.stderr is file

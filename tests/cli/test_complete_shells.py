"""Names are completed in real shells: each types a line, presses Tab, and runs what stands there then."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from saved_rows import save_rows

from smartcli.home import Home
from smartcli.tasks import parse_task_table

SCRIPTS = Path(__file__).parents[2] / "completions"
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], f"source {SCRIPTS}/smart.bash"),
    "zsh": (["zsh", "-f", "-i"], f"fpath=({SCRIPTS} $fpath); autoload -U compinit; compinit -u -D"),
    "fish": (["fish", "--no-config", "-i"], f"source {SCRIPTS}/smart.fish"),
}
TASKS = {"task": [{"name": "mood", "kind": "classification", "text": ["s"], "label": "y", "labels": ["0", "1"]}]}
LINES = {
    "smart show ck": "show ckpt1",
    "smart finetune --data mi": "finetune --data mine",
    "smart finetune --tasks mo": "finetune --tasks mood",
    "smart finetune --recipe pla": "finetune --recipe plain",
    "smart finetune --lamb": "finetune --lambda",
}
SECONDS = 30.0


class Terminal:
    """An interactive shell with a terminal of its own."""

    def __init__(self, shell: str, folder: Path) -> None:
        command, setup = SHELLS[shell]
        self.master, slave = pty.openpty()
        env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "TERM": "dumb", "HOME": str(folder)}
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=env, cwd=folder, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self.shown = b""
        self.type(f"{setup}; echo REA''DY\r")
        self.wait_for(lambda: b"READY" in self.shown)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait_for(self, there: Callable[[], bool]) -> None:
        """Read what is shown until it is `there`; fail with it where that takes too long."""
        until = time.monotonic() + SECONDS
        while not there():
            assert time.monotonic() < until, self.shown.decode(errors="replace")
            if select.select([self.master], [], [], 0.1)[0]:
                self.shown += os.read(self.master, 65536)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def runner(home: Home, tmp_path: Path) -> Path:
    """A folder with a `smart` that completes, and notes its arguments where it is run; the home holds one of each."""
    (home.checkpoints / "ckpt1").mkdir(parents=True)
    rows = {"mood": {"train": [("1", ("good",), 1.0)], "dev": [("1", ("good",), 1.0)]}}
    save_rows(home, "mine", parse_task_table(TASKS, "t"), rows)
    smart = tmp_path / "smart"
    complete = f"{sys.executable} -c 'from smartcli.cli.app import run; run()'; echo >> {tmp_path}/asked"
    smart.write_text(
        f'#!/bin/sh\nif [ -n "$_SMART_COMPLETE" ]; then {complete}; else echo "$*" >> {tmp_path}/ran; fi\n'
    )
    smart.chmod(0o755)
    return tmp_path


@pytest.fixture
def terminal(request: pytest.FixtureRequest, runner: Path) -> Iterator[Terminal]:
    shell = str(request.param)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    opened = Terminal(shell, runner)
    yield opened
    opened.close()


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize("terminal", list(SHELLS), indirect=True)
def test_tab_completes_names_in_a_real_shell(terminal: Terminal, runner: Path) -> None:
    for number, typed in enumerate(LINES, 1):
        asked = len(lines(runner / "asked"))
        terminal.type(f"{typed}\t")
        terminal.wait_for(lambda asked=asked: len(lines(runner / "asked")) > asked)  # type: ignore[misc]
        terminal.type("\r")
        terminal.wait_for(lambda number=number: len(lines(runner / "ran")) == number)  # type: ignore[misc]
    assert [line.strip() for line in lines(runner / "ran")] == list(LINES.values())

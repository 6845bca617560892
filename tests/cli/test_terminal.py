"""What people look at: a real terminal of 80 or 200 columns, without colour, a dumb one, and pipes."""

from __future__ import annotations

import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from fcntl import ioctl

import pytest
from typer.testing import Result

from smartcli.config import Settings, apply
from smartcli.home import Home
from tests.hand_made import make_checkpoint, make_data, predict

Smart = Callable[..., Result]
LONG = "a-rather-long-name-of-a-checkpoint.2"
LOOKING = [
    [],
    ["evaluate"],
    ["show", LONG],
    ["checkpoints", "list"],
    ["data", "list"],
    ["data", "show"],
    ["runs", "list"],
]
WITH_JSON = [words for words in LOOKING if words] + [["doctor"], ["checkpoints", "verify"]]
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7])m")
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
RUN = """
import json, sys
from smartcli.cli.app import run
for words in json.loads(sys.argv[1]):
    try:
        run(words)
    except SystemExit:
        pass
"""


@pytest.fixture
def filled(home: Home) -> Home:
    data = make_data(home)
    settings = {"seed": 3, "lambda": "sst=1,sts=5", "dropout": 0.2}
    make_checkpoint(home, "a", data, predict(data))
    make_checkpoint(
        home, LONG, data, predict(data, wrong=[0, 1]), method="separate sequential smart bregman surgery init",
        settings=apply(Settings(), settings, "test").to_json(),
    )  # fmt: skip
    return home


def on_terminal(commands: list[list[str]], columns: int, **env: str) -> str:
    """What commands show, one after the other, on a terminal of their own."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, json.dumps(commands)], stdin=slave, stdout=slave, stderr=slave,
        env=kept | {"TERM": "xterm-256color"} | env,
    )  # fmt: skip
    os.close(slave)
    shown = b""
    while True:
        try:
            more = os.read(master, 65536)
        except OSError:  # Linux says so when the last process has closed the terminal.
            break
        if not more:
            break
        shown += more
    process.wait()
    os.close(master)
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [80, 200])
def test_nothing_is_cut_or_wider_than_the_terminal(filled: Home, columns: int) -> None:
    shown = ESCAPE.sub("", on_terminal(LOOKING, columns))
    assert max(len(line) for line in shown.splitlines()) <= columns
    assert [line for line in shown.splitlines() if "…" in line and "CKPT …" not in line] == []
    assert re.search(r"checkpoint +method +λ +drop +seed +acc +acc +pearson +overall *\n", shown)


def test_colours_are_the_terminals_own_and_few(filled: Home) -> None:
    shown = on_terminal([*LOOKING, ["evaluate", "nope"], ["evaluate", "--safe-csv"]], 80)
    # Red and yellow of the user's theme, for errors and warnings: readable on dark and on light.
    assert {found.group() for found in COLOUR.finditer(shown)} == {"\x1b[31m", "\x1b[33m"}


def test_no_color_leaves_no_colour_and_a_dumb_terminal_no_escape(filled: Home) -> None:
    commands = [*LOOKING, ["--help"], ["evaluate", "nope"]]
    assert COLOUR.findall(on_terminal(commands, 80, NO_COLOR="1")) == []
    assert "\x1b" not in on_terminal(commands, 80, TERM="dumb")


def test_a_pipe_gets_whole_lines_and_no_escape(smart: Smart, filled: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    for words in LOOKING:
        result = smart(*words)
        assert result.exit_code == 0, result.output
        assert "\x1b" not in result.output
    card = smart("show", LONG).stdout
    assert any(line.startswith("settings ") and "the rest by default" in line for line in card.splitlines())
    assert LONG in smart("checkpoints", "list").stdout


@pytest.mark.parametrize("words", WITH_JSON, ids=" ".join)
def test_json_is_all_that_is_on_stdout(smart: Smart, filled: Home, words: list[str]) -> None:
    result = smart(*words, "--json")
    assert result.exit_code == 0, result.output
    json.loads(result.stdout)


@pytest.mark.parametrize("words", WITH_JSON, ids=" ".join)
def test_quiet_leaves_stderr_empty(smart: Smart, filled: Home, words: list[str]) -> None:
    assert smart("--quiet", *words).stderr == ""

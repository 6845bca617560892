"""`smart init`: what it writes, what it refuses, and what it asks on a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from smartcli.home import Home

Smart = Callable[..., Result]
CTRL_C = "\x03"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
RUN = """
import fcntl, sys, termios
from smartcli.cli.app import run
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
run(sys.argv[1:])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose file leaves open which of two columns is the label."""
    lines = [f"the bin number {i} is full,{('waste', 'roads')[i % 2]},{('no', 'yes', 'no')[i % 3]}" for i in range(30)]
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "notes.csv").write_text("message,about,quick\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "desk"


def written(folder: Path) -> dict[str, Any]:
    (task,) = tomllib.loads((folder / "tasks.toml").read_text(encoding="utf-8"))["task"]
    return task  # type: ignore[no-any-return]


def on_terminal(words: Sequence[object], answers: Sequence[tuple[str, str]], home: Path) -> tuple[int, str]:
    """Run `smart` on a terminal; type each answer once what it answers stands there. Return exit code and screen."""
    master, slave = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "SMART_HOME": str(home)}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *map(str, words)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=env,
        start_new_session=True,
        # Where the tests are a shell's background job they ignore Ctrl-C, and children would inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    os.close(slave)
    shown, waiting, until, again = "", list(answers), time.monotonic() + 60, float("inf")
    while time.monotonic() < until:
        ready, _, _ = select.select([master], [], [], 0.2)
        if ready:
            try:
                more = os.read(master, 65536)
            except OSError:  # Linux says so when the last process has closed the terminal.
                break
            if not more:
                break
            shown += more.decode("utf-8", "replace")
        if waiting and waiting[0][0] in ESCAPE.sub("", shown):
            typed = waiting.pop(0)[1]
            os.write(master, typed.encode())
            again = time.monotonic() + 2 if typed == CTRL_C else float("inf")
        elif time.monotonic() > again:
            # Python loses a Ctrl-C that arrives between its printing the prompt and its reading. On a busy machine a
            # test is fast enough for that; a person presses again.
            os.write(master, CTRL_C.encode())
            again = time.monotonic() + 2
    else:
        process.kill()
    code = process.wait()
    os.close(master)
    assert not waiting, f"was never asked {waiting[0][0]!r}: {shown}"
    return code, ESCAPE.sub("", shown).replace("\r\n", "\n")


def test_off_a_terminal_it_names_the_options_that_answer_and_writes_nothing(smart: Smart, folder: Path) -> None:
    done = smart("init", folder)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "desk: which column is the label? about, quick → --label about or --label quick" in done.stderr.replace(
        "notes:", "desk:"
    )
    assert not (folder / "tasks.toml").exists()


def test_an_option_answers_and_the_guess_is_shown_with_its_reasons(smart: Smart, folder: Path) -> None:
    done = smart("init", folder, "--label", "about")
    assert done.exit_code == 0, done.stderr
    task = written(folder)
    assert (task["text"], task["label"], task["kind"], task["labels"]) == (
        "message",
        "about",
        "binary",
        ["roads", "waste"],
    )
    assert "as you said" in done.stderr
    assert "read it, correct it, then: smart prepare" in done.stderr
    assert smart("prepare", folder, "--name", "desk").exit_code == 0


def test_one_file_of_a_folder_gets_a_table_of_its_own(smart: Smart, folder: Path) -> None:
    (folder / "unrelated.csv").write_text("no label here\n", encoding="utf-8")
    ran = smart("init", folder / "notes.csv", "--label", "about")
    assert ran.exit_code == 0, ran.stderr
    assert (written(folder)["train"], written(folder)["label"]) == ("notes.csv", "about")
    assert f"smart prepare {folder} --encoder minilm" in ran.stderr.replace("\n", " ")


def test_prepare_says_which_command_takes_the_options_that_it_names(smart: Smart, folder: Path) -> None:
    where = f"`smart init {folder / 'notes.csv'}` takes these options"
    assert where in smart("prepare", folder / "notes.csv").stderr
    bare = folder / "bare.csv"
    bare.write_text("message\n" + "".join(f"the bin number {i} is full\n" for i in range(20)), encoding="utf-8")
    refused = smart("prepare", bare)
    assert refused.exit_code == 2
    assert "--label" in refused.stderr
    assert f"`smart init {bare}` takes these options" in refused.stderr


def test_a_table_that_is_there_is_never_overwritten(smart: Smart, folder: Path) -> None:
    (folder / "tasks.toml").write_text("# mine\n", encoding="utf-8")
    done = smart("init", folder, "--label", "about")
    assert done.exit_code == 2
    assert "is there already and is never overwritten" in done.stderr
    assert (folder / "tasks.toml").read_text(encoding="utf-8") == "# mine\n"


def test_on_a_terminal_it_asks_and_asks_again_after_a_word_that_is_no_answer(folder: Path, tmp_path: Path) -> None:
    answers = [("answer", "qick\n"), ("did you mean", "quick\n")]
    code, shown = on_terminal(["init", folder], answers, tmp_path / "home")
    assert code == 0, shown
    assert "which column is the label? about, quick" in " ".join(shown.split())
    assert written(folder)["label"] == "quick"


def test_ctrl_c_at_the_question_writes_nothing(folder: Path, tmp_path: Path) -> None:
    code, shown = on_terminal(["init", folder], [("answer", CTRL_C)], tmp_path / "home")
    assert code == 130, shown
    assert "stopped by Ctrl-C" in shown
    assert not (folder / "tasks.toml").exists()


def test_the_end_of_the_input_at_the_question_writes_nothing(folder: Path, tmp_path: Path) -> None:
    code, shown = on_terminal(["init", folder], [("answer", "\x04")], tmp_path / "home")
    assert code == 1, shown
    assert "nothing was done" in shown
    assert not (folder / "tasks.toml").exists()


def test_no_to_a_question_leaves_everything_as_it_is(smart: Smart, folder: Path, home: Home) -> None:
    assert smart("init", folder, "--label", "about").exit_code == 0
    assert smart("prepare", folder, "--name", "desk").exit_code == 0
    code, shown = on_terminal(["data", "rm", "desk"], [("[y/N]", "n\n")], home.root)
    assert code == 1, shown
    assert "nothing was done" in shown
    assert (home.data / "desk").is_dir()


def test_with_quiet_a_terminal_is_not_asked(folder: Path, tmp_path: Path) -> None:
    code, shown = on_terminal(["--quiet", "init", folder], [], tmp_path / "home")
    assert code == 2
    assert "--label about or --label quick" in " ".join(shown.split())


def test_a_file_called_test_is_divided_with_a_note_and_refused_beside_others(smart: Smart, folder: Path) -> None:
    (folder / "notes.csv").rename(folder / "notes-test.csv")
    done = smart("init", folder, "--label", "about")
    assert done.exit_code == 0, done.stderr
    assert "notes-test.csv is called test, but no train file stands beside it" in " ".join(done.stderr.split())
    assert written(folder)["split"] == {"dev": 0.1, "test": 0.1, "seed": 0}
    (folder / "tasks.toml").unlink()
    (folder / "note-train.csv").write_bytes((folder / "notes-test.csv").read_bytes())
    done = smart("init", folder, "--label", "note:about", "--label", "notes:about")
    assert done.exit_code == 2
    said = " ".join(done.stderr.split())
    assert "notes-test.csv: is called test, but no train file has that name; call it like the files that it" in said
    assert "or leave notes out, with --task note" in said

"""Errors are one message on stderr and an exit code; every command helps itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from smartcli import __version__
from smartcli.cli.app import COMMANDS, build_app, command_tree
from smartcli.cli.group import FriendlyGroup
from smartcli.errors import SmartCliError, Stopped, UserError

Smart = Callable[..., Result]


def every_command(command: Any, path: str = "smart") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from every_command(child, f"{path} {name}")


TREE = dict(every_command(command_tree()))
GROUPS = {path for path, command in TREE.items() if hasattr(command, "commands")}


def test_every_command_of_the_table_is_there() -> None:
    assert {f"smart {entry.name}" for entry in COMMANDS} <= set(TREE)


@pytest.mark.parametrize("path", sorted(set(TREE) - (GROUPS - {"smart"})))
def test_every_command_has_help_with_an_example(path: str) -> None:
    assert f"Example: {path.split()[0]} " in (TREE[path].help or "")


@pytest.mark.parametrize("path", sorted(TREE))
def test_every_option_is_explained(path: str) -> None:
    unexplained = [p.name for p in TREE[path].params if not getattr(p, "help", None)]
    assert unexplained == []


def failing(error: BaseException) -> Result:
    """Run an application whose one command raises `error`."""
    app = typer.Typer(cls=FriendlyGroup, pretty_exceptions_enable=False)

    @app.callback()
    def start(debug: bool = False) -> None:
        """Nothing."""

    @app.command()
    def work() -> None:
        raise error

    return CliRunner().invoke(app, ["work"])


CODES: list[tuple[BaseException, int, str]] = [
    (UserError("label 7 is too high"), 2, "error: label 7 is too high\n"),
    (SmartCliError("disk full"), 1, "error: disk full\n"),
    (
        Stopped("stopped; go on with smart finetune --resume a", 143),
        143,
        "stopped; go on with smart finetune --resume a\n",
    ),
    (KeyboardInterrupt(), 130, ""),
    (typer.Exit(3), 3, ""),
    (ValueError("x [bold] y"), 1, "error: unexpected ValueError: x [bold] y; run the same command with --debug"),
    (MemoryError(), 1, "error: out of memory"),
    (ImportError("x.so: failed to map segment from shared object"), 1, "error: out of memory"),
    (OSError(36, "File name too long", "x" * 500), 1, f"error: {'x' * 100} … {'x' * 60}: File name too long; check"),
]


@pytest.mark.parametrize(("error", "code", "message"), CODES, ids=lambda value: type(value).__name__)
def test_an_error_is_one_message_and_a_code(error: BaseException, code: int, message: str) -> None:
    result = failing(error)
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith(message)
    assert "Traceback" not in result.stderr


def test_debug_shows_where_an_error_comes_from(smart: Smart) -> None:
    quiet, loud = smart("finetune"), smart("finetune", "--debug")
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in loud.stderr
    assert (quiet.exit_code, loud.exit_code) == (2, 2)
    assert loud.stderr.splitlines()[-1] == quiet.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("finetun", "No such command 'finetun'. Did you mean 'finetune'?"),
        ("finetune --lamda 5", 'smart finetune has no option --lamda; did you mean "--lambda"?'),
        ("finetune --home x", "--home is an option of smart itself: put it before finetune"),
        ("data list --version", "--version is an option of smart itself: put it before data list"),
        ("export ckpt1", 'smart has no command export; did you mean "smart checkpoints export"?'),
        ("list", 'did you mean "smart checkpoints list", "smart runs list" or "smart data list"?'),
        ("checkpoints lst", "Did you mean 'list'?"),
        ("show ckpt1 --jsn", 'smart show has no option --jsn; did you mean "--json"?'),
        ("finetune --lambda", "Option '--lambda' requires an argument"),
        ("finetune surplus", "Got unexpected extra argument"),
        ("sweep postgresql://me:hush@h/db", "Got unexpected extra argument(s) (postgresql://***@h/db)"),
        ("--home", "requires an argument"),
    ],
)
def test_a_mistyped_command_line_gets_a_hint(smart: Smart, typed: str, message: str) -> None:
    result = smart(*typed.split())
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr
    assert "--help" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_warning_is_a_line_on_stderr_without_a_file_name() -> None:
    app = typer.Typer(cls=FriendlyGroup)

    @app.callback()
    def start() -> None:
        """Nothing."""

    @app.command()
    def work() -> None:
        warnings.warn("a [red] constant prediction", stacklevel=1)

    result = CliRunner().invoke(app, ["work"])
    assert (result.exit_code, result.stderr) == (0, "warning: a [red] constant prediction\n")


def test_version(smart: Smart) -> None:
    result = smart("--version")
    assert (result.exit_code, result.stdout) == (0, f"smart-finetune {__version__}\n")


def test_home_option_goes_over_the_variable(smart: Smart, tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "elsewhere").mkdir(parents=True)
    assert "elsewhere" in smart("--home", tmp_path).stdout
    assert "elsewhere" not in smart().stdout


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 138), (signal.SIGHUP, 129)])
def test_a_stopping_signal_unwinds_any_command(number: int, exit_code: int) -> None:
    code = (
        # nohup, under which these tests may run, is inherited.
        "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "import sys, time, typer\nfrom smartcli.cli.group import FriendlyGroup\n"
        "app = typer.Typer(cls=FriendlyGroup)\n"
        "@app.callback()\ndef start() -> None: ...\n"
        "@app.command()\ndef work() -> None:\n"
        "    try:\n        print('ready', flush=True); time.sleep(30)\n"
        "    finally:\n        print('unwound', flush=True)\n"
        "typer.main.get_command(app).main(['work'])\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.read() == "unwound\n"
        assert process.wait(timeout=10) == exit_code


def test_a_closed_pipe_is_no_error_message(tmp_path: Path) -> None:
    command = f"{sys.executable} -m smartcli finetune --help | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    assert "error" not in done.stderr


def test_ctrl_c_while_the_program_starts_shows_no_traceback() -> None:
    code = (
        # A shell's background job starts with SIGINT ignored, and so would this.
        "import builtins, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from smartcli.__main__ import main\nreal = builtins.__import__\n"
        "def slow(name, *rest):\n    if name == 'typer': signal.raise_signal(signal.SIGINT)\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = slow\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
@pytest.mark.parametrize(
    ("where", "code", "said"),
    [
        ("> /dev/full", 1, "error: could not write the output: No space left on device"),
        ("2> /dev/full", 0, ""),
        (">&-", 0, ""),
        ("> /dev/full 2> /dev/full", 1, ""),
    ],
)
def test_output_onto_a_full_disk_ends_with_a_message_and_a_code(where: str, code: int, said: str) -> None:
    command = f"{sys.executable} -m smartcli checkpoints list --json {where}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == code
    assert done.stderr.startswith(said) if said else done.stderr == ""


def test_help_is_the_same_where_only_named_commands_are_built() -> None:
    whole, slim = command_tree(), command_tree(lambda name: name == "evaluate")
    assert {n: c.help for n, c in whole.commands.items()} == {n: c.help for n, c in slim.commands.items()}
    assert len(slim.commands["evaluate"].params) == len(whole.commands["evaluate"].params)
    assert slim.commands["finetune"].params == []


def test_the_application_can_be_built_twice() -> None:
    assert build_app() is not build_app()

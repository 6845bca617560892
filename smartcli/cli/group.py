"""The one place where errors become a message on stderr and an exit code."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn

from rich.console import Console
from typer.core import TyperGroup
from typer.exceptions import Abort, TyperException

from smartcli import ranks
from smartcli.cli.arguments import rewrite
from smartcli.cli.hangup import discard, outliving_the_terminal
from smartcli.errors import SaidElsewhere, SmartCliError, Stopped
from smartcli.hidden import hidden
from smartcli.visible import visible
from smartcli.workflows.training.signals import stopping_signals

_NO_MEMORY = ("DefaultCPUAllocator", "failed to map segment")
_NO_COMMAND = re.compile(r"No such command '([\w-]+)'")


class FriendlyGroup(TyperGroup):
    """A Typer group whose errors are one message: exit 2 for the user's input, 1 for a failure, 130 for Ctrl-C."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Parse, run the command, and exit with its code."""
        words = rewrite(sys.argv[1:] if args is None else args)
        debug = "--debug" in words[:2]
        _end_on_signals()
        with warnings.catch_warnings(), outliving_the_terminal():
            if not debug:
                warnings.showwarning = _show_warning
            try:
                code = super().main(words, prog_name, complete_var, False, windows_expand_args, **extra)
                if sys.stdout is not None:
                    sys.stdout.flush()
            except KeyboardInterrupt:
                code = _say("stopped by Ctrl-C", 130)
            except Abort as error:
                # A question was left by Ctrl-C, by the end of the input, or with a no.
                stopped = isinstance(error.__context__, KeyboardInterrupt)
                code = _say("stopped by Ctrl-C", 130) if stopped else _say("nothing was done", 1)
            except TyperException as error:
                code = _say_usage(error, self.complete)
            except SaidElsewhere as error:
                code = error.exit_code
            except SmartCliError as error:
                if debug:
                    traceback.print_exc()
                code = _say(str(error) if isinstance(error, Stopped) else f"error: {error}", error.exit_code)
            except BrokenPipeError:
                discard(sys.stdout)
                code = 1
            except OSError as error:
                if debug:
                    traceback.print_exc()
                code = _failed_to_say(error) if error.filename is None else _say(_unexpected(error), 1)
            except Exception as error:
                if debug:
                    traceback.print_exc()
                code = _say(_unexpected(error), 1)
        sys.exit(code if isinstance(code, int) else 0)

    def complete(self) -> TyperGroup:
        """Return the group with all below it; this one may have been built with what the command line names alone."""
        return self


def _console() -> Console:
    return Console(stderr=True)


def _say(message: str, code: int) -> int:
    style = "red" if message.startswith("error:") else None
    if not ranks.is_main_process():
        if style is None:
            return code
        message = f"process {ranks.rank()}: {message}"
    try:
        _console().print(visible(message), style=style, markup=False, highlight=False, soft_wrap=True)
    except OSError:
        discard(sys.stderr)
    return code


def _say_usage(error: TyperException, complete: Callable[[], TyperGroup]) -> int:
    """Print what is wrong with the command line, the near option if any, and where the help is."""
    if not ranks.is_main_process():
        # All processes of a training have the same command line.
        ranks.wait_for_first_report()
        return error.exit_code
    if type(error).__name__ == "NoArgsIsHelpError":
        return error.exit_code
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "smart"
    message = hidden(error.format_message().rstrip("."))
    if type(error).__name__ == "NoSuchOption":
        message = _no_such_option(command, str(getattr(error, "option_name", "")), error, context)
    elif command == "smart" and (found := _NO_COMMAND.match(message)) and (near := _below(found[1], complete())):
        message = f"smart has no command {found[1]}; did you mean {near}?"
    joint = "" if message.endswith("?") else "."
    return _say(f"error: {message}{joint} See {command} --help", error.exit_code)


def _no_such_option(command: str, option: str, error: TyperException, context: Any) -> str:
    """Say that there is none, and what was meant; global options belong before the command."""
    root = context.find_root().command if context is not None and context.parent is not None else None
    if root is not None and any(option in parameter.opts for parameter in root.params):
        return f"{option} is an option of smart itself: put it before {command.removeprefix('smart ')}"
    near = getattr(error, "possibilities", None)
    return f"{command} has no option {option}" + (f'; did you mean "{near[0]}"?' if near else "")


def _below(name: str, app: TyperGroup) -> str:
    """Return the commands that have `name` one level down, as one says alternatives; empty where none has."""
    groups = app.commands.items()
    found = [f'"smart {group} {name}"' for group, command in groups if name in getattr(command, "commands", {})]
    return " or ".join(part for part in (", ".join(found[:-1]), *found[-1:]) if part)


def _unexpected(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        named = os.fsdecode(error.filename)
        shown = named if len(named) <= 200 else f"{named[:100]} … {named[-60:]}"
        return f"error: {shown}: {error.strerror or error}; check the path, and --home or $SMART_HOME"
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    # The last is what the loader says of a library that there is no room for.
    if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
        return (
            f"error: out of memory ({what}); free memory and run it again, a training with a lower --batch-size or "
            "--max-length, predict with fewer rows"
        )
    return f"error: unexpected {what}; run the same command with --debug to see where it comes from"


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    unheard = DeprecationWarning | PendingDeprecationWarning | FutureWarning | ImportWarning
    if ranks.is_main_process() and not issubclass(category, unheard):
        _console().print(visible(f"warning: {message}"), style="yellow", markup=False, highlight=False, soft_wrap=True)


def _failed_to_say(error: OSError) -> int:
    """Return the exit code where stdout or stderr takes no more, as on a full disk; say so where it can be heard."""
    code = _say(f"error: could not write the output: {error.strerror or error}; make room for it and run it again", 1)
    discard(sys.stdout)
    return code


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signum)


def _end_on_signals() -> None:
    """Let SIGTERM, SIGUSR1 and SIGHUP unwind the stack: temporary files go, the exit code is 128 and the number."""
    if threading.current_thread() is threading.main_thread():
        for number in stopping_signals():
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _terminate)

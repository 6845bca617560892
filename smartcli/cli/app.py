"""The `smart` application: global options, the table of commands, and errors turned into exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple, cast

import typer
from typer.core import TyperGroup

from smartcli import __version__, ranks
from smartcli.cli.group import FriendlyGroup
from smartcli.cli.help import tidy_help
from smartcli.cli.state import make_state
from smartcli.home import find_home


class Entry(NamedTuple):
    """A command: its name, the module below `smartcli.cli`, the function or sub-application in it, its panel."""

    name: str
    module: str
    attribute: str
    panel: str


COMPLETION_VARIABLE = "_SMART_COMPLETE"
_TRAIN, _SCORE, _KEEP = "Prepare and train", "Score and use", "Look after"

COMMANDS: tuple[Entry, ...] = (
    Entry("init", "init", "init", _TRAIN),
    Entry("prepare", "prepare", "prepare", _TRAIN),
    Entry("pretrain-qqp", "pretrain_qqp", "pretrain_qqp", _TRAIN),
    Entry("pretrain-text", "pretrain_text", "pretrain_text", _TRAIN),
    Entry("finetune", "finetune", "finetune", _TRAIN),
    Entry("distill", "distill", "distill", _TRAIN),
    Entry("sweep", "sweep", "sweep", _TRAIN),
    Entry("ensemble", "ensemble", "ensemble", _SCORE),
    Entry("soup", "soup", "soup", _SCORE),
    Entry("evaluate", "evaluate", "evaluate", _SCORE),
    Entry("compare", "comparing", "compare", _SCORE),
    Entry("predict", "predict", "predict", _SCORE),
    Entry("serve", "serve", "serve", _SCORE),
    Entry("bench-serve", "bench_serve", "bench_serve", _SCORE),
    Entry("explain", "explain", "explain", _SCORE),
    Entry("reproduce", "reproduce", "reproduce", _SCORE),
    Entry("report", "report", "report", _SCORE),
    Entry("show", "show", "show", _KEEP),
    Entry("checkpoints", "checkpoints", "app", _KEEP),
    Entry("runs", "runs", "app", _KEEP),
    Entry("data", "data", "app", _KEEP),
    Entry("check", "check", "check", _KEEP),
    Entry("doctor", "doctor", "doctor", _KEEP),
)


PREDICTING = frozenset({"compare", "ensemble", "evaluate", "explain", "predict", "reproduce", "report", "soup"})
"""Commands that may run a model; a training sees to its memory itself, when it chooses its device."""


def _version(value: bool) -> None:
    if value:
        typer.echo(f"smart-finetune {__version__}")
        raise typer.Exit


def start(
    ctx: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(
            "--home",
            metavar="PATH",
            help="Where data sets, checkpoints and runs are kept (default: $SMART_HOME, else the user data folder).",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, only results, warnings and errors.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Fine-tune one small encoder for several sentence tasks at once, with SMART regularisation.

    Example: smart prepare demo, then smart finetune, then smart evaluate
    """
    if ctx.invoked_subcommand not in ranks.TRAININGS:
        ranks.refuse(f"smart {ctx.invoked_subcommand}" if ctx.invoked_subcommand else "smart")
    ctx.obj = make_state(find_home(home), quiet=quiet, debug=debug)
    if ctx.invoked_subcommand in PREDICTING:
        # Here, not where a model is loaded: in a program that loads one through the Python API, malloc is not ours.
        from smartcli.engine.memory import keep_freed_memory

        keep_freed_memory()
    if ctx.invoked_subcommand is None:
        from smartcli.cli.welcome import welcome

        welcome(ctx)


class SmartGroup(FriendlyGroup):
    """The group of all commands, which knows how to build those that the command line left out."""

    def complete(self) -> TyperGroup:
        return command_tree()


def _named_only(found: Any) -> Any:
    """Return a stand-in with the help of a command or sub-application and none of its parameters."""
    if isinstance(found, typer.Typer):
        return typer.Typer(help=found.info.help, callback=found.info.callback)

    def stand_in() -> None:
        raise AssertionError("only its help is shown")

    stand_in.__doc__ = found.__doc__
    return stand_in


def build_app(whole: Callable[[str], bool] = lambda name: True) -> typer.Typer:
    """Return the application with every command of `COMMANDS`; those that `whole` refuses have their help alone."""
    app = typer.Typer(
        name="smart",
        cls=SmartGroup,
        callback=start,
        invoke_without_command=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    for entry in COMMANDS:
        found: Any = getattr(importlib.import_module(f"smartcli.cli.{entry.module}"), entry.attribute)
        if not whole(entry.name):
            found = _named_only(found)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=entry.name, rich_help_panel=entry.panel)
        else:
            app.command(entry.name, rich_help_panel=entry.panel)(found)
    return app


def command_tree(whole: Callable[[str], bool] = lambda name: True) -> TyperGroup:
    """Return the application as the command object that parses, with its help texts in their final form."""
    group = typer.main.get_command(build_app(whole))
    tidy_help(group)
    return cast(TyperGroup, group)


def run(arguments: list[str] | None = None) -> None:
    """Run `smart` and exit with its code.

    Building the parameters of all commands takes longer than most commands that look something up, so
    only those that the arguments name are built whole; shell completion gets them all.
    """
    words = sys.argv[1:] if arguments is None else arguments
    completing = COMPLETION_VARIABLE in os.environ
    command_tree(lambda name: completing or name in words).main(args=words, prog_name="smart")

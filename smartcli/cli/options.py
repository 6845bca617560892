"""The training options as Typer parameters, built from `config.OPTIONS`: no list is written twice."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from smartcli.cli import complete
from smartcli.config import PerTask, Settings, field_of
from smartcli.option_table import OPTIONS, Option

_PANEL = "Run"
_COMPLETERS: dict[str, Callable[..., list[str]]] = {
    "data": complete.data_sets,
    "encoder": complete.encoders,
    "init": complete.checkpoints,
    "teacher": complete.checkpoints,
    "tasks": complete.tasks,
    "surgery": complete.choices("none", "pcgrad"),
    "epochs": complete.task_values,
    "batch_size": complete.task_values,
    "lambda": complete.task_values,
    "mu": complete.task_values,
}

Jobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        metavar="N",
        help="Train N cells at a time, each in a process of its own; they share the threads and the GPU.",
        rich_help_panel="Cells",
    ),
]
"""The option of the commands that train several cells."""


@dataclass(frozen=True)
class TrainingOptions:
    """What the command line gave: `flags` holds the given ones only, by option key."""

    flags: dict[str, Any]
    config: Path | None
    recipe: str | None


def _metavar(option: Option) -> str:
    if option.choices:
        return "|".join(option.choices)
    if option.type.startswith("task-"):
        return "N|task=N,…"
    names = {
        "data": "NAME",
        "encoder": "ID|DIR|minilm",
        "revision": "REV",
        "init": "CKPT",
        "teacher": "CKPT",
        "unlabelled": "FILE|task=FILE,…",
        "tasks": "TASK,…",
    }
    return names.get(option.key) or {"int": "N", "float": "F", "str": "NAME", "bool": ""}[option.type]


def _default(option: Option, defaults: Mapping[str, object]) -> str:
    usual = next(f.default for f in fields(Settings) if f.name == field_of(option.key))
    value = defaults.get(option.key, usual)
    if isinstance(value, PerTask):
        value = value.default
    if value is None or isinstance(value, bool) or "default" in option.help:
        return ""
    return f" Default: {value:g}." if isinstance(value, float) else f" Default: {value}."


def _parameter(option: Option, defaults: Mapping[str, object]) -> inspect.Parameter:
    completer = complete.choices(*option.choices) if option.choices else _COMPLETERS.get(option.key)
    annotation: Any = Annotated[
        (bool if option.type == "bool" else str) | None,
        typer.Option(
            option.flag,
            metavar=_metavar(option),
            help=option.help + _default(option, defaults),
            rich_help_panel=option.panel,
            show_default=False,
            autocompletion=completer,
        ),
    ]
    return inspect.Parameter(field_of(option.key), inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _extra(name: str, annotation: Any, flag: str, help: str, **more: Any) -> inspect.Parameter:
    info = typer.Option(flag, help=help, rich_help_panel=_PANEL, show_default=False, **more)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[annotation, info])


@cache
def _settings(defaults: tuple[tuple[str, object], ...] = ()) -> list[inspect.Parameter]:
    return [_parameter(option, dict(defaults)) for option in OPTIONS]


@cache
def _extras() -> list[inspect.Parameter]:
    """Options of a training command that are no settings: they say where settings come from and go to."""
    return [
        _extra("name", str | None, "--name", "Name of the checkpoint (default: the next ckptN).", metavar="NAME"),
        _extra(
            "recipe",
            str | None,
            "--recipe",
            "Named settings that come with smart-finetune.",
            metavar="NAME",
            autocompletion=complete.recipes,
        ),
        _extra(
            "config",
            Path | None,
            "--config",
            "TOML file of training options; a flag given here wins.",
            metavar="FILE",
        ),
        _extra(
            "paper_optimizer",
            bool | None,
            "--paper-optimizer",
            "The paper's learning rate, epochs and decay in place of the encoder preset's.",
        ),
        _extra(
            "resume",
            str | None,
            "--resume",
            "Go on with an interrupted run: alone (auto) with this command's, or with the named one.",
            metavar="auto|RUN",
            autocompletion=complete.resumable,
        ),
        _extra(
            "track",
            list[str] | None,
            "--track",
            "Send the log's numbers to tensorboard[:DIR], mlflow[:URI] or wandb[:PROJECT] too; once a tracker.",
            metavar="TRACKER[:WHERE]",
            autocompletion=complete.choices("tensorboard", "mlflow", "wandb", "none"),
        ),
        _extra(
            "dry_run",
            bool | None,
            "--dry-run",
            "Print the settings in force, what would be trained, and the memory and time of it; train nothing.",
        ),
    ]


def training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command(ctx, options, …)` every training option; its own further parameters stay first."""
    return _with(command, [*_settings(), *_extras()])


def options_among(
    names: Sequence[str], defaults: Mapping[str, object]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the training options of these keys alone, as `training_options` does with all.

    `defaults` are the command's own, for its help.
    """
    fields_of = {field_of(name) for name in names}
    return lambda command: _with(
        command, [p for p in (*_settings(tuple(defaults.items())), *_extras()) if p.name in fields_of]
    )


def _with(command: Callable[..., None], given: list[inspect.Parameter]) -> Callable[..., None]:
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "options"]
    keys = {field_of(option.key): option.key for option in OPTIONS}
    loose = [p.name for p in _extras() if p.name not in ("config", "recipe")]

    def run(**values: Any) -> None:
        flags = {keys[name]: values.pop(name) for name in list(keys) if values.get(name) is not None}
        flags |= {name: values[name] for name in loose if values.get(name) not in (None, [])}
        options = TrainingOptions(flags, values.get("config"), values.get("recipe"))
        command(options=options, **{p.name: values[p.name] for p in own})

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    parameters += given
    run.__signature__ = inspect.Signature(parameters, return_annotation=None)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
    return run

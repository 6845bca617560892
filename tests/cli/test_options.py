"""Each training option on the command line is an entry of `config.OPTIONS`, and reaches the settings."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from smartcli.cli.app import command_tree
from smartcli.cli.group import FriendlyGroup
from smartcli.cli.options import TrainingOptions, training_options
from smartcli.option_table import OPTIONS, Option

EXTRA = {"--name", "--track", "--recipe", "--config", "--paper-optimizer", "--resume", "--dry-run"}
OWN = {"finetune": {"--folds", "--jobs"}, "pretrain-qqp": set[str]()}
TRAINING = tuple(OWN)


def parse(*arguments: str) -> TrainingOptions:
    """What a training command gets for `arguments`."""
    seen: list[TrainingOptions] = []
    app = typer.Typer(cls=FriendlyGroup)

    @app.callback()
    def start() -> None:
        """Nothing."""

    @app.command()
    @training_options
    def train(ctx: typer.Context, options: TrainingOptions) -> None:
        seen.append(options)

    result = CliRunner().invoke(app, ["train", *arguments])
    assert result.exit_code == 0, result.output
    return seen[0]


@pytest.mark.parametrize("command", TRAINING)
def test_a_training_command_has_the_options_of_the_table_and_no_others(command: str) -> None:
    flags = {name for parameter in command_tree().commands[command].params for name in parameter.opts}
    assert flags == {option.flag for option in OPTIONS} | EXTRA | OWN[command]


def value_for(option: Option) -> str:
    if option.choices:
        return option.choices[-1]
    return {"names": "a,b", "str": "word"}.get(option.type, "1")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.key)
def test_a_given_option_is_handed_on_under_its_key(option: Option) -> None:
    given: list[str] = [option.flag] if option.type == "bool" else [option.flag, value_for(option)]
    expected: dict[str, Any] = {option.key: True if option.type == "bool" else value_for(option)}
    assert parse(*given).flags == expected


def test_options_that_are_not_given_are_left_to_other_layers() -> None:
    assert parse() == TrainingOptions({}, None, None)


def test_where_settings_come_from_and_go_to() -> None:
    options = parse("--name", "a", "--recipe", "paper", "--config", "x.toml", "--resume", "--dry-run")
    assert options.flags == {"name": "a", "resume": "auto", "dry_run": True}
    assert (options.recipe, str(options.config)) == ("paper", "x.toml")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.key)
def test_help_names_every_choice_and_default(option: Option) -> None:
    parameter = next(p for p in command_tree().commands["finetune"].params if option.flag in p.opts)
    assert all(choice in parameter.metavar for choice in option.choices)
    assert option.help.split("[")[0] in parameter.help

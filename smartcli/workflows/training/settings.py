"""Every training option in force: default < encoder preset < recipe < `--config` < flag."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smartcli.config import PerTask, Settings, apply, check_task_names, field_of
from smartcli.errors import UserError
from smartcli.families.encoder_files import absolute
from smartcli.home import Home
from smartcli.option_table import OPTION_OF, OPTIONS, RUN_ONLY, TEXT_DEFAULTS
from smartcli.workflows.tracking.track_option import TrackTarget, read_targets
from smartcli.workflows.training.balance_checks import check_balance
from smartcli.workflows.training.kind_checks import check_kinds
from smartcli.workflows.training.setting_sources import (
    LOOSE,
    OPTIMIZER,
    SettingSource,
    config_source,
    flag_source,
    preset_source,
    recipe_source,
)
from smartcli.workflows.training.unlabelled import absolute_files

if TYPE_CHECKING:
    from smartcli.data.store import DataSet

INHERITED = ("encoder", "revision", "pair_mode", "pooling")
"""What `--init` brings; another value beside it is refused."""
ENCODER_VARIABLE = "SMART_ENCODER"


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """Settings in force for one training, with where they come from.

    `sources` has a word for each option key: default, data set, preset NAME, recipe NAME, --config,
    command line, $SMART_ENCODER or --init NAME. `given` are the keys that the user set (recipe, file or
    flag), which a resumed run must agree with.
    """

    settings: Settings
    data_set: DataSet
    encoder: str
    sources: dict[str, str]
    given: frozenset[str]
    name: str | None = None
    resume: str | None = None
    dry_run: bool = False
    track: tuple[TrackTarget, ...] | None = None
    """Trackers of `--track`; None where it is not given."""
    latest_data: bool = False
    """Whether the data set is the one prepared last, for want of `--data`."""


@dataclass(frozen=True)
class _Initial:
    """What the checkpoint of `--init` brings."""

    name: str
    values: dict[str, Any]


def resolve(
    home: Home,
    command: str,
    flags: Mapping[str, Any],
    config_file: Path | None = None,
    recipe: str | None = None,
) -> Resolved:
    """Return the settings of `command` ("finetune", "pretrain-qqp", …) from all sources.

    `flags` has the given flags by option key (`lambda`, `batch_size`, also those of `LOOSE`). Errors are
    UserErrors that name the flag, or the file and line.
    """
    from smartcli.data.store import open_data
    from smartcli.registry.names import check_name

    by_user = _user_sources(flags, config_file, recipe)
    loose = {key: source.values[key] for source in by_user for key in LOOSE if key in source.values}
    if "name" in loose:
        check_name(loose["name"], "--name")
    wanted = _on_top(Settings(), by_user)
    data_set = open_data(home, wanted.data)
    check_task_names(wanted, data_set.tasks.names)
    check_kinds(wanted, data_set.tasks)
    initial = _initial(home, wanted.init)
    encoder, encoder_source = _encoder(wanted, by_user, data_set, initial)
    preset = None if command == "pretrain-text" else preset_source(encoder)

    settings = _defaults(command, wanted.schedule, data_set.tasks.names)
    sources = dict.fromkeys(OPTION_OF, "default")
    if preset is not None:
        settings, used = _put_preset(settings, preset, command, bool(loose.get("paper_optimizer")))
        sources |= dict.fromkeys(used, preset.source)
    if initial is not None:
        settings = apply(settings, initial.values, f"--init {initial.name}")
        sources |= dict.fromkeys(initial.values, f"--init {initial.name}")
    settings = _on_top(settings, by_user)
    for source in by_user:
        sources |= {key: source.source for key in source.values if key in OPTION_OF}
    if initial is not None:
        _refuse_other(settings, initial, by_user)
    settings = replace(settings, data=data_set.name, encoder=encoder)
    if settings.unlabelled is not None:
        settings = replace(settings, unlabelled=absolute_files(settings.unlabelled))
    sources["encoder"] = encoder_source
    if wanted.data is None:
        sources["data"] = "prepared last"
    if command == "pretrain-qqp":
        settings = _one_task(settings, data_set.tasks.names)
    check_balance(settings, settings.tasks or data_set.tasks.names)
    return Resolved(
        settings=settings,
        data_set=data_set,
        encoder=encoder,
        sources=sources,
        given=frozenset(key for source in by_user for key in source.values if key in OPTION_OF),
        name=loose.get("name"),
        resume=loose.get("resume"),
        dry_run=bool(loose.get("dry_run")),
        track=read_targets(loose.get("track", ())),
        latest_data=wanted.data is None,
    )


def adopt(resolved: Resolved, stored: Settings, run: str) -> Settings:
    """Return the settings with which the run `run` goes on: its own, and the new values of `RUN_ONLY`.

    A given option that differs from the run's is a UserError naming the flag and both values.
    """
    for key in sorted(resolved.given - RUN_ONLY):
        asked, kept = getattr(resolved.settings, field_of(key)), getattr(stored, field_of(key))
        if not same_value(asked, kept):
            raise UserError(
                f'{OPTION_OF[key].flag} is {show(asked)} here, but the run "{run}" was started with {show(kept)}; '
                f"leave the option out, or start another run under another --name"
            )
    changes = {field_of(key): getattr(resolved.settings, field_of(key)) for key in resolved.given & RUN_ONLY}
    return replace(stored, **changes)


def same_value(one: Any, other: Any) -> bool:
    """Return whether two values of an option mean the same."""
    if isinstance(one, PerTask) and isinstance(other, PerTask):
        named = {task for value in (one, other) for task, _ in value.by_task}
        return one.default == other.default and all(one[task] == other[task] for task in named)
    return bool(one == other)


def show(value: Any) -> str:
    """Return a value as it would be typed."""
    if isinstance(value, PerTask):
        named = ",".join(f"{task}={number:g}" for task, number in value.by_task)
        return f"{value.default:g} ({named})" if named else f"{value.default:g}"
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def in_force(resolved: Resolved) -> list[tuple[str, str, str]]:
    """Return (flag, value, source) of every option, in table order; unset ones without a source are left out."""
    rows = []
    for option in OPTIONS:
        value = getattr(resolved.settings, field_of(option.key))
        source = resolved.sources[option.key]
        if value is not None or source != "default":
            rows.append((option.flag, show(value), source))
    return rows


def _user_sources(flags: Mapping[str, Any], config_file: Path | None, recipe: str | None) -> list[SettingSource]:
    config = config_source(config_file) if config_file is not None else None
    if recipe is None:
        recipe = flags.get("recipe") or (config.values.get("recipe") if config is not None else None)
    sources = [recipe_source(recipe)] if recipe is not None else []
    if config is not None:
        sources.append(config)
    return [*sources, flag_source(flags)]


def _on_top(settings: Settings, sources: list[SettingSource]) -> Settings:
    for source in sources:
        settings = source.put_on(settings)
    return settings


def _defaults(command: str, schedule: str, tasks: tuple[str, ...]) -> Settings:
    from smartcli.data.paper import paper

    settings = Settings()
    if command == "pretrain-text":
        return apply(settings, TEXT_DEFAULTS, command)
    if command == "pretrain-qqp":
        return replace(settings, epochs=PerTask(1))
    if schedule == "sequential":
        named = {task: epochs for task, epochs in paper().sequential_epochs.items() if task in tasks}
        return replace(settings, epochs=settings.epochs.with_tasks(named))
    return settings


def _put_preset(
    settings: Settings, preset: SettingSource, command: str, paper_optimizer: bool
) -> tuple[Settings, list[str]]:
    """Put a preset on; its epochs leave pretrain-qqp's, and those of named tasks in a sequential run."""
    left_out = OPTIMIZER if paper_optimizer else {"epochs"} if command == "pretrain-qqp" else frozenset()
    values = {key: value for key, value in preset.values.items() if key not in left_out}
    by_task = dict(settings.epochs.by_task)
    settings = SettingSource(preset.source, values, preset.where).put_on(settings)
    return replace(settings, epochs=settings.epochs.with_tasks(by_task)), list(values)


def _initial(home: Home, name: str | None) -> _Initial | None:
    if name is None:
        return None
    from smartcli.registry.meta import EncoderRecord
    from smartcli.registry.registry import Registry

    try:
        meta = Registry(home).open(name).meta
    except UserError as error:
        raise UserError(f"--init: {error}") from error
    if meta.kind == "ensemble":
        raise UserError(f"--init {name}: this is an ensemble, which has no weights of its own; name one of its members")
    encoder = meta.encoder or EncoderRecord()
    values = {"encoder": encoder.id, "revision": encoder.revision}
    if meta.kind != "pretrain-text":
        # It has no head, and so nothing that reads pairs or pools.
        values |= {key: meta.settings[key] for key in ("pair_mode", "pooling")}
    return _Initial(name, {key: value for key, value in values.items() if value is not None})


def _encoder(
    wanted: Settings, sources: list[SettingSource], data_set: DataSet, initial: _Initial | None
) -> tuple[str, str]:
    """Return the encoder's name and where the choice comes from."""
    if initial is not None:
        return initial.values["encoder"], f"--init {initial.name}"
    for source in reversed(sources):
        if "encoder" in source.values and wanted.encoder is not None:
            return absolute(wanted.encoder), source.source
    from_variable = os.environ.get(ENCODER_VARIABLE)
    if from_variable:
        return absolute(from_variable), f"${ENCODER_VARIABLE}"
    return data_set.encoder, "data set"


def _refuse_other(settings: Settings, initial: _Initial, sources: list[SettingSource]) -> None:
    for key in INHERITED:
        asked, brought = getattr(settings, key), initial.values.get(key)
        if key in ("pair_mode", "pooling") and key not in initial.values:
            continue
        by = next((source for source in reversed(sources) if key in source.values), None)
        if by is None or asked == brought or (key == "encoder" and _same_folder(asked, brought)):
            continue
        place = OPTION_OF[key].flag if by.source == "command line" else f'{by.where[key]}, "{key}"'
        raise UserError(
            f"{place} is {asked}, but --init {initial.name} brings {brought or 'none'}; "
            f"leave it out, or start without --init"
        )


def _same_folder(one: str, other: str | None) -> bool:
    return other is not None and Path(one).is_dir() and Path(other).is_dir() and Path(one).samefile(other)


def _one_task(settings: Settings, tasks: tuple[str, ...]) -> Settings:
    from smartcli.data.paper import paper

    task = paper().pretrain_task
    if task not in tasks:
        raise UserError(
            f'pretrain-qqp trains the task "{task}", which this data set lacks (it has {", ".join(tasks)}); '
            f"use: smart finetune --tasks {tasks[0]}"
        )
    if settings.tasks not in (None, (task,)):
        raise UserError(f"--tasks is {show(settings.tasks)}, but pretrain-qqp trains {task} alone; leave it out")
    return replace(settings, tasks=(task,))

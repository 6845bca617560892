"""Which run a `--resume` goes on with, and what a finished or taken name means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from smartcli import ranks
from smartcli.config import Settings, field_of
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.option_table import OPTION_OF, OPTIONS, RUN_ONLY
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.meta import EncoderRecord
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Run, Runs
from smartcli.workflows.training.settings import Resolved, adopt, same_value, show


def find_run(home: Home, command: str, name: str | None, resume: str | None) -> Run | Checkpoint | None:
    """Return the interrupted run to go on with, the finished checkpoint of that name, or None: start afresh.

    auto looks at this command's interrupted runs, with `--name` only at that one; several are a UserError
    that lists them.
    """
    if resume is None:
        return None
    runs, registry = Runs(home), Registry(home)
    wanted = name if resume == "auto" else resume
    if resume != "auto" and name is not None and name != resume:
        raise UserError(f"--resume {resume} and --name {name} name two runs; leave out --name")
    if wanted is not None:
        if wanted in registry.names():
            return registry.open(wanted)
        if runs.exists(wanted):
            return _of_command(runs.open(wanted), command)
        if resume != "auto":
            runs.open(resume)
        return None
    found = [run for run in runs.interrupted() if _command_of(run) == command]
    if len(found) > 1:
        names = ", ".join(run.name for run in found)
        raise UserError(
            f"--resume: several {command} runs are interrupted: {names}; name one, as in --resume {found[0].name}"
        )
    return found[0] if found else None


def _command_of(run: Run) -> Any:
    return run.header.command


def _of_command(run: Run, command: str) -> Run:
    other = _command_of(run)
    if other != command:
        raise UserError(
            f'the run "{run.name}" was started by smart {other}; resume it with: smart {other} --resume {run.name}'
        )
    return run


def check_finished(checkpoint: Checkpoint, command: str, resolved: Resolved) -> None:
    """Raise a UserError when a finished checkpoint was not made by this command with these settings and data.

    Only options that were given count where the rest comes from defaults, as when a run goes on.
    """
    meta = checkpoint.meta
    if meta.kind != command:
        raise UserError(
            f'"{checkpoint.name}" exists already, as a checkpoint of kind {meta.kind}; choose another --name'
        )
    stored = Settings.from_json(meta.settings)
    for option in OPTIONS:
        if option.key in RUN_ONLY or option.key not in resolved.given:
            continue
        asked, kept = (getattr(s, field_of(option.key)) for s in (resolved.settings, stored))
        if not same_value(asked, kept):
            raise UserError(
                f'"{checkpoint.name}" is finished already, with {option.flag} {show(kept)}, not {show(asked)}; '
                "choose another --name"
            )
    same_name = meta.data.name == resolved.data_set.name
    if same_name and meta.data.fingerprint != resolved.data_set.fingerprint:
        raise UserError(
            f'"{checkpoint.name}" is finished already, on other content of the data set "{meta.data.name}" '
            f"({meta.data.fingerprint[:12]}, now {resolved.data_set.fingerprint[:12]}); choose another --name"
        )


def as_started(settings: Settings, machine: Mapping[str, Any], given: frozenset[str]) -> Settings:
    """Return `settings` with the threads and the precision with which the run started, where none are given.

    With another number of processes each has other cores, and so its own threads.
    """
    keys = ("threads", "precision") if machine.get("processes", 1) == ranks.size() else ("precision",)
    stored = {key: machine.get(key) for key in keys}
    return replace(settings, **{key: value for key, value in stored.items() if value is not None and key not in given})


def machine_changes(started: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in what the machine differs from the one that the run started on, where results depend on it."""
    was = {"processes": 1, **started}
    keys = ("cpu", "device", "torch", "processes", "threads", "precision")
    return [f"{key} is {now[key]}, but the run started with {was.get(key)}" for key in keys if was.get(key) != now[key]]


def check_encoder(run: Run, about: EncoderRecord) -> None:
    """Raise a UserError when the encoder or its tokenizer is not the one with which the run started."""
    stored, now = run.header.encoder, about.to_json()
    for key, value in stored.to_json().items():
        if now.get(key) != value:
            raise UserError(
                f'the encoder "{stored.id}" was changed since the run "{run.name}" started: its {key} was '
                f"{_short(value)}, now {_short(now.get(key))}; put the old one back, or remove the run with: "
                f"smart runs rm {run.name}"
            )


def _short(value: Any) -> str:
    return str(value)[:16]


@dataclass(frozen=True)
class Settled:
    """What a command will do: go on with the run `found`, show the finished checkpoint `found`, or start afresh."""

    found: Run | Checkpoint | None
    resolved: Resolved
    """What is in force: where a run goes on, its settings and data."""


def settle(home: Home, command: str, resolved: Resolved, name: str | None, resume: str | None) -> Settled:
    """Look for what `--resume` means and take its settings; errors as in `find_run` and `adopt_run`."""
    found = find_run(home, command, name, resume)
    return Settled(found, adopt_run(home, found, resolved) if isinstance(found, Run) else resolved)


def adopt_run(home: Home, run: Run, resolved: Resolved) -> Resolved:
    """Return `resolved` with the settings and the data set of the run that goes on."""
    from smartcli.data.store import open_data

    header = run.header
    settings = adopt(resolved, Settings.from_json(header.settings), run.name)
    data_set = open_data(home, settings.data)
    if data_set.fingerprint != header.data.fingerprint:
        raise UserError(
            f'the data set "{data_set.name}" was changed since the run "{run.name}" started '
            f"({header.data.fingerprint[:12]}, now {data_set.fingerprint[:12]}); prepare the old content again, "
            f"or remove the run with: smart runs rm {run.name}"
        )
    plain = Settings()
    other = {key for key in OPTION_OF if getattr(settings, field_of(key)) != getattr(plain, field_of(key))}
    kept = {key: f"run {run.name}" if key in other else "default" for key in OPTION_OF}
    return replace(
        resolved,
        settings=settings,
        data_set=data_set,
        encoder=settings.encoder or "",
        sources=kept,
        latest_data=False,
    )

"""Several trainings as one piece of work: cells with names that follow from their settings, so that it resumes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from smartcli.atomic import canonical_json
from smartcli.config import Settings
from smartcli.errors import Stopped, UserError
from smartcli.home import Home
from smartcli.log_events import Event
from smartcli.option_table import OPTION_OF, RUN_ONLY
from smartcli.registry.meta import CheckpointMeta

if TYPE_CHECKING:
    from smartcli.workflows.training.settings import Resolved

LONGEST = 64
NOT_COUNTED = RUN_ONLY | {"data", "init", "encoder"}
"""Settings that the digest leaves out, or takes in another form (fingerprint, name of the first checkpoint)."""


@dataclass(frozen=True)
class Cell:
    """One training to do: `options` go over the user's; `pretrain` starts from a QQP checkpoint."""

    id: str
    label: str
    options: Mapping[str, Any]
    seed: int
    pretrain: bool = False


@dataclass(frozen=True)
class Planned:
    """A cell with its name; `flags` are all its options by key, `init` the checkpoint it starts from."""

    cell: Cell
    name: str
    command: str
    flags: Mapping[str, Any]
    init: str | None = None


@dataclass(frozen=True)
class Finished:
    """A cell's checkpoint; `reused` where it was there already."""

    planned: Planned
    meta: CheckpointMeta
    reused: bool


@dataclass(frozen=True)
class Base:
    """What all cells share: the user's own options and where they come from."""

    home: Home
    prefix: str
    flags: Mapping[str, Any]
    config: Path | None = None
    recipe: str | None = None
    pretrain: Mapping[str, Any] = field(default_factory=dict)


class Watcher(Protocol):
    """Hears what happens to the cells of a plan, for a live table."""

    def begin(self, planned: Planned) -> None: ...

    def record(self, planned: Planned, event: Event) -> None: ...

    def end(self, finished: Finished) -> None: ...

    def fail(self, planned: Planned, reason: str) -> None: ...


def plan(base: Base, cells: Sequence[Cell]) -> list[Planned]:
    """Return the trainings in order, a pre-training before the first cell that needs it, each once.

    Every cell's settings are resolved here, so that a wrong value is reported before anything is trained.
    """
    planned: dict[str, Planned] = {}
    digests: dict[str, str] = {}
    for cell in cells:
        init = None
        if cell.pretrain:
            first = _plan_pretraining(base, cell)
            planned.setdefault(first.name, first)
            init = first.name
        flags = {**base.flags, **cell.options, "seed": cell.seed}
        start = init or flags.get("init")
        one = Planned(cell, _name(base, "finetune", cell, flags, start), "finetune", flags, init)
        digest = one.name.rpartition("-")[2]
        if digest in digests:
            raise UserError(f'two cells are the same training: "{digests[digest]}" and "{cell.id}"; drop one')
        digests[digest] = cell.id
        planned[one.name] = one
    return list(planned.values())


def _plan_pretraining(base: Base, cell: Cell) -> Planned:
    # Only what the checkpoint hands on must agree with the cell; the rest is the pre-training's own.
    inherited = {key: cell.options[key] for key in ("pair_mode", "pooling") if key in cell.options}
    flags = {**base.flags, **inherited, **base.pretrain, "seed": cell.seed}
    flags = {key: value for key, value in flags.items() if key not in ("tasks", "schedule", "epochs")}
    first = Cell("pretrain", "QQP first", flags, cell.seed)
    return Planned(first, _name(base, "pretrain-qqp", first, flags, None), "pretrain-qqp", flags)


def _name(base: Base, command: str, cell: Cell, flags: Mapping[str, Any], init: str | None) -> str:
    """Return `PREFIX-CELL-sSEED-DIGEST`; the digest counts settings and data, so other settings have another name.

    A setting at its built-in default does not count, so that an option that a later version adds renames no cell.
    """
    resolved = resolve_cell(base, command, flags)
    usual = Settings().to_json()
    settings = {
        key: value
        for key, value in resolved.settings.to_json().items()
        if key not in NOT_COUNTED and value != usual[key]
    }
    known = [command, settings, resolved.encoder, resolved.data_set.fingerprint, init]
    digest = hashlib.sha256(canonical_json(known)).hexdigest()[:8]
    end = f"-s{cell.seed}-{digest}"
    word = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9._-]", "_", f"{base.prefix}-{cell.id}"))
    return word[: LONGEST - len(end)] + end


def resolve_cell(base: Base, command: str, flags: Mapping[str, Any]) -> Resolved:
    """Return the settings of a cell with these flags, every layer of them read and checked."""
    from smartcli.workflows.training.settings import resolve

    return resolve(base.home, command, flags, base.config, base.recipe)


def run(base: Base, plan: Iterable[Planned], argv: list[str], watcher: Watcher) -> list[Finished]:
    """Train what is not there yet, in order, and return every cell's checkpoint.

    A finished cell is reused, an interrupted one goes on. A signal stops the work between or inside cells;
    the same command then goes on.
    """
    from smartcli.registry.registry import Registry

    registry, finished = Registry(base.home), []
    for one in plan:
        watcher.begin(one)
        if one.name in registry.names():
            done = Finished(one, registry.open(one.name).meta, reused=True)
        else:
            done = Finished(one, train_cell(base, one, argv, partial(watcher.record, one)), reused=False)
        finished.append(done)
        watcher.end(done)
    return finished


def train_cell(base: Base, one: Planned, argv: list[str], listener: Callable[[Event], None]) -> CheckpointMeta:
    """Train a cell, or go on with it, and return its checkpoint's smart.json; Stopped where a signal ended it."""
    from smartcli.workflows.training.train import train

    flags = dict(one.flags) | ({} if one.init is None else {"init": one.init})
    resolved = resolve_cell(base, one.command, flags)
    try:
        outcome = train(base.home, one.command, resolved, name=one.name, resume="auto", argv=argv, listener=listener)
    except Stopped as stopped:
        message = f"stopped in {one.name}; finished cells are kept: run the same command again to go on"
        raise Stopped(message, stopped.exit_code) from stopped
    assert outcome.meta is not None, "a cell trains in one process"
    return outcome.meta


def is_finished(home: Home, planned: Planned) -> bool:
    """Return whether the cell's checkpoint is registered."""
    from smartcli.registry.registry import Registry

    return planned.name in Registry(home).names()


def seeds_from(base: Base, count: int) -> list[int]:
    """Return `count` seeds, counting up from the user's `--seed`, else the one of `--config` (default 0)."""
    if count < 1:
        raise UserError(f"--seeds must be at least 1, found {count}")
    from smartcli.config import read_number

    if "seed" in base.flags or base.config is None:
        first = int(read_number(OPTION_OF["seed"], base.flags.get("seed", 0), "--seed"))
    else:
        first = resolve_cell(base, "finetune", base.flags).settings.seed
    return [first + i for i in range(count)]


def check_all_tasks(resolved: Resolved, what: str) -> None:
    """Raise a UserError where a task is not trained, which the ensemble that `what` makes needs a head for."""
    tasks = resolved.data_set.tasks
    if len(tasks.select(resolved.settings.tasks)) < len(tasks):
        raise UserError(f"{what} makes an ensemble, which needs a head for every task; leave out --tasks")


def check_top(resolved: Resolved) -> None:
    """Raise a UserError where trainings have no head for a task, unless `--init` may bring it: `--top` needs all."""
    if resolved.settings.init is None:
        check_all_tasks(resolved, "--top")


def shared_flags(flags: Mapping[str, Any], fixed: Iterable[str], what: str) -> dict[str, Any]:
    """Return the user's flags without those of the work itself; an option in which the cells differ is refused."""
    resume = flags.get("resume")
    if resume not in (None, "auto"):
        raise UserError(f"--resume {resume}: the cells find their own runs; leave out the name")
    for key in fixed:
        if key in flags:
            raise UserError(f"{OPTION_OF[key].flag} is what {what} varies; leave it out")
    return {key: value for key, value in flags.items() if key not in ("name", "resume", "dry_run", "recipe")}

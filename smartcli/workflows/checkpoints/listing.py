"""What is on disk: lists of checkpoints and runs, and the card of one checkpoint."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from smartcli.errors import SmartCliError
from smartcli.home import Home
from smartcli.log_events import DevEvent, read_log
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.meta import CheckpointMeta, Reference
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Run, Runs
from smartcli.report.history import dev_curves, score_of

LOG = "log.jsonl"


@dataclass(frozen=True)
class CheckpointLine:
    """One line of `checkpoints list`; a damaged checkpoint has nothing but its name and the reason."""

    name: str
    kind: str = ""
    method: str = ""
    data: str = ""
    overall: float | None = None
    size: int = 0
    created: str = ""
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        keys = ("name", "kind", "method", "data", "overall", "size", "created")
        return {key: getattr(self, key) for key in keys} | {"problem": self.problem or None}


@dataclass(frozen=True)
class RunLine:
    """One line of `runs list`: the process that trains it, or None when it was interrupted."""

    name: str
    command: str
    pid: int | None
    step: int | None
    size: int
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        state = "running" if self.pid is not None else "interrupted"
        rest = {"step": self.step, "pid": self.pid, "size": self.size, "problem": self.problem or None}
        return {"name": self.name, "command": self.command, "state": state, **rest}


@dataclass(frozen=True)
class Card:
    """Everything about one checkpoint that fits on a screen."""

    name: str
    kind: str
    method: str
    command: str
    data: str
    fingerprint: str
    encoder: str
    settings: dict[str, Any]
    scores: dict[str, Any]
    """Task to `{metric: value, "n": n}` on dev; `overall` a number or None."""
    curve: dict[str, list[float]]
    """Dev score by epoch, of each task and overall."""
    best_epoch: int | None
    made_from: list[str]
    named_by: list[str]
    size: int
    seconds: float | None
    created: str
    manifest_hash: str

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def list_checkpoints(home: Home) -> list[CheckpointLine]:
    """Return a line for each checkpoint, in natural order, damaged ones with the reason."""
    registry = Registry(home)
    found, problems = registry.scan()
    lines = {checkpoint.name: _line(checkpoint) for checkpoint in found}
    for problem in problems:
        reason = f"{problem.file}: {problem.reason}" if problem.file else problem.reason
        lines[problem.checkpoint] = CheckpointLine(problem.checkpoint, problem=reason)
    return [lines[name] for name in registry.names() if name in lines]


def list_runs(home: Home) -> list[RunLine]:
    """Return a line for each run in progress or interrupted; one that is finished meanwhile is left out."""
    return [line for run in Runs(home).list() if (line := _run_line(run)) is not None]


def show_checkpoint(home: Home, name: str) -> Card:
    """Return the card of a checkpoint; errors as for `Registry.open`."""
    registry = Registry(home)
    checkpoint = registry.open(name)
    meta = checkpoint.meta
    encoder, metrics = meta.encoder, meta.metrics
    return Card(
        name=name,
        kind=checkpoint.kind,
        method=str(meta.method),
        command=shlex.join(str(word) for word in meta.command),
        data=str(meta.data.name),
        fingerprint=checkpoint.fingerprint,
        encoder="" if encoder is None else f"{encoder.id}{encoder.revision_words}",
        settings=meta.settings,
        scores={task: metrics[task] for task in [*_tasks(meta), "overall"] if task in metrics},
        curve=_curve(checkpoint),
        best_epoch=meta.best_epoch,
        made_from=[_state_of(registry, one) for one in meta.lineage.references],
        named_by=registry.dependents(name),
        size=checkpoint.size,
        seconds=meta.seconds,
        created=str(meta.created or ""),
        manifest_hash=checkpoint.manifest_hash,
    )


def _line(checkpoint: Checkpoint) -> CheckpointLine:
    meta = checkpoint.meta
    return CheckpointLine(
        name=checkpoint.name,
        kind=checkpoint.kind,
        method=str(meta.method),
        data=str(meta.data.name),
        overall=score_of(meta.overall),
        size=checkpoint.size,
        created=str(meta.created or ""),
    )


def _run_line(run: Run) -> RunLine | None:
    owner = run.owner()
    pid = owner.pid if owner is not None else None
    try:
        header = run.header
        command = header.argv or header.command
        position = run.position() or {}
    except (SmartCliError, OSError) as error:
        return RunLine(run.name, "", pid, None, run.size, problem=str(error)) if run.folder.is_dir() else None
    text = shlex.join(str(word) for word in command) if isinstance(command, list) else str(command)
    step = position.get("total", position.get("step"))
    return RunLine(run.name, text, pid, step if isinstance(step, int) else None, run.size)


def _tasks(meta: CheckpointMeta) -> list[str]:
    names = [task.get("name") for task in meta.tasks if isinstance(task, dict)]
    return [str(name) for name in names] or [task for task in meta.metrics if task != "overall"]


def _curve(checkpoint: Checkpoint) -> dict[str, list[float]]:
    if not checkpoint.has(LOG):
        return {}
    events = read_log(checkpoint.read(LOG), f"{checkpoint.name}/{LOG}")
    curves = {name: list(curve.values) for name, curve in dev_curves(events, _tasks(checkpoint.meta)).items()}
    overall = [event.overall for event in events if isinstance(event, DevEvent) and event.overall is not None]
    return curves | ({"overall": overall} if overall else {})


def _state_of(registry: Registry, named: Reference) -> str:
    try:
        here = registry.open(named.name).manifest_hash
    except SmartCliError:
        return f"{named.name} (removed or damaged)"
    return named.name if named.manifest in (None, here) else f"{named.name} (another one by now)"

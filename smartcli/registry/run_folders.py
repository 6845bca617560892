"""Trainings in progress: a header, a log, and the last whole state, which a kill at any moment leaves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smartcli.atomic import DISK, clean_stale, new_folder, remove_folder, write_file
from smartcli.data.sealed import seal
from smartcli.disk import tree_size
from smartcli.errors import SmartCliError, UserError, suggest
from smartcli.home import Home, is_name
from smartcli.processes import Process
from smartcli.registry.commit import Fill, commit_folder
from smartcli.registry.locks import hold, owner_of
from smartcli.registry.manifest import (
    SMALL,
    Damaged,
    parse_manifest,
    read_manifest,
    read_sealed,
    read_verified,
    verify_file,
)
from smartcli.registry.meta import DataRecord, EncoderRecord
from smartcli.registry.names import check_name, natural_order
from smartcli.registry.stored import MAY_LACK, Stored
from smartcli.strictjson import canonical_json, parse_object

HEADER, POINTER, POSITION, LOG = "run.json", "state.json", "position.json", "log.jsonl"
_STATE = "state-"


@dataclass(frozen=True, kw_only=True)
class RunHeader(Stored):
    """What a training stores about itself in run.json when it starts, beside its name."""

    command: str = ""
    """finetune, pretrain-qqp, distill or pretrain-text."""
    argv: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    data: DataRecord = field(default_factory=DataRecord)
    encoder: EncoderRecord = field(default_factory=EncoderRecord)
    machine: dict[str, Any] = field(default_factory=dict)
    created: str = ""
    teacher: dict[str, Any] | None = field(default=None, metadata=MAY_LACK)
    """As a checkpoint's lineage has it."""
    text: dict[str, Any] | None = field(default=None, metadata=MAY_LACK)
    """The text of pretrain-text, as far as it is known when it starts."""

    @classmethod
    def read_field(cls, key: str, value: Any) -> Any:
        kind: type[Stored] | None = {"data": DataRecord, "encoder": EncoderRecord}.get(key)
        return value if kind is None or not isinstance(value, dict) else kind.from_json(value)


@dataclass(frozen=True)
class Run:
    """A training in progress or interrupted, in `$SMART_HOME/runs/NAME`."""

    home: Home
    name: str

    @property
    def folder(self) -> Path:
        return self.home.runs / self.name

    @property
    def log_path(self) -> Path:
        return self.folder / LOG

    @property
    def header(self) -> RunHeader:
        """What `Runs.create` was given; Damaged when it was altered since."""
        value = _unsealed(self.folder, HEADER)
        return RunHeader.from_json({key: item for key, item in value.items() if key not in ("format", "name")})

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return tree_size(self.folder)

    def owner(self) -> Process | None:
        """Return the live process that trains it, or None: it was interrupted."""
        return owner_of(self.home, self.name)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the one process that trains this run; what a killed one left half-written is cleaned up."""
        with hold(self.home, self.name):
            if not self.folder.is_dir():
                raise UserError(f'the run "{self.name}" is gone: it was finished or removed by another process')
            self._tidy()
            yield

    def save(self, fill: Fill, position: dict[str, Any]) -> None:
        """Replace the state by the files that `fill` writes into an empty folder, and `position`.

        Until the pointer file is renamed the old state is the one that `load` returns, afterwards the
        new one; the old is removed last. On an error the old one stays.
        """
        with hold(self.home, self.name):
            target = self.folder / f"{_STATE}{max(self._numbers(), default=0) + 1}"

            def fill_all(temp: Path) -> None:
                fill(temp)
                DISK.write(temp / POSITION, canonical_json(position))

            manifest = commit_folder(target, fill_all)
            try:
                pointer = {"format": 1, "state": target.name, "manifest": manifest.hash}
                write_file(self.folder / POINTER, seal(pointer))
            except Exception:
                if self._current() != target.name:
                    DISK.remove_tree(target)
                raise
            self._tidy()

    def position(self) -> dict[str, Any] | None:
        """Return the position of the last state without verifying its tensors; None when none was saved."""
        while (current := self._current()) is not None:
            state = self.folder / current
            try:
                return parse_object(read_verified(state, POSITION, parse_manifest(state), SMALL), state / POSITION)
            except (Damaged, FileNotFoundError):
                # Its owner may have saved the next state meanwhile.
                if self._current() == current:
                    raise
        return None

    def load(self) -> tuple[Path, dict[str, Any]] | None:
        """Return folder and position of the last whole state, every byte verified; None when none was saved."""
        if not os.path.lexists(self.folder / POINTER):
            return None
        pointer = _unsealed(self.folder, POINTER)
        state = self.folder / str(pointer.get("state"))
        if not state.name.startswith(_STATE) or state.parent != self.folder or not os.path.lexists(state):
            raise self._lost(Damaged(self.folder, POINTER, f"it names {state.name!r}, which is not there"))
        try:
            manifest = read_manifest(state)
            if manifest.hash != pointer.get("manifest"):
                raise Damaged(state, "manifest.json", f"it is not the one that {POINTER} names")
            for name in manifest.files:
                verify_file(state, name, manifest)
            return state, parse_object(read_verified(state, POSITION, manifest, SMALL), state / POSITION)
        except Damaged as error:
            raise self._lost(error) from None

    def _lost(self, error: Damaged) -> SmartCliError:
        return SmartCliError(
            f"{error}; the run cannot go on: remove it with `smart runs rm {self.name}` and start again"
        )

    def _numbers(self) -> list[int]:
        names = [path.name.removeprefix(_STATE) for path in self.folder.glob(f"{_STATE}*")]
        return [int(name) for name in names if name.isdecimal() and len(name) < 10]

    def _current(self) -> str | None:
        try:
            return str(_unsealed(self.folder, POINTER).get("state"))
        except (SmartCliError, OSError):
            return None

    def _tidy(self) -> None:
        """Remove states that the pointer does not name; none while the pointer itself cannot be read."""
        clean_stale(self.folder)
        current = self._current()
        if current is None and os.path.lexists(self.folder / POINTER):
            return
        for path in self.folder.glob(f"{_STATE}*"):
            if path.name not in (current, POINTER):
                DISK.remove_tree(path)


class Runs:
    """The runs of one home."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def create(self, name: str, header: RunHeader) -> Run:
        """Make the run's folder with its header; UserError when the name is taken."""
        check_name(name)
        with hold(self.home, name):
            for folder, what in ((self.home.checkpoints, "checkpoint"), (self.home.runs, "run")):
                if os.path.lexists(folder / name):
                    raise UserError(f'a {what} "{name}" exists already; choose another name')
            with new_folder(self.home.runs / name) as temp:
                DISK.write(temp / HEADER, seal({"format": 1, "name": name, **header.to_json()}))
                DISK.write(temp / LOG, b"")
        return Run(self.home, name)

    def names(self) -> list[str]:
        """Return the names of all runs whose checkpoint is not registered yet, in natural order."""
        try:
            found = [path.name for path in self.home.runs.iterdir() if is_name(path.name)]
        except OSError:
            return []
        return natural_order(name for name in found if not os.path.lexists(self.home.checkpoints / name))

    def interrupted(self) -> tuple[Run, ...]:
        """Return the runs that no live process trains."""
        return tuple(run for run in self.list() if run.owner() is None)

    def exists(self, name: str) -> bool:
        """Return whether a run of this name is in progress or interrupted."""
        return is_name(name) and name in self.names()

    def find(self, name: str) -> Run:
        """Return the run, damaged or not; UserError when there is none."""
        check_name(name, "run name")
        if not os.path.lexists(self.home.runs / name):
            known = self.names()
            there = "`smart runs list` shows those there are" if known else "no run is interrupted"
            raise UserError(f'there is no run "{name}"{suggest(name, known)}; {there}')
        return Run(self.home, name)

    def open(self, name: str) -> Run:
        """Return the run, its header verified; UserError when there is none."""
        run = self.find(name)
        run.header  # noqa: B018  read for its checks
        return run

    def remove(self, name: str) -> int:
        """Remove a run that no live process trains (or this one does); return the bytes that were freed."""
        check_name(name, "run name")
        run = Run(self.home, name)
        with hold(self.home, name):
            self.find(name)
            freed = run.size
            remove_folder(run.folder)
        return freed

    def list(self) -> list[Run]:
        """Return all runs, live and interrupted."""
        return [Run(self.home, name) for name in self.names()]


def _unsealed(folder: Path, name: str) -> dict[str, Any]:
    if folder.is_symlink():
        raise Damaged(folder, "", "it is a symbolic link; expected a folder; remove it")
    return read_sealed(folder, name)

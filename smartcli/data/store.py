"""Data sets under `$SMART_HOME/data`: opened, listed, removed; data/saving.py writes them.

A data set is a folder with `data.json` (sealed), one Arrow file a task and split, and `tokens/`, which
data/tokens.py fills.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smartcli.atomic import explain_os_errors, refuse_symlinks, remove_folder
from smartcli.data.rows import SplitRows, SplitSummary, open_rows
from smartcli.data.sealed import unseal
from smartcli.errors import SmartCliError, UserError, suggest
from smartcli.home import Home, is_name
from smartcli.tasks import SPLITS, TaskTable

FORMAT = 1
HEADER = "data.json"
TOKENS = "tokens"
LATEST = ".latest"

Splits = dict[str, dict[str, SplitSummary]]


@dataclass(frozen=True)
class DataSet:
    """A stored data set; `rows` maps a split's file into memory when it is first asked for."""

    name: str
    folder: Path
    fingerprint: str
    source: str
    """demo, cs224n, hub, or own."""
    tasks: TaskTable
    encoder: str
    """The encoder to use where no option names another."""
    info: dict[str, Any]
    """Title, skipped rows, leaks, warnings, time of preparation."""
    summaries: Mapping[str, Mapping[str, SplitSummary]] = field(repr=False)
    _opened: dict[tuple[str, str], SplitRows] = field(default_factory=dict, repr=False, compare=False)

    @property
    def title(self) -> str:
        """How tables name the data, such as `cs224n (QQP subset)`."""
        return str(self.info.get("title", self.name))

    def splits(self, task: str) -> tuple[str, ...]:
        """Return the splits that a task has, in the order train, dev, test."""
        own = self.summaries[self.tasks.get(task).name]
        return tuple(split for split in SPLITS if split in own)

    def count(self, task: str, split: str) -> int:
        """Return the rows of a split, without opening its file; 0 where there is none."""
        summary = self.summaries[self.tasks.get(task).name].get(split)
        return summary.rows if summary else 0

    def labelled(self, task: str, split: str) -> bool:
        """Whether the split exists and its rows have labels."""
        summary = self.summaries[self.tasks.get(task).name].get(split)
        return summary is not None and summary.labelled

    def rows(self, task: str, split: str) -> SplitRows:
        """Return a split's rows, checked against the stored hash."""
        key = (self.tasks.get(task).name, split)
        if key not in self._opened:
            summary = self.summaries[task].get(split)
            if summary is None:
                has = ", ".join(self.splits(task))
                raise UserError(f'data set "{self.name}": task "{task}" has no {split} split; it has {has}')
            path, classes = self.folder / rows_file(task, split), self.tasks.get(task).classes
            self._opened[key] = open_rows(path, summary, _remedy(self.name), classes)
        return self._opened[key]


def rows_file(task: str, split: str) -> str:
    """Return the name of a split's file in its data set's folder."""
    return f"{task}-{split}.arrow"


def check_data_name(name: str, option: str = "--data") -> str:
    """Return `name` when it can be a folder's name; a UserError names `option`."""
    if not is_name(name):
        raise UserError(
            f'{option}: "{name}" is not a name; expected letters, digits, ".", "_" or "-", at most 64, '
            'starting with a letter or digit, without ".."'
        )
    return name


def _remedy(name: str) -> str:
    return f"prepare it again with --name {name} --force, or remove it with `smart data rm {name}`"


def open_data(home: Home, name: str | None = None, option: str = "--data") -> DataSet:
    """Open a data set by name, or the one prepared last; checks names, links and `data.json`.

    Errors say that `option` gave the name.
    """
    if name is None:
        name = _latest(home)
    folder = home.data / check_data_name(name, option)
    known = _names(home)
    if name not in known:
        has = f"expected one of {', '.join(known)}" if known else "none is prepared yet; `smart prepare demo` makes one"
        raise UserError(f'{option}: there is no data set "{name}"; {has}{suggest(name, known)}')
    refuse_symlinks(folder)
    value = _read_header(folder, name)
    summaries: Splits = {
        task: {split: SplitSummary.from_json(entry) for split, entry in own.items()}
        for task, own in value["splits"].items()
    }
    listed = {HEADER, TOKENS, *(rows_file(task, split) for task, own in summaries.items() for split in own)}
    for path in folder.iterdir():
        if path.name not in listed and not path.name.startswith(".tmp-"):
            raise SmartCliError(f"{path}: does not belong to the data set; remove it")
    return DataSet(
        name=name,
        folder=folder,
        fingerprint=value["fingerprint"],
        source=value["source"],
        tasks=TaskTable.from_json(value["tasks"]),
        encoder=value["encoder"],
        info=value["info"],
        summaries=summaries,
    )


def _read_header(folder: Path, name: str) -> dict[str, Any]:
    path = folder / HEADER
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SmartCliError(f"{path}: cannot be read: {error.strerror}; {_remedy(name)}") from error
    value = unseal(raw, str(path), _remedy(name))
    if value.get("format") != FORMAT:
        raise SmartCliError(f"{path}: format {value.get('format')}, expected {FORMAT}; {_remedy(name)}")
    return value


def _names(home: Home) -> list[str]:
    if not home.data.is_dir():
        return []
    return sorted(path.name for path in home.data.iterdir() if is_name(path.name) and path.is_dir())


def _latest(home: Home) -> str:
    names = _names(home)
    with contextlib.suppress(OSError, UnicodeDecodeError):
        latest = (home.data / LATEST).read_text(encoding="utf-8").strip()
        if latest in names:
            return latest
    if not names:
        raise UserError("no data set is prepared yet; `smart prepare demo` makes one that needs no network")
    return max(names, key=lambda name: (home.data / name).stat().st_mtime_ns)


def latest_name(home: Home) -> str | None:
    """Return the name of the data set prepared last, or None where there is none."""
    return _latest(home) if _names(home) else None


def list_data(home: Home) -> list[DataSet]:
    """Open every data set, by name; a damaged one raises."""
    return [open_data(home, name) for name in _names(home)]


def data_size(data_set: DataSet) -> int:
    """Return the bytes that a data set takes on disk, tokens included."""
    return sum(path.stat().st_size for path in data_set.folder.rglob("*") if path.is_file())


def remove_data(home: Home, name: str) -> None:
    """Remove a data set; it vanishes from the list in one step, damaged or not."""
    check_data_name(name)
    known = _names(home)
    if name not in known:
        has = f"expected one of {', '.join(known)}" if known else "there is none"
        raise UserError(f'there is no data set "{name}"; {has}{suggest(name, known)}')
    folder = home.data / name
    if folder.is_symlink():
        raise SmartCliError(f"{folder} is a symbolic link; expected a plain folder; remove it by hand")
    with explain_os_errors(folder, "remove"):
        remove_folder(folder)

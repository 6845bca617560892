"""Saving a data set under `$SMART_HOME/data`: whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smartcli.atomic import DISK, new_folder, write_file
from smartcli.data.fingerprint import fingerprint
from smartcli.data.rows import Row, SplitRows, SplitSummary, open_rows, write_rows
from smartcli.data.sealed import seal
from smartcli.data.store import FORMAT, HEADER, LATEST, DataSet, Splits, check_data_name, open_data, rows_file
from smartcli.errors import SmartCliError, UserError
from smartcli.home import Home
from smartcli.tasks import SPLITS, TaskTable


@dataclass(frozen=True)
class Header:
    """What `save_data` stores beside the rows."""

    source: str
    tasks: TaskTable
    encoder: str
    info: dict[str, Any]


class RowSink:
    """Where `fill` writes the splits of a data set that is being saved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.splits: Splits = {}

    def write(self, task: str, split: str, rows: Iterable[Row], sides: int, labelled: bool = True) -> SplitSummary:
        """Write one split, streamed."""
        summary = write_rows(self.folder / rows_file(task, split), rows, sides, labelled)
        self.splits.setdefault(task, {})[split] = summary
        return summary

    def take_back(self, task: str, split: str, classes: int = 0) -> SplitRows:
        """Return a split that was written, and forget it; its rows stay readable as long as they are held."""
        rows = self.open(task, split, classes)
        # The memory map outlives the name.
        (self.folder / rows_file(task, split)).unlink()
        del self.splits[task][split]
        return rows

    def open(self, task: str, split: str, classes: int = 0) -> SplitRows:
        """Read back a split that was written; `classes` is C of a multilabel task."""
        path = self.folder / rows_file(task, split)
        return open_rows(path, self.splits[task][split], "prepare the data again", classes)


class _AlreadyThere(Exception):
    pass


def save_data(
    home: Home,
    name: str,
    fill: Callable[[RowSink], Header],
    *,
    force: bool = False,
    guard: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> tuple[DataSet, bool]:
    """Store what `fill` writes as the data set `name` and make it the latest; also say if it was there already.

    The same content again keeps the folder (its tokens too). Other content under a name that exists is a
    UserError without `force`. `guard` is entered once the rows are written, and left when the name is taken.
    """
    folder = home.data / check_data_name(name, "--name")
    already = False
    with _leave_no_empty_folders(home), ExitStack() as stack:
        try:
            with new_folder(folder, replace=True) as temp:
                sink = RowSink(temp)
                header = fill(sink)
                mark = fingerprint(header.tasks, sink.splits)
                stack.enter_context(guard())
                if _is_there(home, name, mark, force):
                    raise _AlreadyThere
                DISK.write(temp / HEADER, _header_bytes(header, mark, sink.splits))
        except _AlreadyThere:
            already = True
            kept = open_data(home, name)
            if kept.encoder != header.encoder:
                changed = replace(header, info=kept.info)
                write_file(folder / HEADER, _header_bytes(changed, kept.fingerprint, kept.summaries))
        write_file(home.data / LATEST, name + "\n")
        return open_data(home, name), already


@contextmanager
def _leave_no_empty_folders(home: Home) -> Iterator[None]:
    missing = [folder for folder in (home.data, home.root, *home.root.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for folder in missing:
                folder.rmdir()
        raise


def _is_there(home: Home, name: str, mark: str, force: bool) -> bool:
    folder = home.data / name
    if not folder.exists():
        return False
    try:
        old = open_data(home, name)
        for task in old.tasks:
            for split in old.splits(task.name):
                old.rows(task.name, split)
    except SmartCliError as error:
        if force:
            return False
        raise UserError(f'the data set "{name}" is there but damaged ({error}); use --force to replace it') from error
    if old.fingerprint == mark:
        return True
    if not force:
        raise UserError(
            f'a data set "{name}" with other content exists (fingerprint {old.fingerprint[:12]}, new {mark[:12]}); '
            "choose another --name, or use --force to replace it"
        )
    return False


def _header_bytes(header: Header, mark: str, splits: Mapping[str, Mapping[str, SplitSummary]]) -> bytes:
    return seal(
        {
            "format": FORMAT,
            "source": header.source,
            "fingerprint": mark,
            "encoder": header.encoder,
            "tasks": header.tasks.to_json(),
            "splits": {task: {s: own[s].to_json() for s in SPLITS if s in own} for task, own in splits.items()},
            "info": {"created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **header.info},
        }
    )

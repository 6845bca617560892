"""`smart prepare`: read, check, split and store a data set, and report the paper's Table 1 for it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartcli.counts import counted
from smartcli.data.cs224n import read_course, subset_title
from smartcli.data.demo import read_demo
from smartcli.data.leaks import count_leaks
from smartcli.data.own import TABLE, read_own
from smartcli.data.paper import paper
from smartcli.data.reading import Reading
from smartcli.data.saving import Header, RowSink, save_data
from smartcli.data.store import DataSet, check_data_name, open_data
from smartcli.errors import SmartCliError, UserError, suggest
from smartcli.families.encoder_files import absolute
from smartcli.home import Home
from smartcli.registry.locks import LONG, hold
from smartcli.tasks import SPLITS, TaskTable
from smartcli.workflows.preparing.init_table import Given, GuessedTable, guess_table
from smartcli.workflows.preparing.tokenise import TokenState, find_tokenizer, make_tokens

SOURCES = ("demo", "cs224n", "hub")
SPLIT_WAYS = ("paper", "official")
KEPT_SKIPS = 10_000
"""Skipped rows that are stored with a data set; all are counted."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class PrepareReport:
    """What `prepare` did: the data set, whether it was there already, and its tokens."""

    data_set: DataSet
    already: bool
    tokens: TokenState

    def to_json(self) -> dict[str, Any]:
        data, info = self.data_set, self.data_set.info
        return {
            "data": {"name": data.name, "fingerprint": data.fingerprint},
            "title": data.title,
            "source": data.source,
            "encoder": data.encoder,
            "already": self.already,
            "tasks": {task.name: {s: data.count(task.name, s) for s in data.splits(task.name)} for task in data.tasks},
            "skipped_rows": info["skipped_rows"],
            "skipped": info["skipped"],
            "leaks": info["leaks"],
            "warnings": info["warnings"],
            "notes": info["notes"],
            "tokens": self.tokens.to_json(),
        }


def prepare(
    home: Home,
    source: str,
    *,
    more: Sequence[str] = (),
    path: Path | None = None,
    name: str | None = None,
    encoder: str | None = None,
    splits: str | None = None,
    strict: bool = False,
    force: bool = False,
    say: Say = lambda line: None,
) -> PrepareReport:
    """Prepare `source` (demo, cs224n, hub, the folder of a tasks.toml, or a file and `more`) as the data set `name`.

    UserError where the user's files or options are wrong, with file and line; then nothing is stored.
    """
    files = _files(source, more)
    guessed = guessed_table(files, say) if files else None
    kind, folder = _resolve(source, path, splits) if guessed is None else ("own", guessed.folder)
    if guessed is not None:
        name = name or str(guessed.tasks[0].values["name"])
    name = name or (kind if folder is None or kind != "own" else folder.absolute().name)
    check_data_name(name, "--name" if kind != "own" else f"--name (the folder's by default) for {source}")
    encoder = None if encoder is None else absolute(encoder)
    wanted = encoder or _kept_encoder(home, name) or paper().encoders.get(kind, paper().encoders["hub"])
    tokenizer = find_tokenizer(encoder or os.environ.get("SMART_ENCODER") or wanted, named=encoder is not None)

    def fill(sink: RowSink) -> Header:
        table = guessed.table() if guessed is not None else None
        reading, notes = _read(kind, folder, sink, strict, splits or "paper", say, table)
        return Header(kind, reading.tasks, wanted, _info(kind, name, reading, sink, notes))

    data_set, already = save_data(home, name, fill, force=force, guard=lambda: hold(home, f".data-{name}", wait=LONG))
    return PrepareReport(data_set, already, make_tokens(data_set, tokenizer, say))


def _kept_encoder(home: Home, name: str) -> str | None:
    """Return the encoder that a data set of this name was prepared for; None where there is none that can be read."""
    try:
        return open_data(home, name).encoder
    except SmartCliError:
        return None


def _files(source: str, more: Sequence[str]) -> list[Path]:
    """Return the files that are named, none where `source` is anything else; a UserError where more follows that."""
    words = [Path(word).expanduser() for word in (source, *more)]
    if source not in SOURCES and all(word.is_file() for word in words):
        return words
    if more:
        missing = next((word for word in words if not word.is_file()), words[0])
        raise UserError(f"{missing}: no such file; several names are files of one task, or of several")
    return []


def guessed_table(files: Sequence[Path], say: Say) -> GuessedTable:
    """Return what files alone amount to, by the guess of `smart init`, and say it."""
    folders = {file.absolute().parent for file in files}
    if len(folders) > 1:
        raise UserError(f"{files[0]}: the files lie in {len(folders)} folders; expected one")
    place = files[0] if len(files) == 1 else files[0].parent
    command = (
        f"`smart init {shlex.quote(str(place))}` takes these options and writes a tasks.toml, which you then correct"
    )
    guessed = guess_table(files, Given(), None, command)
    toml = guessed.toml()
    say(f"guessed from the columns, as `smart init` would write it:\n{toml[toml.index('[[task]]') :]}")
    return guessed


def _resolve(source: str, path: Path | None, splits: str | None) -> tuple[str, Path | None]:
    if splits is not None and source != "hub":
        raise UserError(
            "--splits is for `smart prepare hub` only; the files of other sources say what is in which split"
        )
    if splits not in (None, *SPLIT_WAYS):
        raise UserError(f"--splits must be paper or official; found {splits!r}{suggest(str(splits), SPLIT_WAYS)}")
    if source == "cs224n":
        if path is None:
            raise UserError("--path: expected the folder of the course's files: smart prepare cs224n --path DIR")
        if not path.is_dir():
            raise UserError(
                f"--path {path}: {'not a folder' if path.exists() else 'no such folder'}; expected the course's"
            )
        return source, path
    if path is not None:
        raise UserError(f"--path is for `smart prepare cs224n` only; found it with {source}")
    if source in SOURCES:
        return source, None
    folder = Path(source).expanduser()
    if not folder.is_dir():
        found = "is not a folder" if folder.exists() else "is neither a source nor a folder"
        raise UserError(
            f'"{source}" {found}; expected {", ".join(SOURCES)}, or a folder with {TABLE}{suggest(source, SOURCES)}'
        )
    return "own", folder


def _read(
    kind: str, folder: Path | None, sink: RowSink, strict: bool, splits: str, say: Say, table: TaskTable | None
) -> tuple[Reading, list[str]]:
    if kind == "demo":
        return read_demo(sink), ["synthetic rows from a seeded grammar; scores on them say nothing about real text"]
    if kind == "hub":
        from smartcli.data.hub_data import read_hub

        return read_hub(sink, splits=splits, strict=strict, say=say)
    assert folder is not None
    reading = read_course(folder, sink, strict) if kind == "cs224n" else read_own(folder, sink, strict, table)
    return reading, reading.notes


def _info(kind: str, name: str, reading: Reading, sink: RowSink, notes: list[str]) -> dict[str, Any]:
    leaks: dict[str, dict[str, int]] = {}
    warnings = list(reading.warnings)
    for task in reading.tasks:
        own = [split for split in SPLITS if split in sink.splits[task.name]]
        leaks[task.name] = dict(count_leaks(own, lambda split, task=task.name: sink.open(task, split)))  # type: ignore[misc]
        for split, count in leaks[task.name].items():
            if count:
                found = counted(count, f"{split} row")
                warnings.append(f'task "{task.name}": the text of {found} stands in train too')
    title = name
    if kind == "cs224n":
        title = subset_title(name, {task: own["train"].rows for task, own in sink.splits.items()})
    skips = [
        {"task": s.task, "split": s.split, "file": s.file, "line": s.line, "reason": s.reason} for s in reading.skipped
    ]
    return {
        "title": title,
        "skipped_rows": len(skips),
        "skipped": skips[:KEPT_SKIPS],
        "leaks": leaks,
        "warnings": warnings,
        "notes": notes,
    }

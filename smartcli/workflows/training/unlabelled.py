"""`--unlabelled`: files of rows without labels, which a teacher labels (self-training)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartcli.errors import UserError
from smartcli.tasks import Task, TaskTable


@dataclass(frozen=True)
class Unlabelled:
    """The rows of one file for one task: one or two texts each, and a digest of them."""

    path: Path
    texts: list[tuple[str, ...]]
    digest: str

    def to_json(self) -> dict[str, Any]:
        """Return what a record says of them: the file's name, the digest of the texts, and how many."""
        return {"file": self.path.name, "sha256": self.digest, "rows": len(self.texts)}


def absolute_files(value: str) -> str:
    """Return the value of the option with absolute paths, so that a run goes on from any folder."""
    return ",".join(
        f"{task}={Path(path).expanduser().absolute()}" if task else str(Path(path).expanduser().absolute())
        for task, path in _parts(value)
    )


def read_unlabelled(value: str | None, trained: TaskTable) -> dict[str, Unlabelled]:
    """Return the rows by task; every fault is a UserError that names the option, or `file:line`.

    A file without a task is for the one trained task whose columns it has.
    """
    if value is None:
        return {}
    from smartcli.data.rows_to_label import read_inputs

    out: dict[str, Unlabelled] = {}
    for name, path in _parts(value):
        file = Path(path)
        if not file.is_file():
            raise UserError(
                f"--unlabelled {path}: there is no such file; expected a csv, tsv, jsonl, xlsx or parquet file"
            )
        task = trained.get(name, "--unlabelled") if name else _fitting(file, trained)
        if task.name in out:
            raise UserError(f"--unlabelled names two files for {task.name}; join them into one")
        texts = read_inputs(file, task).texts
        digest = hashlib.sha256()
        for row in texts:
            for text in row:
                raw = text.encode("utf-8", "surrogatepass")
                digest.update(len(raw).to_bytes(8, "big") + raw)
        out[task.name] = Unlabelled(file, texts, digest.hexdigest())
    return out


def _parts(value: str) -> list[tuple[str, str]]:
    """Return (task or "", path) of each file."""
    out = []
    for part in value.split(","):
        name, sign, path = part.strip().partition("=")
        task, file = (name.strip(), path.strip()) if sign and "/" not in name else ("", part.strip())
        if not file:
            raise UserError(f'--unlabelled must be FILE, or task=FILE,…; found "{value}"')
        out.append((task, file))
    return out


def _fitting(file: Path, trained: TaskTable) -> Task:
    """Return the only trained task whose columns a file has."""
    from smartcli.data.rows_to_label import columns_of

    fitting = [task for task in trained if set(task.text) <= set(columns_of(file, task))]
    if len(fitting) == 1:
        return fitting[0]
    needed = "; ".join(f"{task.name} needs {' and '.join(task.text)}" for task in trained)
    if fitting:
        names = ", ".join(task.name for task in fitting)
        raise UserError(f"--unlabelled {file}: it has the columns of {names}; say which: {fitting[0].name}={file}")
    raise UserError(f"--unlabelled {file}: it has the columns of no task that is trained: {needed}")

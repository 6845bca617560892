"""Which files belong to one task, and which of them is train, dev or test, by their names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from smartcli.data.readers import FORMATS
from smartcli.errors import UserError
from smartcli.tasks import RESERVED_NAMES

SPLIT_WORDS = {
    "train": "train", "training": "train", "dev": "dev", "devel": "dev", "development": "dev", "valid": "dev",
    "validation": "dev", "val": "dev", "test": "test", "testing": "test",
}  # fmt: skip
_WORD = re.compile(r"[A-Za-z]+|[^A-Za-z]+")


@dataclass(frozen=True)
class TaskFiles:
    """The files of one task by split; a file that names no split is `train`."""

    name: str
    """The part of the file names that they share, else the folder's name, as a task name."""
    files: dict[str, Path]
    called: str | None = None
    """Of a file that stands alone: dev or test, where its name says so though it is taken for train."""

    @property
    def alone(self) -> bool:
        """Whether there is one file only."""
        return len(self.files) == 1


def table_files(folder: Path) -> list[Path]:
    """Return the files of `folder` that may hold rows, by name; UserError where there is none."""
    if not folder.is_dir():
        raise UserError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}; expected a data folder")
    found = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in FORMATS)
    found = [path for path in found if not path.name.startswith((".", "~$"))]
    if not found:
        raise UserError(f"{folder}: no file to look at; expected one of {', '.join(FORMATS)}")
    return found


def group_files(paths: Sequence[Path]) -> list[TaskFiles]:
    """Return the tasks that file names speak of; UserError where two files would be the same split.

    A file that stands alone is all of its task's rows, whatever it is called.
    """
    groups: dict[str, dict[str, Path]] = {}
    for path in paths:
        base, split = _parts(path.stem)
        files = groups.setdefault(base, {})
        if split in files:
            raise UserError(
                f"{path}: stands beside {files[split].name}, and both would be the {split} file of one task; put each "
                "task's files into a folder of its own, or name them like topic-train.csv and topic-dev.csv"
            )
        files[split] = path
    found = []
    for base, files in groups.items():
        only = next(iter(files.values())) if len(files) == 1 else None
        folder = next(iter(files.values())).absolute().parent.name
        called = next(iter(files)) if only and "train" not in files else None
        found.append(TaskFiles(task_name(base or folder), {"train": only} if only else files, called))
    return _of_different_names(found)


def _of_different_names(groups: Sequence[TaskFiles]) -> list[TaskFiles]:
    """Number the names that two groups would share, such as those of `A b.csv` and `a-b.csv`."""
    taken: set[str] = set()
    found = []
    for group in groups:
        name, number = group.name, 2
        while name in taken:
            name, number = f"{group.name[:29]}-{number}", number + 1
        taken.add(name)
        found.append(replace(group, name=name))
    return found


def _parts(stem: str) -> tuple[str, str]:
    """Return what a file name says beside its split, and the split (train where it names none)."""
    words = _WORD.findall(stem)
    at = next((i for i, word in enumerate(words) if word.lower() in SPLIT_WORDS), None)
    if at is None:
        return stem, "train"
    split = SPLIT_WORDS[words[at].lower()]
    rest = "".join([*words[:at], *words[at + 1 :]])
    return re.sub(r"[-_. ]{2,}", "-", rest).strip("-_. "), split


def task_name(base: str) -> str:
    """Return a task's name that is near `base`: letters, digits, `-` and `_`, at most 32, none that is reserved."""
    plain = unicodedata.normalize("NFKD", base.casefold()).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9_-]+", "-", plain).strip("-")[:32]
    if not name or not name[0].isalpha():
        name = f"task-{name}".strip("-")[:32]
    return f"{name[:27]}-task" if name in RESERVED_NAMES else name

"""The data folder of the CS224N default project: tab-separated files of fixed names."""

from __future__ import annotations

from pathlib import Path

from smartcli.data.accept import SplitSource
from smartcli.data.paper import paper
from smartcli.data.reading import Reading, read_splits
from smartcli.data.saving import RowSink
from smartcli.tasks import SPLITS


def course_sources(folder: Path) -> list[SplitSource]:
    """Return the nine splits of the course's folder, by the file names of the recipe."""
    recipe = paper()
    return [
        SplitSource(
            task=task,
            split=split,
            paths=(folder / recipe.course_files[task.name][split],),
            text=task.text,
            label=task.label,
            id=task.id,
            fold_ids=True,
        )
        for task in recipe.table
        for split in SPLITS
    ]


def read_course(folder: Path, sink: RowSink, strict: bool = False) -> Reading:
    """Read the course's folder into `sink`; a UserError lists what is missing or wrong, by file and line."""
    return read_splits(paper().table, course_sources(folder), sink, strict=strict)


def looks_like_course(folder: Path) -> bool:
    """Whether any of the course's files stands in `folder`."""
    files = {name for splits in paper().course_files.values() for name in splits.values()}
    return any((folder / name).exists() for name in files)


def subset_title(name: str, counts: dict[str, int]) -> str:
    """Return `name`, with `(TASK subset)` where a task has fewer train rows than in the paper by far."""
    full = paper().rows
    small = [task.upper() for task, rows in counts.items() if rows < 0.9 * full[task][0]]
    return f"{name} ({', '.join(small)} subset)" if small else name

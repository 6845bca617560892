"""The training rows nearest to one row, by what the task's head is given of them; vectors are made once and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartcli.config import Settings
from smartcli.data.store import DataSet, open_data
from smartcli.errors import SmartCliError, UserError
from smartcli.explain.nearest import Vectors, cosines, nearest, unit
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.vectors_store import load_vectors, save_vectors, vectors_folder
from smartcli.tasks import Task
from smartcli.workflows.explaining.explain_inputs import Place
from smartcli.workflows.scoring.model_outputs import LoadedModel
from smartcli.workflows.scoring.panel import Panel
from smartcli.workflows.scoring.sources import data_words
from smartcli.workflows.training.training_inputs import sampled_rows

Progress = Callable[[str, int, int], None]
"""Called with what is counted, how many are done, and how many there are."""


def unheard(what: str, done: int, total: int) -> None:
    """Hear nothing."""


@dataclass(frozen=True)
class Neighbour:
    """A training row: `label` is a class number or score; `same` says that its texts are those explained."""

    id: str
    texts: tuple[str, ...]
    label: float
    cosine: float
    same: bool


@dataclass(frozen=True)
class Pool:
    """The train rows among which near ones are sought: numbers `rows` of the split, and `tag`, their name on disk."""

    data_set: DataSet
    rows: NDArray[np.int64]
    tag: str
    says: str

    def to_json(self) -> dict[str, Any]:
        return {"data": self.data_set.name, "split": "train", "rows": len(self.rows), "says": self.says}


def pool_of(home: Home, panel: Panel, task: Task) -> Pool | str:
    """Return the rows that the checkpoint was trained on, or the reason in words why there are none to look at.

    They are all train rows where an ensemble's members had different ones (`--rows`), or the head was not trained here.
    """
    data_set = _train_data(home, panel.checkpoint)
    if isinstance(data_set, str):
        return data_set
    total = data_set.count(task.name, "train")
    if not data_set.labelled(task.name, "train") or not total:
        return f'the data set "{data_set.name}" has no train rows of {task.name}'
    wanted = {_rows_setting(part.checkpoint, task.name) for part in panel.parts}
    limit = wanted.pop() if len(wanted) == 1 else None
    kept = sampled_rows(data_set, task.name, limit)
    if kept is None:
        return Pool(data_set, np.arange(total), "train", f"all {total:,} train rows of {task.name}")
    says = f"the {len(kept):,} of {total:,} train rows of {task.name} that it was trained on"
    return Pool(data_set, kept, f"train-{len(kept)}", says)


def _rows_setting(checkpoint: Checkpoint, task: str) -> int | None:
    settings = Settings.from_json(checkpoint.meta.settings)
    return settings.rows if settings.tasks is None or task in settings.tasks else None


def _train_data(home: Home, checkpoint: Checkpoint) -> DataSet | str:
    name = str(checkpoint.meta.data.name)
    if not (home.data / name).is_dir():
        return f"the data set {data_words(checkpoint)} that it was trained on is not here"
    try:
        data_set = open_data(home, name)
    except SmartCliError as error:
        return str(error)
    if data_set.fingerprint != checkpoint.fingerprint:
        return f'the data set "{name}" has changed since it was trained'
    return data_set


def neighbours(
    home: Home,
    panel: Panel,
    task: Task,
    texts: Sequence[str],
    pool: Pool,
    count: int,
    place: Place | None = None,
    progress: Progress = unheard,
) -> list[Neighbour]:
    """Return the `count` nearest rows of the pool, nearest first; the row at `place` itself does not count.

    The first call for a checkpoint and task computes all vectors; `progress` hears of it.
    """
    stored = [_vectors(home, part, task, pool, progress) for part in panel.parts]
    queries = [unit(part.vector(task.name, texts)) for part in panel.parts]
    found = cosines(stored, queries)
    own = None
    if place is not None and (place.fingerprint, place.split) == (pool.data_set.fingerprint, "train"):
        own = next((int(at) for at in np.flatnonzero(pool.rows == place.number)), None)
    rows = pool.data_set.rows(task.name, "train")
    assert rows.labels is not None
    out = []
    for at in nearest(found, count, own):
        number = int(pool.rows[at])
        there = tuple(rows.text(side, number) for side in range(rows.sides))
        same = there == tuple(texts)
        out.append(Neighbour(rows.id(number), there, float(rows.labels[number]), float(found[at]), same))
    return out


def _vectors(home: Home, part: LoadedModel, task: Task, pool: Pool, progress: Progress) -> Vectors:
    """Return the unit vectors (n, D) of the pool's rows, from the store or computed now."""
    shape = (len(pool.rows), part.width(task.name))
    folder = vectors_folder(home, part.checkpoint, pool.data_set.fingerprint, task.name, pool.tag)
    found = load_vectors(folder, shape)
    if found is None:
        found = save_vectors(folder, shape, _blocks(part, task, pool, progress), part.checkpoint)
    if found is None:
        raise UserError(f'checkpoint "{part.checkpoint.name}" was removed or replaced by another process meanwhile')
    return found


def _blocks(part: LoadedModel, task: Task, pool: Pool, progress: Progress) -> Iterator[Vectors]:
    done = 0
    what = f"{part.checkpoint.name}: vectors of the train rows of {task.name} (once)"
    progress(what, 0, len(pool.rows))

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        progress(what, done, len(pool.rows))

    for block in part.vectors_of(pool.data_set, task.name, "train", pool.rows, count):
        yield unit(block)

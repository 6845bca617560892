"""A planned search: bounds, settings and storage checked, and a trial's drawn values as a cell."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smartcli.atomic import canonical_json
from smartcli.config import Settings
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.registry.names import check_name
from smartcli.workflows.search.bounds import Bounds
from smartcli.workflows.search.search_storage import NEEDS_EXTRA, Place, read_place
from smartcli.workflows.studies.cells import (
    NOT_COUNTED,
    Base,
    Cell,
    Planned,
    check_top,
    plan,
    resolve_cell,
    seeds_from,
    shared_flags,
)
from smartcli.workflows.studies.grid import PREFIX
from smartcli.workflows.studies.paper_recipes import cell_label

if TYPE_CHECKING:
    from smartcli.data.store import DataSet


@dataclass(frozen=True)
class Search:
    """What one worker does its part of: `trials` in all, drawn between `bounds` from `seed`, kept at `place`."""

    base: Base
    bounds: Bounds
    trials: int
    seed: int
    place: Place
    prune: bool
    about: Mapping[str, Any]
    """What all workers must have alike."""
    data_set: DataSet
    encoder: str
    tasks: tuple[str, ...]
    """The tasks that are trained; the mean of their dev scores is what is searched for."""

    @property
    def name(self) -> str:
        """The study's name in the storage."""
        return self.base.prefix

    def planned(self, root: int, params: Mapping[str, Any]) -> Planned:
        """Return the training of a trial: its name follows from its number, its values and all settings.

        UserError where the values, each allowed, do not go together.
        """
        cell = Cell(f"trial{root}", f"trial {root}: {cell_label(params)}", dict(params), self.seed)
        return plan(self.base, [cell])[0]

    def example(self) -> Planned:
        """Return a training between the bounds, for what all have alike."""
        return self.planned(0, {key: bound.ends[0] for key, bound in self.bounds.items()})


def plan_search(
    home: Home,
    bounds: Bounds,
    flags: Mapping[str, Any],
    *,
    trials: int,
    storage: str | None = None,
    prune: bool = True,
    top: int | None = None,
    config: Path | None = None,
    recipe: str | None = None,
) -> Search:
    """Check everything that can be checked before a storage is asked or anything trained.

    Without `storage` it is a journal in the home, one for each set of bounds and settings.
    """
    try:
        import optuna  # noqa: F401  said here, not in the middle of the work
    except ImportError as error:
        raise UserError(NEEDS_EXTRA) from error
    if trials < 1:
        raise UserError(f"--trials must be at least 1, found {trials}")
    if top is not None and not 2 <= top <= trials:
        raise UserError(f"--top must be from 2 to the {trials} trials of the search, found {top}")
    place = None if storage is None else read_place(storage)
    base = Base(home, str(flags.get("name") or PREFIX), shared_flags(flags, bounds, "this search"), config, recipe)
    (seed,) = seeds_from(base, 1)
    first = {key: bound.ends[0] for key, bound in bounds.items()}
    for key, bound in bounds.items():
        for end in bound.ends:
            resolve_cell(base, "finetune", {**base.flags, **first, key: end, "seed": seed})
    resolved = resolve_cell(base, "finetune", {**base.flags, **first, "seed": seed})
    if top is not None:
        check_top(resolved)
    usual, settings = Settings().to_json(), resolved.settings.to_json()
    about = {
        "bounds": {key: bound.to_json() for key, bound in bounds.items()},
        "settings": {
            key: value
            for key, value in settings.items()
            if key not in NOT_COUNTED and key not in bounds and value != usual[key]
        },
        "encoder": None if "encoder" in bounds else resolved.encoder,
        "data set": resolved.data_set.fingerprint,
    }
    tasks = tuple(resolved.settings.tasks or resolved.data_set.tasks.names)
    return Search(
        base,
        bounds,
        trials,
        seed,
        place or _own_journal(home, base.prefix, about),
        prune,
        about,
        resolved.data_set,
        resolved.encoder,
        tasks,
    )


def _own_journal(home: Home, prefix: str, about: Mapping[str, Any]) -> Place:
    check_name(prefix, "--name")
    digest = hashlib.sha256(canonical_json(about)).hexdigest()[:8]
    path = home.studies / f"{prefix}-{digest}.journal"
    return Place(str(path), path=path)

"""`--sampling balanced`: rows of rare classes are drawn more often, every class about equally often in a pass.

A pass has as many rows as ever. Of each class it takes the same number, going round the class's own rows in an order
of its own, so that each of them comes equally often (or once more); which of a frequent class's rows are left out
differs from pass to pass. It is a function of seed, task, pass and labels, so nothing about it needs to be saved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smartcli.config import Settings
from smartcli.data.own_split import strata
from smartcli.engine.streams import shuffled
from smartcli.tasks import TaskTable

if TYPE_CHECKING:
    from smartcli.engine.training.batches import Split

Groups = Mapping[str, NDArray[np.int64]]
"""By task whose draws are balanced: the group of each row (n,)."""


def groups_of(settings: Settings, tasks: TaskTable, train: Mapping[str, Split], names: Sequence[str]) -> Groups:
    """Return the groups of the tasks `names` that have classes: a row's class, of several labels its rarest one.

    Empty where each row is drawn once.
    """
    if settings.sampling != "balanced":
        return {}
    out = {}
    for name in names:
        labels = train[name].labels
        if tasks.get(name).kind != "regression" and labels is not None:
            out[name] = strata(labels, False)
    return out


def balanced_order(seed: int, task: str, passage: str, groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of one pass, (n,): of each group n/G, give or take one; the same for the same arguments."""
    found, counts = np.unique(groups, return_counts=True)
    share = np.full(len(found), len(groups) // len(found))
    # What does not divide evenly goes to other groups in each pass.
    share[shuffled(seed, task, f"{passage}/more", len(found)).numpy()[: len(groups) % len(found)]] += 1
    parts = []
    for group, count, wanted in zip(found.tolist(), counts.tolist(), share.tolist(), strict=True):
        rows = np.flatnonzero(groups == group)
        rounds = range(math.ceil(wanted / count))
        orders = [shuffled(seed, task, f"{passage}/{group}.{once}", count).numpy() for once in rounds]
        parts.append(rows[np.concatenate(orders)[:wanted]] if orders else rows[:0])
    drawn = np.concatenate(parts)
    return np.asarray(drawn[shuffled(seed, task, f"{passage}/mixed", len(drawn)).numpy()], dtype=np.int64)

"""`--swap-pairs`: the two sentences of a pair change places with a chance of P each time they are trained on.

Whether one question asks what another does, and how alike two sentences are, does not depend on which is named first,
but an encoder that reads both as one sequence has to learn that from the rows. Exchanged at random, they say so, and a
pair that is read several times is not always the same sequence. It is meant for such labels alone: where the order
counts (does the second sentence follow from the first?), it makes wrong rows.

The draw is a function of seed, task and step, so that a resumed run, and every process, exchanges the same pairs. Dev
and test rows keep their order. Axes: n rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from smartcli.data.ragged import Ragged
from smartcli.engine.streams import stream


def drawn_swaps(seed: int, task: str, step: int, count: int, chance: float) -> NDArray[np.bool_]:
    """Return which of a step's `count` pairs change places, (n,); the same for the same arguments."""
    drawn = torch.rand(count, dtype=torch.float64, generator=stream(seed, "swap pairs", task, step))
    found: NDArray[np.bool_] = (drawn < chance).numpy()
    return found


def exchanged(sides: Sequence[Ragged], rows: NDArray[np.int64], swapped: NDArray[np.bool_]) -> list[Ragged]:
    """Return both sides of `rows` (n,) in memory, exchanged where `swapped` (n,) says so."""
    n = len(rows)
    both = sides[0].take(rows).followed_by(sides[1].take(rows))
    first = np.arange(n) + n * swapped
    return [both.take(first), both.take((first + n) % (2 * n))]

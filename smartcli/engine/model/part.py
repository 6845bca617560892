"""What a batch is part of: of a step that several processes share, each has some rows and knows where they stand.

What is drawn by row (masks, noise) is drawn for the whole step in every process, and each takes its rows; sums over
examples are divided by the whole's counts. So no number depends on how many processes there are, up to the order of
sums, and nothing that computes with a batch needs to know. A batch may also be one of several that make an update
(`--accumulate`): sums are divided by the update's counts, and noise is the update's; masks are drawn batch by batch.
Axes: T tokens, S sentences, n examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from smartcli.engine.distributed import ALONE, Processes


class DrawnOnce:
    """What is drawn once for an update, and read by each of its `batches`; the last one lets it go."""

    def __init__(self, batches: int) -> None:
        self._batches, self._left = batches, 0
        self._drawn: Tensor | None = None

    def read(self, draw: Callable[[], Tensor]) -> Tensor:
        """Return what `draw()` returned to the first batch."""
        if self._drawn is None:
            self._drawn, self._left = draw(), self._batches
        drawn, self._left = self._drawn, self._left - 1
        if self._left == 0:
            self._drawn = None
        return drawn


@dataclass(frozen=True)
class Update:
    """An update that is made from several batches, as one of them, over all processes, sees it."""

    sizes: Mapping[str, int]
    """Its tokens, its sentences, and each task's examples, by axis."""
    tokens: Tensor
    """(T,) where this batch's tokens, those of this process, stand among the update's."""
    noise: DrawnOnce


@dataclass(frozen=True)
class Part:
    """For each axis that is drawn by row the `rows` of this process's batch among the `sizes` of the whole."""

    sizes: Mapping[str, int]
    rows: Mapping[str, Tensor]
    """Empty where the batch has all of them."""
    vocabulary: Tensor
    """(U,) the distinct ids of the whole, or of the whole update, ascending."""
    processes: Processes = ALONE
    """Those that share the whole."""
    update: Update | None = None
    """Where several batches make an update: what the whole itself is part of."""

    def count(self, task: str) -> int:
        """Return what sums over the examples of `task` are divided by: their number in the whole, or in the update."""
        return self._summed[f"example:{task}"]

    @property
    def sentences(self) -> int:
        """What sums over sentences are divided by."""
        return self._summed["sentence"]

    @property
    def _summed(self) -> Mapping[str, int]:
        return self.sizes if self.update is None else self.update.sizes

    def by_token(self, draw: Callable[[int], Tensor]) -> Tensor:
        """Return this batch's rows (T, …) of what `draw(tokens)` draws for every token of the whole, or the update."""
        update = self.update
        if update is None:
            return draw(self.sizes["token"]).index_select(0, self.rows["token"])
        return update.noise.read(lambda: draw(update.sizes["token"])).index_select(0, update.tokens)

    def to(self, device: torch.device) -> Part:
        """Return the same on `device`."""
        if device.type == "cpu":
            return self
        rows = {axis: index.to(device) for axis, index in self.rows.items()}
        update = None if self.update is None else replace(self.update, tokens=self.update.tokens.to(device))
        return replace(self, rows=rows, vocabulary=self.vocabulary.to(device), update=update)

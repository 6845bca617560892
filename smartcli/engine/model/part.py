"""What a batch is part of: of a step that several processes share, each has some rows and knows where they stand.

What is drawn by row (masks, noise) is drawn for the whole step in every process, and each takes its rows; sums over
examples are divided by the whole's counts. So no number depends on how many processes there are, up to the order of
sums, and nothing that computes with a batch needs to know. Axes: T tokens, S sentences, n examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from smartcli.engine.distributed import ALONE, Processes


@dataclass(frozen=True)
class Part:
    """For each axis that is drawn by row the `rows` of this process's batch among the `sizes` of the whole."""

    sizes: Mapping[str, int]
    rows: Mapping[str, Tensor]
    vocabulary: Tensor
    """(U,) the whole's distinct ids, ascending."""
    processes: Processes = ALONE
    """Those that share the whole."""

    def count(self, task: str) -> int:
        """Return the number of examples of `task` in the whole."""
        return self.sizes[f"example:{task}"]

    def to(self, device: torch.device) -> Part:
        """Return the same on `device`."""
        if device.type == "cpu":
            return self
        rows = {axis: index.to(device) for axis, index in self.rows.items()}
        return replace(self, rows=rows, vocabulary=self.vocabulary.to(device))

"""Layer-wise learning-rate decay: lower layers learn more slowly.

Howard & Ruder 2018 (arXiv 1801.06146), section 3.2, as later work uses it: with peak η, decay d and L layers,
η_heads = η_pooler = η, η_l = η·d^(L + 1 − l) for l = 1 … L, and the embeddings have η·d^(L + 1). The learning-rate
schedule multiplies them all alike. d = 1 is plain training.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_LAYER = re.compile(r"encoder\.layers\.(\d+)\.")


def depth_of(name: str, layers: int) -> int:
    """Return how many layers above it a parameter has: 0 for heads and pooler, 1 for the top layer, L + 1 below all.

    A table of relative positions, which all layers share, counts as an embedding; where layers norm before their
    halves, the LayerNorm between two layers counts to the lower one.
    """
    if not name.startswith("encoder.") or name.startswith("encoder.pooler."):
        return 0
    found = _LAYER.match(name)
    return layers + 1 if found is None else layers - int(found[1])


def rates_of(names: Iterable[str], decay: float, layers: int) -> dict[str, float]:
    """Return by parameter what the learning rate is multiplied by, in (0, 1]."""
    return {name: decay ** depth_of(name, layers) for name in names}

"""Label smoothing: a class that is given is nearly certain, not wholly.

Szegedy et al. 2016 (arXiv 1512.00567), section 7: q'(k) = (1 − s)·q(k) + s/C over C classes, so that logits need not
grow without end. Where each logit is a question of its own (binary with one logit, multilabel), C is 2: its target y
becomes (1 − s)·y + s/2. Scores stay as they are. Axes: n examples, C classes.
"""

from __future__ import annotations

from torch import Tensor


def smoothed(targets: Tensor, share: float) -> Tensor:
    """Return target probabilities (n, C), or of questions on their own (n,), with `share` of them spread evenly."""
    return (1.0 - share) * targets + share / targets.shape[-1]


def smoothed_apart(targets: Tensor, share: float) -> Tensor:
    """Return the same of targets that are each a question of its own: 0 becomes s/2, 1 becomes 1 − s/2."""
    return (1.0 - share) * targets + share / 2

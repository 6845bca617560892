"""Local attention: a token reads the tokens up to a distance on either side.

A bias like that of relative positions (Beltagy et al. 2020, arXiv 2004.05150, section 3.1, with a symmetric window):
0 within the window, and so low a number beyond it that its share is exactly 0, backward too. Axes: W longest sentence.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

BEYOND = -1e30
"""Not −inf: a padding row of a long grid may have no token within its window, and softmax of nothing is a NaN."""


@lru_cache(maxsize=16)
def _window(width: int, reach: int, device: torch.device) -> Tensor:
    # Kept, as the table of relative_buckets is.
    with torch.inference_mode(False):
        return beyond(torch.arange(width, device=device), reach)[None]


def beyond(place: Tensor, reach: int) -> Tensor:
    """Return (W, W) for the places (W,): 0 where query and key are at most `reach` apart, else `BEYOND`."""
    return ((place[:, None] - place[None, :]).abs() > reach).float() * BEYOND


def window_bias(width: int, reach: int, device: torch.device) -> Tensor | None:
    """Return what is added to scores, (1, W', W') with W' at least `width`; None where nothing is out of reach.

    `reach` 0 is attention to the whole sentence.
    """
    if reach == 0 or width <= reach + 1:
        return None
    # A power of two: few tables, whatever the lengths.
    return _window(1 << (width - 1).bit_length(), reach, device)

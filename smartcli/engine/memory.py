"""Which errors mean that memory ran out: torch, oneDNN and Python each say it in their own words."""

from __future__ import annotations

import torch

_WORDS = (
    "can't allocate memory",
    "cannot allocate memory",
    "out of memory",
    # oneDNN, which gives no reason; its matrix products of these kinds exist on every CPU, so memory is what lacks.
    "could not create a memory object",
    "could not create a primitive",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        any(words in text for words in _WORDS) or ("memory" in text and "alloc" in text)
    )

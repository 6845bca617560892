"""A step that the loop has asked for and not yet heard of, and what is said where memory runs out in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor

from smartcli.counts import counted
from smartcli.engine.memory import is_out_of_memory
from smartcli.engine.training.batches import Prepared
from smartcli.engine.training.outcome import Pending
from smartcli.errors import SmartCliError


@dataclass
class Waiting:
    """An update that was asked for: its batch, what of it is measured, and where the generators stood before it."""

    prepared: Prepared
    logged: bool
    check: bool
    streams: dict[str, Tensor] = field(default_factory=dict)
    pending: Pending = field(init=False)


@contextmanager
def memory_explained(number: int, prepared: Prepared) -> Iterator[None]:
    """Turn an error that means that memory ran out into one that names step `number`, its batch, and what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        size = f"{counted(prepared.count, 'example')} and {counted(prepared.tokens, 'token')}"
        raise SmartCliError(
            f"out of memory in step {number} with {size} ({str(error) or 'no reason'}); free memory and go on from the "
            "last save with --resume, or start another run with a lower --batch-size (of which --accumulate N "
            "sums N) or --max-length"
        ) from error

"""What a task's head is given of each row: the encoder's pooled output, without dropout.

Axes: n rows, D width (of both sentences side by side, where the pair mode reads them apart).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from smartcli.data.joining import sequences_of
from smartcli.engine.device import exact_multiplies
from smartcli.engine.inference.split_outputs import (
    Reader,
    batches_by_length,
    out_of_memory_explained,
    read_batch,
    tokens_per_batch,
    tokens_read,
)
from smartcli.engine.model.distinct_rows import pick
from smartcli.engine.model.multitask import MultiTaskModel
from smartcli.engine.model.packing import pack

if TYPE_CHECKING:
    from smartcli.data.ragged import Ragged

BLOCK = 8_192
"""Rows that are sorted by length, and held in memory, at a time."""


def width(model: MultiTaskModel, task_name: str) -> int:
    """Return D of a task's vectors."""
    apart = model.head(task_name).mode in ("separate", "cosine")
    return model.encoder.spec.hidden_size * (2 if apart else 1)


def vector_blocks(
    model: MultiTaskModel,
    task_name: str,
    sides: Sequence[Ragged],
    reader: Reader,
    rows: NDArray[np.int64],
    count: Callable[[int], None] = lambda done: None,
) -> Iterator[NDArray[np.float32]]:
    """Yield the vectors (up to BLOCK, D) of `rows`, in their order; `count` hears of the rows done of each batch.

    Raises FloatingPointError where a vector is not finite, SmartCliError where memory runs out.
    """
    device = next(model.parameters()).device
    model.eval()
    for start in range(0, len(rows), BLOCK):
        wanted = rows[start : start + BLOCK]
        lengths = np.sum([side.lengths[wanted] for side in sides], axis=0).astype(np.int64)
        out = np.empty((len(wanted), width(model, task_name)), np.float32)
        for batch_rows in batches_by_length(tokens_read(lengths, reader), tokens_per_batch(device)):
            # Not around the loop: the mode would hold in the caller's code between two blocks as well.
            with torch.inference_mode(), exact_multiplies(), out_of_memory_explained(task_name, lengths[batch_rows]):
                batch = read_batch(model, task_name, sides, reader, wanted[batch_rows], device)
                vectors = model.encoder(model.encoder.look_up(batch), batch, pooling=model.pooling)
                found = torch.cat([pick(vectors, index) for index in batch.outputs[task_name]], dim=-1)
                out[batch_rows] = found.float().cpu().numpy()
            count(len(batch_rows))
        if not np.isfinite(out).all():
            raise FloatingPointError(f'vectors of task "{task_name}" are not finite')
        yield out


def sentence_vectors(
    model: MultiTaskModel, sentences: Ragged, reader: Reader, budget: int | None = None
) -> NDArray[np.float32]:
    """Return the encoder's pooled vector of each sentence alone, (n, D), whatever the tasks are.

    Raises FloatingPointError where a vector is not finite, SmartCliError where memory runs out.
    """
    device = next(model.parameters()).device
    model.eval()
    out = np.empty((len(sentences.lengths), model.encoder.spec.hidden_size), np.float32)
    lengths = sentences.lengths.astype(np.int64)
    for rows in batches_by_length(tokens_read(lengths, reader), budget or tokens_per_batch(device)):
        with torch.inference_mode(), exact_multiplies(), out_of_memory_explained("encode", lengths[rows]):
            parts = sequences_of(reader.template, [sentences], rows, join=False, max_length=reader.max_length)
            batch = pack({"encode": parts}).to(device)
            vectors = model.encoder(model.encoder.look_up(batch), batch, pooling=model.pooling)
            out[rows] = pick(vectors, batch.outputs["encode"][0]).float().cpu().numpy()
    if not np.isfinite(out).all():
        raise FloatingPointError("vectors of sentences are not finite")
    return out

"""Outputs for whole splits: length-sorted packed batches in fp32, without gradients or dropout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from smartcli.counts import counted
from smartcli.data.joining import sequences_of
from smartcli.engine.device import exact_multiplies
from smartcli.engine.distributed import ALONE, Processes
from smartcli.engine.memory import is_out_of_memory
from smartcli.engine.model.heads import decide, joins_pairs
from smartcli.engine.model.multitask import MultiTaskModel
from smartcli.engine.model.packing import PackedBatch, pack
from smartcli.errors import SmartCliError

if TYPE_CHECKING:
    from smartcli.data.ragged import Ragged
    from smartcli.families.template import JoinTemplate

TOKENS_PER_BATCH = 4096
ON_GPU = 8
"""Times as many tokens in a batch on a GPU, which has more arithmetic to fill."""


@dataclass(frozen=True)
class Outputs:
    """Predictions (n,) as class numbers or scores, of several labels (n, C), and probabilities (n, C) or None."""

    predictions: NDArray[np.float64]
    probabilities: NDArray[np.float64] | None


@dataclass(frozen=True)
class Reader:
    """How stored tokens become the model's input."""

    template: JoinTemplate
    max_length: int


def tokens_per_batch(device: torch.device) -> int:
    """Return how many tokens a batch has at most, one long row aside."""
    return TOKENS_PER_BATCH * (ON_GPU if device.type == "cuda" else 1)


def batches_by_length(lengths: NDArray[np.int64], budget: int) -> list[NDArray[np.int64]]:
    """Return row numbers in batches of like length, longest first, each of at most `budget` tokens (or one row)."""
    order = np.argsort(-lengths, kind="stable")
    out: list[NDArray[np.int64]] = []
    start = used = 0
    for at, row in enumerate(order):
        size = int(lengths[row])
        if at > start and used + size > budget:
            out.append(order[start:at])
            start, used = at, 0
        used += size
    if start < len(order):
        out.append(order[start:])
    return out


def tokens_read(lengths: NDArray[np.int64], reader: Reader) -> NDArray[np.int64]:
    """Return about how many tokens the model reads of rows with these lengths, (n,), by which they are batched."""
    return np.minimum(lengths + 4, 2 * reader.max_length)


def read_batch(
    model: MultiTaskModel,
    task_name: str,
    sides: Sequence[Ragged],
    reader: Reader,
    rows: NDArray[np.int64],
    device: torch.device,
) -> PackedBatch:
    """Return the packed batch of `rows`, joined and truncated as the model reads them, on `device`."""
    join = joins_pairs(model.pair_mode)
    parts = sequences_of(reader.template, sides, rows, join=join, max_length=reader.max_length)
    return pack({task_name: parts}).to(device)


@contextmanager
def out_of_memory_explained(task_name: str, lengths: NDArray[np.int64]) -> Iterator[None]:
    """Turn an error that means that memory ran out into one that says for which batch, and what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        size = f"{counted(len(lengths), 'row')} with {int(lengths.sum()):,} tokens before truncation"
        why = str(error) or "no reason given"
        raise SmartCliError(
            f'out of memory while predicting task "{task_name}", in a batch of {size} ({why}); '
            "free memory and run it again (a training goes on from its last save with --resume), or train with "
            "a lower --max-length"
        ) from error


@torch.inference_mode()
@exact_multiplies()
def predict(
    model: MultiTaskModel,
    task_name: str,
    sides: Sequence[Ragged],
    reader: Reader,
    rows: NDArray[np.int64] | None = None,
    *,
    budget: int | None = None,
    processes: Processes = ALONE,
) -> Outputs:
    """Return the outputs of `rows` (all by default), in their order; several processes take some batches each.

    Raises FloatingPointError naming the task where an output is not finite, SmartCliError where memory runs out.
    """
    task = model.tasks.get(task_name)
    device = next(model.parameters()).device
    wanted = np.arange(len(sides[0])) if rows is None else rows
    lengths = np.sum([side.lengths[wanted] for side in sides], axis=0).astype(np.int64)
    # Zeros, so that the processes' parts can be added.
    predictions = np.zeros((len(wanted), task.classes) if task.kind == "multilabel" else len(wanted))
    shares: NDArray[np.float64] | None = None
    if task.kind != "regression":
        shares = np.zeros((len(wanted), 2 if task.kind == "binary" else task.classes))
    model.eval()
    batches = batches_by_length(tokens_read(lengths, reader), budget or tokens_per_batch(device))
    for batch_rows in batches[processes.rank :: processes.size]:
        with out_of_memory_explained(task_name, lengths[batch_rows]):
            batch = read_batch(model, task_name, sides, reader, wanted[batch_rows], device)
            logits = model(model.encoder.look_up(batch), batch)[task_name]
        if not bool(torch.isfinite(logits).all()):
            predictions[batch_rows] = np.nan
            break
        decided, probabilities = decide(task, logits)
        predictions[batch_rows] = decided.double().cpu().numpy()
        if shares is not None and probabilities is not None:
            shares[batch_rows] = probabilities.double().cpu().numpy()
    if processes.several:
        own = [torch.from_numpy(values) for values in (predictions, shares) if values is not None]
        predictions, *rest = (summed.numpy() for summed in processes.sum(own))
        shares = rest[0] if rest else None
    if np.isnan(predictions).any():
        raise FloatingPointError(f'outputs of task "{task_name}" are not finite')
    return Outputs(predictions, shares)

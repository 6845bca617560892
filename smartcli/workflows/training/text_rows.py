"""The sentences of a data set's tasks, each once, and those that are held out of training on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from smartcli.data.ragged import Ragged
from smartcli.data.store import DataSet
from smartcli.data.tokens import open_tokens
from smartcli.errors import UserError, suggest
from smartcli.tasks import SPLITS, TaskTable

if TYPE_CHECKING:
    from smartcli.families.tokenizer import SentenceTokenizer

SHARE_HELD_OUT, MOST_HELD_OUT = 0.05, 2000
FEWEST = 20
"""Sentences."""


@dataclass(frozen=True)
class Sentences:
    """Token ids of the sentences to train on and of those held out."""

    train: Ragged
    held_out: Ragged
    splits: tuple[str, ...]
    tasks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what a run and a checkpoint record of the text."""
        return {
            "splits": list(self.splits),
            "tasks": list(self.tasks),
            "sentences": len(self.train),
            "held_out": len(self.held_out),
        }


def read_splits(value: str | None) -> tuple[str, ...]:
    """Return the splits of `--splits`, train by default; a UserError lists those there are."""
    names = ("train",) if value is None else tuple(part.strip() for part in value.split(","))
    for name in names:
        if name not in SPLITS:
            raise UserError(f'--splits must be a list of {", ".join(SPLITS)}; found "{name}"{suggest(name, SPLITS)}')
    if "train" not in names:
        raise UserError("--splits must have train: the sentences that are held out come from there")
    return tuple(split for split in SPLITS if split in names)


def read_sentences(
    data_set: DataSet, tokenizer: SentenceTokenizer, tasks: TaskTable, splits: Sequence[str]
) -> Sentences:
    """Return every distinct sentence of the tasks' splits; the held-out ones stand in train rows, and never train.

    Which are held out follows from the data, and not from the seed. A UserError where there are fewer than 20.
    """
    tokens = open_tokens(data_set, tokenizer)
    found: dict[bytes, bool] = {}
    for split in splits:
        for task in tasks:
            if split in data_set.splits(task.name):
                for side in tokens.sides(task.name, split):
                    for row in range(len(side)):
                        if len(side[row]):
                            found.setdefault(side[row].tobytes(), split == "train")
    sentences = [np.frombuffer(raw, dtype=np.int32) for raw in found]
    own = np.flatnonzero(list(found.values()))
    if len(own) < FEWEST:
        raise UserError(
            f'the train rows of "{data_set.name}" have {len(own)} different sentences; pretrain-text needs {FEWEST} or '
            "more, of which some are held out"
        )
    count = min(MOST_HELD_OUT, max(1, round(SHARE_HELD_OUT * len(own))))
    seed = int.from_bytes(bytes.fromhex(data_set.fingerprint)[:8], "big")
    aside = np.zeros(len(sentences), np.bool_)
    aside[np.random.default_rng(seed).choice(own, count, replace=False)] = True
    pairs = list(zip(sentences, aside.tolist(), strict=True))
    train, held_out = ([sentence for sentence, out in pairs if out == want] for want in (False, True))
    return Sentences(Ragged.of(train), Ragged.of(held_out), tuple(splits), tasks.names)

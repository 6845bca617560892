"""Outputs of a registered model: on a split of a data set, or on rows that a user brings."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smartcli.config import Settings
from smartcli.data.predictions import Predictions, TaskPredictions
from smartcli.data.ragged import Ragged
from smartcli.data.store import DataSet
from smartcli.data.tokens import open_tokens
from smartcli.errors import SmartCliError, UserError
from smartcli.explain.words import words_of
from smartcli.families.spec import read_spec
from smartcli.families.tokenizer import SentenceTokenizer
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.content import check_tokenizer
from smartcli.tasks import Task

if TYPE_CHECKING:
    from smartcli.engine.inference.split_outputs import Outputs, Reader
    from smartcli.engine.model.multitask import MultiTaskModel


def predictions_of(data_set: DataSet, split: str, outputs: Mapping[str, Outputs]) -> Predictions:
    """Return outputs with ids and labels, tasks in table order."""
    out: Predictions = {}
    for task in data_set.tasks:
        if task.name in outputs:
            rows, found = data_set.rows(task.name, split), outputs[task.name]
            out[task.name] = TaskPredictions(
                task.name, rows.id_list(), rows.labels, found.predictions, found.probabilities
            )
    return out


class LoadedModel:
    """A checkpoint's model in fp32, or its linear layers in int8, every file verified, ready to predict."""

    def __init__(self, home: Home, checkpoint: Checkpoint, device: str = "auto", *, int8: bool = False) -> None:
        """Load the model to `device` (auto, cpu, cuda); with `int8` always to the CPU.

        UserErrors: an ensemble, which has no model of its own; int8 on a GPU, or without kernels for it.
        """
        if int8 and device == "cuda":
            raise UserError("--precision int8 runs on a CPU alone; leave out --device cuda, or predict in fp32")
        if checkpoint.kind == "ensemble":
            raise UserError(f'"{checkpoint.name}" is an ensemble, which has no weights of its own; load its members')
        for file in ("config.json", "model.safetensors", "tokenizer.json"):
            checkpoint.path(file)
        # Only now: torch takes seconds to load, and a checkpoint without weights needs none of it.
        from smartcli.engine.device import choose_device
        from smartcli.engine.inference.split_outputs import Reader
        from smartcli.engine.model.build import build_model, load_heads

        settings = Settings.from_json(checkpoint.meta.settings)
        self.home, self.checkpoint = home, checkpoint
        self.tasks = checkpoint.heads
        spec = read_spec(checkpoint.folder)
        self.tokenizer = SentenceTokenizer.from_folder(checkpoint.folder, spec)
        check_tokenizer(checkpoint.folder, self.tokenizer.hash, checkpoint.meta.encoder)
        self.model: MultiTaskModel = build_model(checkpoint.folder, spec, self.tasks, settings)
        load_heads(
            self.model,
            checkpoint.read("heads.safetensors"),
            self.tasks.names,
            f"{checkpoint.name}/heads.safetensors",
        )
        self.model.to(choose_device("cpu" if int8 else device)).eval()
        if int8:
            from smartcli.engine.inference.int8 import to_int8

            to_int8(self.model)
        self.reader: Reader = Reader(self.tokenizer.template, settings.max_length)

    def outputs(self, task: str, sides: Sequence[Ragged], budget: int | None = None) -> Outputs:
        """Return the outputs of every row of a task, in batches of at most `budget` tokens (None: the usual ones)."""
        from smartcli.engine.inference.split_outputs import TOKENS_PER_BATCH, predict

        with self._finite():
            return predict(self.model, task, sides, self.reader, budget=budget or TOKENS_PER_BATCH)

    @contextmanager
    def _finite(self) -> Iterator[None]:
        try:
            yield
        except FloatingPointError as error:
            raise SmartCliError(f'checkpoint "{self.checkpoint.name}": {error}; it cannot be used') from error

    def on_split(self, data_set: DataSet, split: str) -> Predictions:
        """Return predictions for every task of the model that has rows in the split."""
        tokens = open_tokens(data_set, self.tokenizer)
        names = [t.name for t in self.tasks if t.name in data_set.tasks and split in data_set.splits(t.name)]
        return predictions_of(data_set, split, {name: self.outputs(name, tokens.sides(name, split)) for name in names})

    def on_rows(self, data_set: DataSet, task: str, split: str, rows: NDArray[np.int64] | None) -> Outputs:
        """Return the outputs of some rows of a split, or of all (None), in their order."""
        from smartcli.engine.inference.split_outputs import predict

        sides = open_tokens(data_set, self.tokenizer).sides(task, split)
        with self._finite():
            return predict(self.model, task, sides, self.reader, rows)

    def label(self, task_name: str, texts: Sequence[Sequence[str]], *, budget: int | None = None) -> TaskPredictions:
        """Return predictions for rows given as one or two texts each; ids are row numbers from 0."""
        task = self.tasks.get(task_name, "--task")
        found = self.outputs(task_name, self._sides(task, texts), budget)
        ids = [str(number) for number in range(len(texts))]
        shares = found.probabilities
        if not ids and task.kind != "regression":
            shares = np.empty((0, task.classes))
        return TaskPredictions(task_name, ids, None, found.predictions, shares)

    def encode(self, texts: Sequence[str], budget: int | None = None) -> NDArray[np.float32]:
        """Return the encoder's pooled vector of each sentence, (n, D), in batches of at most `budget` tokens."""
        from smartcli.engine.inference.vectors import sentence_vectors

        with self._finite():
            return sentence_vectors(self.model, Ragged.of(self.tokenizer.encode(list(texts))), self.reader, budget)

    def vector(self, task_name: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return what the head is given of one row, (D,)."""
        from smartcli.engine.inference.vectors import vector_blocks

        sides = self._sides(self.tasks.get(task_name, "--task"), [texts])
        with self._finite():
            (block,) = vector_blocks(self.model, task_name, sides, self.reader, np.zeros(1, np.int64))
        return np.asarray(block[0])

    def vectors_of(
        self, data_set: DataSet, task: str, split: str, rows: NDArray[np.int64], count: Callable[[int], None]
    ) -> Iterator[NDArray[np.float32]]:
        """Yield what the head is given of a split's `rows`, in blocks; `count` hears of the rows done."""
        from smartcli.engine.inference.vectors import vector_blocks

        sides = open_tokens(data_set, self.tokenizer).sides(task, split)
        with self._finite():
            yield from vector_blocks(self.model, task, sides, self.reader, rows, count)

    def width(self, task: str) -> int:
        """Return D, the width of what a task's head is given of a row."""
        from smartcli.engine.inference.vectors import width

        return width(self.model, task)

    def reads(self, texts: Sequence[str]) -> list[Reach]:
        """Return how much of each text of a row is read, so that a very long one need not be carried along whole."""
        most = self.reader.max_length
        # A token has a character at least, but for the odd one of bytes; a short text needs no look.
        ends = [self.tokenizer.ends(text) if len(text) > most else [] for text in texts]
        out = [reach(text, own, most) for text, own in zip(texts, ends, strict=True)]
        if len(texts) == 2 and all(len(own) > most for own in ends):
            # Which sentence is the longer one decides how a pair is truncated, and must stay so.
            out = _same_order(out, ends, most)
        return out

    def _sides(self, task: Task, texts: Sequence[Sequence[str]]) -> list[Ragged]:
        return [Ragged.of(self.tokenizer.encode([row[side] for row in texts])) for side in range(len(task.text))]


@dataclass(frozen=True)
class Reach:
    """Characters of a text: a word that starts before `read` may be read; of the text `needed` are enough for that."""

    read: int
    needed: int


def reach(text: str, ends: Sequence[int], most: int) -> Reach:
    """Return how much is read of a text whose tokens end at `ends`, by a model that reads at most `most` tokens.

    `needed` is enough with any one of the read words left out: `most` tokens beyond the last of them.
    """
    if len(ends) <= most:
        return Reach(len(text), len(text))
    read = ends[most - 1]
    last = next((word.stop for word in reversed(words_of([text])) if word.start < read), read)
    return Reach(read, ends[min(bisect_left(ends, last) + most, len(ends) - 1)])


def _same_order(found: Sequence[Reach], ends: Sequence[Sequence[int]], most: int) -> list[Reach]:
    """Return reaches of two long texts that leave as many more tokens of the longer one, or as many of both."""
    kept = [bisect_left(own, one.needed) for own, one in zip(ends, found, strict=True)]
    longer = len(ends[0]) - len(ends[1])
    for side, ahead in ((0, longer), (1, -longer)):
        if ahead >= 0:
            kept[side] = max(kept[side], kept[1 - side] + min(ahead, most))
    return [Reach(one.read, own[min(count, len(own) - 1)]) for one, own, count in zip(found, ends, kept, strict=True)]


def run_model(home: Home, checkpoint: Checkpoint, data_set: DataSet, split: str, *, int8: bool = False) -> Predictions:
    """Return a checkpoint's predictions on a split, computed now."""
    return LoadedModel(home, checkpoint, int8=int8).on_split(data_set, split)


def label_rows(
    home: Home, checkpoint: Checkpoint, task: str, texts: Sequence[Sequence[str]], *, int8: bool = False
) -> TaskPredictions:
    """Return a checkpoint's predictions for rows that are in no data set."""
    return LoadedModel(home, checkpoint, int8=int8).label(task, texts)

"""Batches of few shapes: padded to a bucket, every number of a step in one flat array that is copied at once.

A captured CUDA graph repeats its kernels on the same memory, so a step's batch must have the shape of an earlier one.
What is padded counts nothing: absent examples are multiplied by 0, padding tokens belong to a last sentence that only
absent examples read, and padding of the word list names a row behind the table. Axes: T tokens, S sentences, L the
longest sentence, n examples, all padded; V words in the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smartcli.engine.distributed import ALONE, Processes
from smartcli.engine.model.packing import Group, PackedBatch, Padding
from smartcli.engine.model.part import Part
from smartcli.engine.model.sub_batch import SubBatch

Ints = NDArray[np.int64]
LEAST_TOKENS, LEAST_STEP = 64, 32


def padded_tokens(tokens: int) -> int:
    """Return how many rows a batch of so many tokens has: more by one at least, by an eighth at most beside 32."""
    need = max(tokens + 1, LEAST_TOKENS)
    step = max(LEAST_STEP, 1 << (need.bit_length() - 4))
    return -(-need // step) * step


def padded_width(longest: int) -> int:
    """Return the smallest of 16, 24, 32, 48, 64, 96, … that holds the longest sentence."""
    width = 16
    while width < longest:
        width = width * 3 // 2 if width & (width - 1) == 0 else width * 4 // 3
    return width


@dataclass(frozen=True)
class Shape:
    """T, S and L of a batch, and for each task its sides and examples (n)."""

    tokens: int
    sentences: int
    width: int
    tasks: tuple[tuple[str, int, int], ...]

    @classmethod
    def of(cls, batch: PackedBatch, most: Mapping[str, int], width: int | None = None) -> Shape:
        """Return the bucket of a batch whose tasks have at most `most` examples; `width` is L where that is given."""
        tasks = tuple((task, len(sides), most[task]) for task, sides in batch.outputs.items())
        longest = int(batch.lengths.numpy().max()) if batch.sentences else 1
        # One sentence more, which the padding tokens and absent examples belong to.
        sentences = sum(sides * n for _, sides, n in tasks) + 1
        return cls(padded_tokens(batch.tokens), sentences, width or padded_width(longest), tasks)

    def fields(self, prefix: str, whole: bool) -> Iterator[tuple[str, int]]:
        """Yield name and length of each array of a batch; with `whole` also where it stands in that."""
        for name in ("ids", "types", "positions", "sentence", "word", "slots", "vocabulary"):
            yield f"{prefix}{name}", self.tokens
        yield f"{prefix}starts", self.sentences
        yield f"{prefix}lengths", self.sentences
        yield f"{prefix}source", self.sentences * self.width
        for task, sides, n in self.tasks:
            for side in range(sides):
                yield f"{prefix}side {side} {task}", n
            yield f"{prefix}present {task}", n
            yield f"{prefix}count {task}", 1
        yield f"{prefix}sentence present", self.sentences
        yield f"{prefix}sentence count", 1
        if whole:
            yield f"{prefix}whole token", self.tokens
            yield f"{prefix}whole sentence", self.sentences
            for task, _, n in self.tasks:
                yield f"{prefix}whole example:{task}", n


@dataclass(frozen=True)
class SubShape:
    """The bucket of some tasks' sub-batch."""

    tasks: tuple[str, ...]
    shape: Shape
    whole: Shape | None


@dataclass(frozen=True)
class PassShape:
    """The buckets of one training batch: itself, each distinct sub-batch, and what they are part of."""

    batch: Shape
    whole: Shape | None
    subs: tuple[SubShape, ...]
    terms: tuple[tuple[str, tuple[str, ...]], ...]
    """By term: its tasks; with all tasks its sub-batch is the batch."""
    several: tuple[tuple[str, int], ...] = ()
    """Tasks whose rows have C labels each, and C."""

    def fields(self) -> Iterator[tuple[str, int]]:
        """Yield name and length of each array."""
        yield from self.batch.fields("", self.whole is not None)
        if self.whole is not None:
            yield "whole vocabulary", self.whole.tokens
        several = dict(self.several)
        for task, _, n in self.batch.tasks:
            yield f"labels {task}", n * several.get(task, 1)
        for sub in self.subs:
            prefix = f"{'+'.join(sub.tasks)}: "
            yield from sub.shape.fields(prefix, sub.whole is not None)
            yield f"{prefix}tokens of", sub.shape.tokens
            yield f"{prefix}sentences of", sub.shape.sentences

    @property
    def size(self) -> int:
        """Numbers of 8 bytes in all."""
        return int(max(place.stop for place in _places(self).values()))


def pass_shape(
    batch: PackedBatch,
    subs: Mapping[tuple[str, ...], SubBatch],
    terms: Mapping[str, tuple[str, ...]],
    most: Mapping[str, int],
    wholes: Mapping[tuple[str, ...], PackedBatch] | None = None,
    several: Mapping[str, int] | None = None,
) -> PassShape:
    """Return the bucket of a batch, of its sub-batches by tasks, and of what they are part of (`wholes`, by tasks).

    `terms` has each term's tasks, `most` the most examples of each task, `several` C where rows have several labels.
    """
    names = tuple(batch.outputs)
    whole = None if wholes is None else Shape.of(wholes[names], most)
    # A part has the width of the whole, and a sub-batch that of its batch, so that dropout's masks fit.
    shape = Shape.of(batch, most, None if whole is None else whole.width)
    parts = []
    for tasks in sorted(subs):
        of = None if wholes is None else Shape.of(wholes[tasks], most, shape.width)
        parts.append(SubShape(tasks, Shape.of(subs[tasks].batch, most, shape.width), of))
    return PassShape(shape, whole, tuple(parts), tuple(terms.items()), tuple((several or {}).items()))


@lru_cache(maxsize=1024)
def _places(shape: PassShape) -> dict[str, slice]:
    out, start = {}, 0
    for name, length in shape.fields():
        out[name] = slice(start, start + length)
        start += length
    return out


class _Arrays:
    """The named arrays of a flat one, of NumPy or torch."""

    def __init__(self, flat: Ints | Tensor, shape: PassShape) -> None:
        self.flat, self.at = flat, _places(shape)

    def __getitem__(self, name: str) -> Ints | Tensor:
        return self.flat[self.at[name]]


def _fill(out: _Arrays, prefix: str, batch: PackedBatch, shape: Shape, words: int, whole: Shape | None) -> None:
    """Write a batch; `words` is V."""

    def put(name: str, values: Ints, padding: int) -> None:
        target = out[prefix + name]
        assert isinstance(target, np.ndarray)
        target[: len(values)], target[len(values) :] = values, padding

    last, sentence, positions = shape.tokens - 1, batch.sentence.numpy(), batch.positions.numpy()
    for name, values in (("ids", batch.ids), ("types", batch.types), ("positions", batch.positions)):
        put(name, values.numpy(), 0)
    put("sentence", sentence, shape.sentences - 1)
    put("word", batch.word.numpy(), last)
    put("vocabulary", batch.vocabulary.numpy(), words)
    slots = sentence * shape.width + positions
    put("slots", slots, (shape.sentences - 1) * shape.width)
    put("starts", batch.starts.numpy(), last)
    put("lengths", batch.lengths.numpy(), 1)
    source = out[prefix + "source"]
    assert isinstance(source, np.ndarray)
    source[:] = last
    source[slots] = np.arange(batch.tokens)
    for task, sides, n in shape.tasks:
        for side in range(sides):
            put(f"side {side} {task}", batch.outputs[task][side].numpy(), shape.sentences - 1)
        here = batch.outputs[task][0].shape[0]
        put(f"present {task}", np.ones(here, np.int64), 0)
        counted = batch.count(task)
        put(f"count {task}", np.array([here if counted is None else int(counted)]), 0)
        if whole is not None and batch.part is not None:
            put(f"whole example:{task}", batch.part.rows[f"example:{task}"].numpy(), n - 1)
    put("sentence present", np.ones(batch.sentences, np.int64), 0)
    part = batch.part
    put("sentence count", np.array([batch.sentences if part is None else part.sizes["sentence"]]), 0)
    if whole is not None and part is not None:
        put("whole token", part.rows["token"].numpy(), whole.tokens - 1)
        put("whole sentence", part.rows["sentence"].numpy(), whole.sentences - 1)


def lay_out(
    batch: PackedBatch,
    labels: Mapping[str, NDArray[np.float64]],
    subs: Mapping[tuple[str, ...], SubBatch],
    shape: PassShape,
    words: int,
) -> Ints:
    """Return every number of a step's batch as one flat array (shape.size,); `words` is V."""
    flat = np.zeros(shape.size, np.int64)
    out = _Arrays(flat, shape)
    _fill(out, "", batch, shape.batch, words, shape.whole)
    if shape.whole is not None and batch.part is not None:
        vocabulary = batch.part.vocabulary.numpy()
        flat[out.at["whole vocabulary"]] = words
        flat[out.at["whole vocabulary"]][: len(vocabulary)] = vocabulary
    for task, values in labels.items():
        flat[out.at[f"labels {task}"]].view(np.float64)[: values.size] = values.ravel()
    for own in shape.subs:
        sub, prefix = subs[own.tasks], f"{'+'.join(own.tasks)}: "
        _fill(out, prefix, sub.batch, own.shape, words, own.whole)
        for name, rows, padding in (
            ("tokens of", sub.tokens, shape.batch.tokens - 1),
            ("sentences of", sub.sentences, shape.batch.sentences - 1),
        ):
            target = flat[out.at[prefix + name]]
            target[: len(rows)], target[len(rows) :] = rows.numpy(), padding
    return flat


def _read(
    out: _Arrays, prefix: str, shape: Shape, whole: Shape | None, vocabulary: Tensor, processes: Processes
) -> PackedBatch:
    def get(name: str) -> Tensor:
        found = out[prefix + name]
        assert isinstance(found, Tensor)
        return found

    lengths = get("lengths")
    inside = torch.arange(shape.width, device=lengths.device) < lengths[:, None]
    mask = torch.zeros(inside.shape, device=lengths.device).masked_fill_(~inside, -torch.inf)
    group = Group(0, shape.sentences, 0, shape.tokens, shape.width, 0, mask[:, None, None, :], 0)
    names = [task for task, _, _ in shape.tasks]
    padding = Padding(
        source=get("source"),
        inside=inside,
        present={task: get(f"present {task}").float() for task in names},
        counts={task: get(f"count {task}").float()[0] for task in names},
        sentence=get("sentence present").float(),
        sentences=get("sentence count").float()[0],
    )
    part = None
    if whole is not None:
        sizes = {"token": whole.tokens, "sentence": whole.sentences, "attention0": whole.sentences}
        rows = {"token": get("whole token"), "sentence": get("whole sentence"), "attention0": get("whole sentence")}
        for task, _, n in shape.tasks:
            sizes[f"example:{task}"], rows[f"example:{task}"] = n, get(f"whole example:{task}")
        part = Part(sizes, rows, vocabulary, processes)
    return PackedBatch(
        ids=get("ids"),
        types=get("types"),
        positions=get("positions"),
        sentence=get("sentence"),
        starts=get("starts"),
        lengths=lengths,
        groups=(group,),
        outputs={t: tuple(get(f"side {side} {t}") for side in range(sides)) for t, sides, _ in shape.tasks},
        vocabulary=get("vocabulary"),
        word=get("word"),
        slots=get("slots"),
        part=part,
        padding=padding,
    )


def read(
    flat: Tensor, shape: PassShape, processes: Processes = ALONE
) -> tuple[PackedBatch, dict[str, Tensor], dict[str, SubBatch]]:
    """Return the batch, the labels (n,) and each term's sub-batch that `flat` (shape.size,) holds, as views of it.

    Of a task whose rows have several labels these are (n, C).

    What is computed from them is computed anew at each call: attention's mask and the counts.
    """
    out = _Arrays(flat, shape)
    words = flat[out.at["whole vocabulary"]] if shape.whole is not None else flat[:0]
    batch = _read(out, "", shape.batch, shape.whole, words, processes)
    labels = {task: flat[out.at[f"labels {task}"]].view(torch.float64).float() for task, _, _ in shape.batch.tasks}
    labels |= {task: labels[task].view(-1, classes) for task, classes in shape.several}
    made: dict[tuple[str, ...], SubBatch] = {}
    for own in shape.subs:
        prefix = f"{'+'.join(own.tasks)}: "
        sub = _read(out, prefix, own.shape, own.whole, words, processes)
        tokens, sentences = flat[out.at[prefix + "tokens of"]], flat[out.at[prefix + "sentences of"]]
        made[own.tasks] = SubBatch(sub, tokens, sentences, {0: sentences})
    everything = SubBatch(batch, flat[:0], flat[:0], {})  # Its rows are never asked for: nothing is picked of it.
    return batch, labels, {term: made.get(tasks, everything) for term, tasks in shape.terms}

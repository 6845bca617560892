"""Padding-free batches: the tokens of all sentences end to end, and padded views for attention alone.

Axes: T tokens, S sentences (a joined pair is one), G groups of sentences of like length, L the longest
sentence of a group, D width. Sentences are ordered by length, so that a group is one slice of tokens and
short sentences do not pay for long ones in attention.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smartcli.data.joining import Sequences
from smartcli.data.ragged import within
from smartcli.engine.model.part import Part

Ints = NDArray[np.int64]
MAX_GROUPS = 4


def mean(values: Tensor, count: int | Tensor | None = None, present: Tensor | None = None) -> Tensor:
    """Return the mean of `values` (n,), a scalar; with `count` their part in a mean over so many examples.

    `present` (n,) has 1 for each value that counts and 0 for one that is padding.
    """
    if present is not None:
        values = values * present.to(values.dtype)
    return values.mean() if count is None else values.sum() / count


@dataclass(frozen=True)
class Group:
    """Sentences `start:stop` of the batch, tokens `first:last`, padded to `width` in attention."""

    start: int
    stop: int
    first: int
    last: int
    width: int
    row: int
    """Its first row in the padded grid of all groups."""
    mask: Tensor
    """(stop − start, 1, 1, width) float: 0 at tokens, −inf at padding."""
    key: int
    """Number of the group in the batch it was made for; names its attention dropout masks."""

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Padding:
    """What of a batch of fixed shape (fixed_shape.py) is real; the rest counts nothing."""

    source: Tensor
    """(n · L,) the token at each row of the padded grid; the last token, which is padding, where there is none."""
    inside: Tensor
    """(S, L) whether a sentence has a token there."""
    present: Mapping[str, Tensor]
    """For each task (n,): 1 for an example, 0 for padding."""
    counts: Mapping[str, Tensor]
    """For each task its number of examples in the whole, a scalar."""
    sentence: Tensor
    """(S,): 1 for a sentence, 0 for padding."""
    sentences: Tensor
    """The number of sentences in the whole, a scalar."""


@dataclass(frozen=True)
class PackedBatch:
    """One encoder input: `ids`, `types`, `positions`, `sentence` (T,), `starts`, `lengths` (S,)."""

    ids: Tensor
    types: Tensor
    positions: Tensor
    sentence: Tensor
    starts: Tensor
    lengths: Tensor
    groups: tuple[Group, ...]
    outputs: Mapping[str, tuple[Tensor, ...]]
    """For each task, for each side, the sentence index (n,) of each example."""
    vocabulary: Tensor
    """(U,) the distinct ids, ascending."""
    word: Tensor
    """(T,) index of each token's id in `vocabulary`."""
    slots: Tensor
    """(T,) row of each token in the padded grid: for each group n · L rows, sentence by sentence."""
    part: Part | None = None
    """Where this stands in the step's batch, of which other processes have the rest; None where it is the whole."""
    padding: Padding | None = None
    """Where the batch has a fixed shape: what of it is real."""

    @property
    def tokens(self) -> int:
        return self.ids.shape[0]

    @property
    def sentences(self) -> int:
        return self.starts.shape[0]

    @property
    def grid_rows(self) -> int:
        """Rows of the padded grid, Σ n · L over the groups."""
        return sum(len(group) * group.width for group in self.groups)

    @property
    def examples(self) -> dict[str, int]:
        """Number of examples of each task."""
        return {task: int(sides[0].shape[0]) for task, sides in self.outputs.items()}

    @property
    def whole_tokens(self) -> int:
        """Tokens of the whole that this is part of."""
        return self.tokens if self.part is None else self.part.sizes["token"]

    @property
    def whole_vocabulary(self) -> Tensor:
        """(U,) the distinct ids of the whole that this is part of, ascending."""
        return self.vocabulary if self.part is None else self.part.vocabulary

    def count(self, task: str) -> int | Tensor | None:
        """Return what sums over the examples of `task` are divided by; None: by their number, this is the whole."""
        if self.padding is not None:
            return self.padding.counts[task]
        return None if self.part is None else self.part.count(task)

    def present(self, task: str) -> Tensor | None:
        """Return 1 for each example of `task` and 0 for padding, (n,); None where all are examples."""
        return None if self.padding is None else self.padding.present[task]

    def only_present(self, values: Tensor, task: str, other: Tensor) -> Tensor:
        """Return `values` (n, …) of the examples of `task`, and `other` for what is padding; it has no gradient."""
        present = self.present(task)
        if present is None:
            return values
        return torch.where(present.view(-1, *([1] * (values.dim() - 1))) > 0, values, other)

    def mean(self, values: Tensor, task: str) -> Tensor:
        """Return the mean of `values` (n,) over the whole's examples of `task`, or this part's share in it."""
        return mean(values, self.count(task), self.present(task))

    def mean_of_sentences(self, values: Tensor) -> Tensor:
        """Return the mean of `values` (S,) over the whole's sentences, or this part's share in it."""
        if self.padding is not None:
            return mean(values, self.padding.sentences, self.padding.sentence)
        return mean(values, None if self.part is None else self.part.sentences)

    def by_token(self, draw: Callable[[int], Tensor]) -> Tensor:
        """Return this part's rows (T, …) of what `draw(tokens)` draws for every token of the whole."""
        return draw(self.tokens) if self.part is None else self.part.by_token(draw)

    @property
    def may_read_values(self) -> bool:
        """Whether a value may be read inside a step: not with a fixed shape, whose step may be captured."""
        return self.padding is None or self.part is not None

    def any(self, value: bool) -> bool:
        """Return whether `value` holds in any part of the whole."""
        return value if self.part is None else self.part.processes.any(value)

    def to(self, device: torch.device) -> PackedBatch:
        """Return the batch on `device`."""
        if device.type == "cpu":
            return self
        move = {name: getattr(self, name).to(device, non_blocking=True) for name in _TENSORS}
        groups = tuple(replace(g, mask=g.mask.to(device)) for g in self.groups)
        outputs = {task: tuple(side.to(device) for side in sides) for task, sides in self.outputs.items()}
        part = None if self.part is None else self.part.to(device)
        return replace(self, groups=groups, outputs=outputs, part=part, **move)


_TENSORS = ("ids", "types", "positions", "sentence", "starts", "lengths", "vocabulary", "word", "slots")


def split_groups(lengths: Ints, most: int = MAX_GROUPS) -> list[tuple[int, int]]:
    """Return slices of ascending `lengths` that keep the padded attention area Σ n·L² small.

    Each slice costs a few kernel calls as well, so a slice must save more than that.
    """
    if len(lengths) == 0:
        return []
    overhead = 4096.0
    bounds = [(0, len(lengths))]
    while len(bounds) < most:
        best: tuple[float, int, int] | None = None
        for place, (start, stop) in enumerate(bounds):
            if stop - start < 2:
                continue
            ends = np.arange(start + 1, stop)
            area = (ends - start) * lengths[ends - 1] ** 2.0 + (stop - ends) * float(lengths[stop - 1]) ** 2
            saved = (stop - start) * float(lengths[stop - 1]) ** 2 - area - overhead
            at = int(np.argmax(saved))
            if saved[at] > 0 and (best is None or saved[at] > best[0]):
                best = (float(saved[at]), place, int(ends[at]))
        if best is None:
            break
        _, place, cut = best
        start, stop = bounds[place]
        bounds[place : place + 1] = [(start, cut), (cut, stop)]
    return bounds


def make_group(start: int, stop: int, lengths: Ints, width: int, key: int, row: int) -> Group:
    part = lengths[start:stop]
    inside = np.arange(width)[None, :] < part[:, None]
    mask = np.where(inside, 0.0, -np.inf).astype(np.float32)[:, None, None, :]
    first = int(lengths[:start].sum())
    last = first + int(part.sum())
    return Group(
        start=start, stop=stop, first=first, last=last, width=width, row=row, mask=torch.from_numpy(mask), key=key
    )


def pack(sequences: Mapping[str, Sequence[Sequences]], *, most_groups: int = MAX_GROUPS) -> PackedBatch:
    """Return one packed batch of every task's sequences (one `Sequences` a side).

    With `most_groups` 0 it has no groups, and no `slots`: those of a fixed shape are laid out later.
    """
    parts = [side for sides in sequences.values() for side in sides]
    ids, types = np.concatenate([p.ids for p in parts]), np.concatenate([p.types for p in parts])
    lengths = np.concatenate([p.lengths for p in parts])
    order = np.argsort(lengths, kind="stable")
    old_starts = np.cumsum(lengths) - lengths
    lengths = lengths[order]
    positions = within(lengths)
    gather = np.repeat(old_starts[order], lengths) + positions
    ids, types = ids[gather], types[gather]
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    outputs: dict[str, tuple[Tensor, ...]] = {}
    at = 0
    for task, sides in sequences.items():
        indices = []
        for side in sides:
            indices.append(torch.from_numpy(rank[at : at + len(side)]))
            at += len(side)
        outputs[task] = tuple(indices)
    groups, row = [], 0
    for key, (start, stop) in enumerate(split_groups(lengths, most_groups) if most_groups else ()):
        width = int(lengths[stop - 1])
        groups.append(make_group(start, stop, lengths, width, key, row))
        row += (stop - start) * width
    return make_batch(ids, types, positions, lengths, tuple(groups), outputs)


def make_batch(
    ids: Ints,
    types: Ints,
    positions: Ints,
    lengths: Ints,
    groups: tuple[Group, ...],
    outputs: dict[str, tuple[Tensor, ...]],
) -> PackedBatch:
    vocabulary, word = np.unique(ids, return_inverse=True)
    first_rows = [group.row + np.arange(len(group)) * group.width for group in groups]
    return PackedBatch(
        ids=torch.from_numpy(ids),
        types=torch.from_numpy(types),
        positions=torch.from_numpy(positions),
        sentence=torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths)),
        starts=torch.from_numpy(np.cumsum(lengths) - lengths),
        lengths=torch.from_numpy(lengths),
        groups=groups,
        outputs=outputs,
        vocabulary=torch.from_numpy(vocabulary),
        word=torch.from_numpy(word.reshape(-1)),
        slots=torch.from_numpy(
            np.repeat(np.concatenate([np.zeros(0, np.int64), *first_rows]), lengths) + positions
            if groups or not len(lengths)
            else positions[:0]
        ),
    )

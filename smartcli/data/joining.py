"""Joins stored token ids into the sequences that an encoder reads, truncating the longer sentence first.

Axes: n examples, T tokens of all sequences laid end to end, S sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smartcli.data.ragged import Ragged, within

if TYPE_CHECKING:
    from smartcli.families.template import JoinTemplate

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sequences:
    """Sequences laid end to end: `ids` and `types` (T,), `lengths` (S,), and how many were truncated."""

    ids: Ints
    types: Ints
    lengths: Ints
    truncated: int
    cut: NDArray[np.bool_] | None = None
    """(S,) which were truncated, where that is known."""

    def __len__(self) -> int:
        return len(self.lengths)

    def split(self, counts: Sequence[int]) -> list[Sequences]:
        """Return the first `counts[0]` sequences, the next `counts[1]` and so on."""
        assert self.cut is not None
        ends = np.cumsum(counts)
        edges = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths)])
        out = []
        for start, stop in zip(ends - counts, ends, strict=True):
            tokens, cut = slice(edges[start], edges[stop]), self.cut[start:stop]
            own = self.lengths[start:stop]
            out.append(Sequences(self.ids[tokens], self.types[tokens], own, int(cut.sum()), cut))
        return out


def fit_pair(first: Ints, second: Ints, budget: int) -> tuple[Ints, Ints]:
    """Return the lengths (n,), (n,) that fit `budget` together, taken from the longer sentence first.

    Where both must be cut, each gets half and the longer one (the second of equals) the odd token, as
    Hugging Face tokenizers' `longest_first` does.
    """
    short, long = np.minimum(first, second), np.maximum(first, second)
    over = short + long > budget
    long_cut = np.where(over, np.maximum(short, budget - short), long)
    both = short + long_cut > budget
    short_cut = np.where(both, budget // 2, short)
    long_cut = np.where(both, budget // 2 + budget % 2, long_cut)
    swap = first > second
    return np.where(swap, long_cut, short_cut), np.where(swap, short_cut, long_cut)


def _lay(pieces: Sequence[tuple[Any, Ints, int]], cut: NDArray[np.bool_]) -> Sequences:
    """Lay pieces side by side in each sequence; a piece is (token ids per row, length per row, type id)."""
    lengths = np.sum([piece_lengths for _, piece_lengths, _ in pieces], axis=0)
    starts = np.cumsum(lengths) - lengths
    total = int(lengths.sum())
    ids, types = np.empty(total, np.int64), np.empty(total, np.int64)
    for values, piece_lengths, type_id in pieces:
        at = np.repeat(starts, piece_lengths) + within(piece_lengths)
        ids[at] = values
        types[at] = type_id
        starts = starts + piece_lengths
    return Sequences(ids, types, lengths, int(cut.sum()), cut)


def _special(tokens: tuple[int, ...], n: int, type_id: int) -> tuple[Any, Ints, int]:
    return np.tile(np.asarray(tokens, np.int64), n), np.full(n, len(tokens), np.int64), type_id


def _words(side: Ragged, rows: Ints, lengths: Ints, type_id: int) -> tuple[Any, Ints, int]:
    source = np.repeat(np.asarray(side.offsets)[rows], lengths) + within(lengths)
    return side.ids[source], lengths, type_id


def _lengths(side: Ragged, rows: Ints) -> Ints:
    offsets = np.asarray(side.offsets)
    return np.asarray(offsets[rows + 1] - offsets[rows], np.int64)


def join_single(template: JoinTemplate, side: Ragged, rows: Ints, max_length: int) -> Sequences:
    """Return one sequence a row: the sentence between the template's special tokens."""
    budget = max_length - len(template.single_prefix) - len(template.single_suffix)
    full = _lengths(side, rows)
    kept = np.minimum(full, budget)
    first, last = template.single_types[0], template.single_types[-1]
    pieces = [
        _special(template.single_prefix, len(rows), first),
        _words(side, rows, kept, first),
        _special(template.single_suffix, len(rows), last),
    ]
    return _lay(pieces, kept < full)


def join_pair(template: JoinTemplate, sides: Sequence[Ragged], rows: Ints, max_length: int) -> Sequences:
    """Return one sequence a row: both sentences, joined as the tokenizer's own post-processor joins them."""
    special = len(template.pair_prefix) + len(template.pair_middle) + len(template.pair_suffix)
    full_a, full_b = _lengths(sides[0], rows), _lengths(sides[1], rows)
    kept_a, kept_b = fit_pair(full_a, full_b, max_length - special)
    type_a, type_middle, type_b = template.pair_types
    n = len(rows)
    pieces = [
        _special(template.pair_prefix, n, type_a),
        _words(sides[0], rows, kept_a, type_a),
        _special(template.pair_middle, n, type_middle),
        _words(sides[1], rows, kept_b, type_b),
        _special(template.pair_suffix, n, type_b),
    ]
    return _lay(pieces, (kept_a < full_a) | (kept_b < full_b))


def sequences_of(
    template: JoinTemplate, sides: Sequence[Ragged], rows: Ints, *, join: bool, max_length: int
) -> list[Sequences]:
    """Return the sequences of a batch: one `Sequences` when single or joined, else one for each side."""
    if len(sides) == 2 and join:
        return [join_pair(template, sides, rows, max_length)]
    return [join_single(template, side, rows, max_length) for side in sides]


def input_lengths(
    template: JoinTemplate, sides: Sequence[Ragged], rows: Ints, *, join: bool, max_length: int
) -> tuple[Ints, int]:
    """Return how many tokens the sequences of each row have together, (n,), and how many sequences are truncated.

    What `sequences_of` would lay, without laying it.
    """
    full = [_lengths(side, rows) for side in sides]
    if len(sides) == 2 and join:
        kept = list(fit_pair(full[0], full[1], max_length - template.pair_extra))
        cut = (kept[0] < full[0]) | (kept[1] < full[1])
        return kept[0] + kept[1] + template.pair_extra, int(cut.sum())
    kept = [np.minimum(one, max_length - template.single_extra) for one in full]
    total: Ints = np.sum([one + template.single_extra for one in kept], axis=0)
    return total, int(sum((k < f).sum() for k, f in zip(kept, full, strict=True)))

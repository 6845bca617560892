"""Which tokens of a batch a masked language model has to guess, and what stands in their place.

Devlin et al. 2019: 15 % of the tokens, of which 80 % become the mask token, 10 % a random word, and 10 % stay; by whole
words, as their later models have it: all pieces of a word are chosen together, and each is replaced for itself. Each
word is chosen with a probability of .15, so that of every length the same share is.

Axes: T tokens, V words of the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smartcli.engine.model.packing import PackedBatch
from smartcli.families.word_starts import WordTable

SHARE, MASKED, RANDOM = 0.15, 0.8, 0.1


@dataclass(frozen=True)
class Masked:
    """A batch's `ids` (T,) with what stands in the place of the tokens `at` (M,), whose own ids are `labels` (M,)."""

    ids: Tensor
    at: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Masker:
    """A `WordTable` as tensors (V,) on the CPU; `ordinary` are the ids that may be put in at random."""

    starts: Tensor
    special: Tensor
    mask: int
    ordinary: Tensor

    @classmethod
    def of(cls, table: WordTable) -> Masker:
        """Return the masker of a vocabulary."""
        special = torch.from_numpy(table.special)
        return cls(torch.from_numpy(table.starts), special, table.mask, torch.nonzero(~special).view(-1))

    def words(self, batch: PackedBatch) -> tuple[Tensor, Tensor]:
        """Return the number of each token's word, (T,), and whether it may be masked, (T,); `batch` is on the CPU."""
        may = ~self.special[batch.ids]
        before = torch.cat([may.new_zeros(1), may[:-1]])
        begins = self.starts[batch.ids] | ~may | ~before
        begins[batch.starts] = True
        return begins.long().cumsum(0) - 1, may

    def draw(self, batch: PackedBatch, generator: torch.Generator) -> Masked:
        """Return what is masked of `batch`, by draws of `generator`; one word at least where there is any."""
        word, may = self.words(batch)
        chances = torch.rand(int(word[-1]) + 1, generator=generator)[word]
        chances = torch.where(may, chances, torch.ones_like(chances))
        chosen = (chances < SHARE) & may
        if not bool(chosen.any()):
            chosen = may & (chances == chances.min())
        what = torch.rand(len(word), generator=generator)
        other = self.ordinary[torch.randint(len(self.ordinary), (len(word),), generator=generator)]
        ids = torch.where(chosen & (what < MASKED), torch.full_like(batch.ids, self.mask), batch.ids)
        ids = torch.where(chosen & (what >= MASKED) & (what < MASKED + RANDOM), other, ids)
        at = torch.nonzero(chosen).view(-1)
        return Masked(ids, at, batch.ids[at])

"""What is masked: whole words, a known share of them, and never a special token."""

from __future__ import annotations

import numpy as np
import torch
from small_model import _folder

from smartcli.data.joining import join_single
from smartcli.data.ragged import Ragged
from smartcli.engine.model.packing import PackedBatch, pack
from smartcli.engine.streams import stream
from smartcli.engine.training.word_masks import Masker
from smartcli.families.spec import read_spec
from smartcli.families.tokenizer import SentenceTokenizer
from smartcli.families.word_starts import word_table
from tests.tiny import vocabulary

FOLDER = _folder("bert")
SPEC = read_spec(FOLDER)
TOKENIZER = SentenceTokenizer.from_folder(FOLDER, SPEC)
MASKER = Masker.of(word_table(TOKENIZER, SPEC.vocab_size, FOLDER))


def batch_of(*texts: str) -> PackedBatch:
    side = Ragged.of(TOKENIZER.encode(list(texts)))
    return pack({"text": [join_single(TOKENIZER.template, side, np.arange(len(texts), dtype=np.int64), 64)]})


def test_words_are_numbered_by_hand() -> None:
    # [CLS] film ##s walk ##ed . [SEP]
    word, may = MASKER.words(batch_of("films walked."))
    assert word.tolist() == [0, 1, 1, 2, 2, 3, 4]
    assert may.tolist() == [False, True, True, True, True, True, False]


def test_a_sentence_that_begins_within_a_word_begins_a_word() -> None:
    side = Ragged.of([np.array([vocabulary()["##s"], vocabulary()["##s"]], np.int32)])
    batch = pack({"text": [join_single(TOKENIZER.template, side, np.zeros(1, np.int64), 64)]})
    assert MASKER.words(batch)[0].tolist() == [0, 1, 1, 2]


def test_all_pieces_of_a_word_are_chosen_together_and_special_tokens_never() -> None:
    batch = batch_of(*["films walked quickly, the plots were boring"] * 8)
    word, may = MASKER.words(batch)
    for seed in range(40):
        masked = MASKER.draw(batch, stream(seed, "test"))
        chosen = torch.zeros(batch.tokens, dtype=torch.bool)
        chosen[masked.at] = True
        assert not chosen[~may].any()
        for number in range(int(word[-1]) + 1):
            assert len(set(chosen[word == number].tolist())) == 1
        torch.testing.assert_close(masked.labels, batch.ids[masked.at])
        assert torch.equal(masked.ids[~chosen], batch.ids[~chosen])


def test_the_shares_are_15_percent_and_80_10_10() -> None:
    batch = batch_of(*["the film was good and the plot was not bad at all"] * 400)
    may = MASKER.words(batch)[1].sum().item()
    counts = np.zeros(3)
    for seed in range(20):
        masked = MASKER.draw(batch, stream(seed, "test"))
        now = masked.ids[masked.at]
        counts += [len(now), (now == MASKER.mask).sum(), (now == masked.labels).sum()]
        assert not MASKER.special[now[now != MASKER.mask]].any()
    n = counts[0]
    # Four standard deviations of so many draws.
    assert abs(n / (20 * may) - 0.15) < 4 * np.sqrt(0.15 * 0.85 / (20 * may))
    assert abs(counts[1] / n - 0.8) < 4 * np.sqrt(0.16 / n)
    kept = 0.1 + 0.1 / len(MASKER.ordinary)
    assert abs(counts[2] / n - kept) < 4 * np.sqrt(kept * (1 - kept) / n)


def test_the_same_generator_gives_the_same_masks_and_a_tiny_batch_has_one_word_at_least() -> None:
    batch = batch_of("film")
    for seed in range(20):
        one, two = (MASKER.draw(batch, stream(seed, "test")) for _ in range(2))
        assert torch.equal(one.ids, two.ids)
        assert torch.equal(one.at, two.at)
        assert one.at.tolist() == [1]

"""Joining and truncation: as the tokenizer's own post-processor and `longest_first` do them, row by row."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from smartcli.data.joining import fit_pair, join_pair, join_single, sequences_of, within
from smartcli.data.ragged import Ragged
from smartcli.families.family_table import FAMILIES
from smartcli.families.spec import read_spec
from smartcli.families.template import JoinTemplate
from smartcli.families.tokenizer import SentenceTokenizer
from tests.tiny import WORDS, make_tiny_encoder

TYPES = list(FAMILIES)


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_within_counts_from_zero_in_each_run() -> None:
    assert within(integers(3, 0, 2)).tolist() == [0, 1, 2, 0, 1]
    assert within(integers()).tolist() == []


@pytest.mark.parametrize(
    ("first", "second", "budget", "kept"),
    [
        (3, 4, 10, (3, 4)),  # fits
        (9, 2, 6, (4, 2)),  # the longer one gives way
        (2, 9, 6, (2, 4)),
        (9, 8, 7, (4, 3)),  # both are cut: halves, and the odd token to the longer
        (8, 9, 7, (3, 4)),
        (9, 9, 7, (3, 4)),  # of equals to the second
        (0, 9, 5, (0, 5)),
        (5, 2, 4, (2, 2)),
    ],
)
def test_pairs_are_cut_by_hand_worked_lengths(first: int, second: int, budget: int, kept: tuple[int, int]) -> None:
    a, b = fit_pair(integers(first), integers(second), budget)
    assert (int(a[0]), int(b[0])) == kept


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("types")
    return {model_type: make_tiny_encoder(root / model_type, model_type) for model_type in TYPES}


def reference(folder: Path, max_length: int | None = None) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if max_length is not None:
        tokenizer.enable_truncation(max_length, strategy="longest_first")
    return tokenizer


def test_truncation_equals_longest_first_for_every_length(folders: dict[str, Path]) -> None:
    lengths = list(itertools.product(range(9), range(9)))
    firsts, seconds = (np.array(side, np.int64) for side in zip(*lengths, strict=True))
    for budget in range(1, 12):
        tokenizer = reference(folders["bert"], budget + 3)
        found = tokenizer.encode_batch([(" ".join(["film"] * a), " ".join(["good"] * b)) for a, b in lengths])
        theirs = [(one.sequence_ids.count(0), one.sequence_ids.count(1)) for one in found]
        ours = list(zip(*(side.tolist() for side in fit_pair(firsts, seconds, budget)), strict=True))
        assert ours == theirs, budget


def sentences(seed: int, count: int = 12) -> list[str]:
    draw = np.random.default_rng(seed)
    made = [" ".join(draw.choice(WORDS, int(draw.integers(1, 15)))) for _ in range(count - 2)]
    return [*made, "", "x"]


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("max_length", [9, 16, 64])
def test_rows_are_joined_as_the_tokenizer_itself_joins_them(
    folders: dict[str, Path], model_type: str, max_length: int
) -> None:
    spec = read_spec(folders[model_type])
    ours = SentenceTokenizer.from_folder(folders[model_type], spec)
    theirs = reference(folders[model_type], max_length)
    first, second = sentences(1), sentences(2)[::-1]
    sides = [Ragged.of(ours.encode(first)), Ragged.of(ours.encode(second))]
    rows = np.random.default_rng(3).permutation(len(first))
    typed = spec.family.type_ids and spec.token_types > 1

    for found, encoded in (
        (join_single(ours.template, sides[0], rows, max_length), theirs.encode_batch([first[i] for i in rows])),
        (
            join_pair(ours.template, sides, rows, max_length),
            theirs.encode_batch([(first[i], second[i]) for i in rows]),
        ),
    ):
        assert found.lengths.tolist() == [len(one.ids) for one in encoded]
        assert found.ids.tolist() == [token for one in encoded for token in one.ids]
        wanted = [kind if typed else 0 for one in encoded for kind in one.type_ids]
        assert found.types.tolist() == wanted
        assert found.truncated == sum(bool(one.overflowing) for one in encoded)


def test_a_pair_is_one_sequence_when_joined_and_two_when_not(folders: dict[str, Path]) -> None:
    tokenizer = SentenceTokenizer.from_folder(folders["bert"], read_spec(folders["bert"]))
    sides = [Ragged.of(tokenizer.encode(sentences(1))), Ragged.of(tokenizer.encode(sentences(2)))]
    rows = integers(4, 0)
    assert len(sequences_of(tokenizer.template, sides, rows, join=True, max_length=64)) == 1
    apart = sequences_of(tokenizer.template, sides, rows, join=False, max_length=64)
    for side, found in zip(sides, apart, strict=True):
        alone = join_single(tokenizer.template, side, rows, 64)
        assert found.ids.tolist() == alone.ids.tolist()
    assert len(sequences_of(tokenizer.template, sides[:1], rows, join=True, max_length=64)) == 1


def test_a_row_drawn_twice_stands_twice() -> None:
    side = Ragged.of([np.array([7, 8], np.int32), np.array([9], np.int32)])
    plain = JoinTemplate((1,), (2,), (1,), (2,), (2,), (0, 0), (0, 0, 1))
    found = join_single(plain, side, integers(1, 0, 1), 8)
    assert found.ids.tolist() == [1, 9, 2, 1, 7, 8, 2, 1, 9, 2]
    both = join_pair(plain, [side, side], integers(0), 8)
    assert both.ids.tolist() == [1, 7, 8, 2, 7, 8, 2]
    assert both.types.tolist() == [0, 0, 0, 0, 1, 1, 1]

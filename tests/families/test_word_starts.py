"""Where words begin, by three ways of writing pieces; what is special; and which token stands for a masked one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from smartcli.errors import UserError
from smartcli.families.spec import read_spec
from smartcli.families.tokenizer import SentenceTokenizer
from smartcli.families.word_starts import WordTable, word_table
from tests.tiny import make_tiny_encoder, tiny_tokenizer, vocabulary


def load(folder: Path) -> SentenceTokenizer:
    return SentenceTokenizer.from_folder(folder, read_spec(folder))


def table_of(folder: Path) -> WordTable:
    return word_table(load(folder), read_spec(folder).vocab_size, folder)


def begins(folder: Path, text: str) -> list[bool]:
    """Whether each piece of a text begins a word; its first one does."""
    table = table_of(folder)
    (ids,) = load(folder).encode([text])
    return [at == 0 or bool(table.starts[number]) for at, number in enumerate(ids)]


def test_word_pieces_that_continue_begin_with_the_prefix(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path / "tiny")
    tokenizer = load(folder)
    text = "The films were boring, and the plot walked."
    pieces = tokenizer._tokenizer.encode(text, add_special_tokens=False)
    words = pieces.word_ids
    assert begins(folder, text) == [at == 0 or words[at] != words[at - 1] for at in range(len(words))]
    assert not all(begins(folder, text))


def test_special_tokens_and_ids_without_a_piece_are_special_and_words_are_not(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path / "tiny", vocab_size=len(vocabulary()) + 3)
    table, vocab = table_of(folder), vocabulary()
    assert table.mask == vocab["[MASK]"]
    special = {number for number, one in enumerate(table.special) if one}
    assert special == {vocab[t] for t in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")} | {
        len(vocab) + more for more in range(3)
    }


def other_pieces(folder: Path, space: str, pre: dict[str, Any]) -> Path:
    """The tiny RoBERTa with a BPE of whole pieces, in which a word's first piece begins with `space`."""
    pieces = [
        "<s>",
        "<pad>",
        "</s>",
        "[UNK]",
        "<mask>",
        *"abcdefghij,",
        space,
        f"{space}a",
        f"{space}b",
        "bc",
        f"{space}ab",
    ]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    merges = [[space, "a"], [space, "b"], ["b", "c"], [f"{space}a", "b"]]
    content = tiny_tokenizer("roberta")
    content["model"] = {"type": "BPE", "vocab": vocab, "merges": merges, "unk_token": "[UNK]", "dropout": None,
                        "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False}  # fmt: skip
    content["normalizer"], content["pre_tokenizer"], content["decoder"] = None, pre, None
    template = content["post_processor"]
    template["special_tokens"] = {t: {"id": t, "ids": [vocab[t]], "tokens": [t]} for t in ("<s>", "</s>")}
    content["added_tokens"] = [{**entry, "id": vocab[entry["content"]]} for entry in content["added_tokens"]]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("space", "pre"),
    [
        ("Ġ", {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}),
        ("▁", {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}),
    ],
    ids=["byte-level", "sentence-piece"],
)
def test_a_word_begins_with_a_space_or_is_punctuation(tmp_path: Path, space: str, pre: dict[str, Any]) -> None:
    folder = other_pieces(make_tiny_encoder(tmp_path / "tiny", "roberta"), space, pre)
    # Pieces: ␣ab c d, ␣b g   or with the comma as a piece of its own
    tokens = load(folder)._tokenizer.encode("abcd, bg", add_special_tokens=False).tokens
    expected = [at == 0 or token.startswith(space) or token == "," for at, token in enumerate(tokens)]
    assert begins(folder, "abcd, bg") == expected
    assert expected.count(True) == 3 < len(expected)


def test_a_tokenizer_without_a_mask_token_is_an_error_that_says_what_is_needed(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path / "tiny")
    text = (folder / "tokenizer.json").read_text().replace("[MASK]", "[GAP]")
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(UserError, match=r"no mask token \(\[MASK\] or <mask>\)"):
        table_of(folder)

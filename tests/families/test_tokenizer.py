"""Sentences to ids, the join template, vocab.txt alone, and tokenizers that do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smartcli.errors import UserError
from smartcli.families.spec import read_spec
from smartcli.families.tokenizer import SentenceTokenizer
from tests.tiny import make_tiny_encoder, tiny_tokenizer, vocabulary

LONG = "the film was good and the plot was not bad at all but the script is dull and the ending is very slow"


def load(folder: Path) -> SentenceTokenizer:
    return SentenceTokenizer.from_folder(folder, read_spec(folder))


def rewrite(folder: Path, **parts: Any) -> Path:
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**content, **parts}))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_tiny_encoder(tmp_path / "tiny")


def only_vocab(folder: Path, **config: Any) -> Path:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary()))
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_ids_by_hand_without_special_tokens(folder: Path) -> None:
    vocab = vocabulary()
    ids = load(folder).encode(["The film was good.", "", "films"])
    assert ids[0].tolist() == [vocab["the"], vocab["film"], vocab["was"], vocab["good"], vocab["."]]
    assert ids[1].tolist() == []
    assert ids[2].tolist() == [vocab["film"], vocab["##s"]]
    assert all(one.dtype == np.int32 for one in ids)


def test_padding_and_truncation_of_the_file_are_switched_off(folder: Path) -> None:
    stored = json.loads((folder / "tokenizer.json").read_text())
    assert stored["truncation"]["max_length"] == 16  # as in MiniLM's file, which says 128
    assert stored["padding"]["strategy"] == {"Fixed": 16}
    assert [len(ids) for ids in load(folder).encode([LONG, "good"])] == [len(LONG.split()), 1]


def test_bert_joins_with_one_separator_and_type_1_for_the_second(folder: Path) -> None:
    template = load(folder).template
    assert template.pair((7, 8), (9,)) == ((2, 7, 8, 3, 9, 3), (0, 0, 0, 0, 1, 1))
    assert template.single((7, 8)) == ((2, 7, 8, 3), (0, 0, 0, 0))
    assert (template.single_extra, template.pair_extra) == (2, 3)


@pytest.mark.parametrize("model_type", ["roberta", "mpnet"])
def test_roberta_and_mpnet_join_with_two_separators_and_no_types(tmp_path: Path, model_type: str) -> None:
    template = load(make_tiny_encoder(tmp_path, model_type)).template
    assert template.pair((7, 8), (9,)) == ((0, 7, 8, 2, 2, 9, 2), (0,) * 7)


def test_distilbert_joins_as_bert_but_has_no_types(tmp_path: Path) -> None:
    assert load(make_tiny_encoder(tmp_path, "distilbert")).template.pair((7,), (9,)) == ((2, 7, 3, 9, 3), (0,) * 5)


def test_type_ids_that_the_encoder_lacks_are_taken_as_0(tmp_path: Path) -> None:
    assert load(make_tiny_encoder(tmp_path, type_vocab_size=1)).template.pair_types == (0, 0, 0)


def test_the_template_is_the_files_own(folder: Path) -> None:
    parts = tiny_tokenizer()["post_processor"]
    parts["pair"] = [parts["pair"][i] for i in (1, 2, 3, 4)]  # no [CLS] in pairs
    template = load(rewrite(folder, post_processor=parts)).template
    assert (template.pair_prefix, template.pair_middle, template.pair_suffix) == ((), (3,), (3,))


def test_what_joins_nothing_or_swaps_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="puts no special token around a sentence"):
        load(rewrite(folder, post_processor=None))
    parts = tiny_tokenizer()["post_processor"]
    parts["pair"] = [parts["pair"][i] for i in (0, 3, 2, 1, 4)]
    with pytest.raises(UserError, match=r"tokenizer\.json: it joins sentences as .*expected the sentences in order"):
        load(rewrite(folder, post_processor=parts))


def test_the_hash_sees_the_vocabulary_but_not_padding_order_or_spaces(folder: Path) -> None:
    first = load(folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    backwards = dict(reversed(content.items()))
    (folder / "tokenizer.json").write_text(json.dumps({**backwards, "padding": None, "truncation": None}, indent=4))
    assert load(folder).hash == first.hash
    content["model"]["vocab"]["the"], content["model"]["vocab"]["film"] = (
        content["model"]["vocab"]["film"],
        content["model"]["vocab"]["the"],
    )
    assert load(rewrite(folder, model=content["model"])).hash != first.hash


def test_to_json_gives_the_same_tokenizer_again(folder: Path) -> None:
    first = load(folder)
    again = SentenceTokenizer.from_json(first.to_json(), read_spec(folder), "checkpoint")
    assert (again.hash, again.template, again.to_json()) == (first.hash, first.template, first.to_json())
    assert [ids.tolist() for ids in again.encode([LONG])] == [ids.tolist() for ids in first.encode([LONG])]


def test_a_vocabulary_larger_than_the_embedding_table_is_refused(tmp_path: Path) -> None:
    size = len(vocabulary())
    folder = make_tiny_encoder(tmp_path, vocab_size=size - 1)
    with pytest.raises(
        UserError, match=rf'token "first" has id {size - 1}, but config\.json says "vocab_size" {size - 1}'
    ):
        load(folder)
    assert load(make_tiny_encoder(tmp_path, vocab_size=size + 5))  # tables are often padded


def test_a_largest_id_outside_the_table_is_refused_even_if_the_count_fits(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path)
    model = tiny_tokenizer()["model"]
    model["vocab"]["first"] = 5000
    with pytest.raises(UserError, match='token "first" has id 5000'):
        load(rewrite(folder, model=model))


@pytest.mark.parametrize("raw", ["", "{}", "[1]", '{"version": "1.0", "model": {"type": "Nothing"}}', "null"])
def test_what_is_no_tokenizer_is_one_clear_error(folder: Path, raw: str) -> None:
    (folder / "tokenizer.json").write_text(raw)
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        load(folder)


def test_a_missing_unknown_token_is_found_before_training(folder: Path) -> None:
    model = {**tiny_tokenizer()["model"], "unk_token": "[NONE]"}
    with pytest.raises(UserError, match="cannot encode a character outside its vocabulary"):
        load(rewrite(folder, model=model))


def test_vocab_txt_alone_equals_the_tokenizer_file(folder: Path) -> None:
    texts = ["The film, é 電影!", LONG, "unknown 🧿 character", "[SEP] in text"]
    expected = [ids.tolist() for ids in load(folder).encode(texts)]
    found = load(only_vocab(folder))
    assert [ids.tolist() for ids in found.encode(texts)] == expected
    assert found.template.pair((7, 8), (9,)) == ((2, 7, 8, 3, 9, 3), (0, 0, 0, 0, 1, 1))


def test_vocab_txt_lower_cases_only_if_the_config_says_so(folder: Path) -> None:
    vocab = vocabulary()
    cased = load(only_vocab(folder, do_lower_case=False))
    assert cased.encode(["the The"])[0].tolist() == [vocab["the"], vocab["[UNK]"]]
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    assert load(folder).encode(["the The"])[0].tolist() == [vocab["the"]] * 2


def test_vocab_txt_reads_accents_and_special_tokens_from_the_config(folder: Path) -> None:
    vocab = vocabulary()
    assert load(only_vocab(folder, strip_accents=False)).encode(["é"])[0].tolist() == [vocab["[UNK]"]]
    (folder / "tokenizer_config.json").write_text(json.dumps({"cls_token": {"content": "[MASK]"}}))
    assert load(folder).template.single_prefix == (vocab["[MASK]"],)
    (folder / "tokenizer_config.json").write_text(json.dumps({"unk_token": "<unk>"}))
    with pytest.raises(UserError, match=r'vocab\.txt: no "<unk>" \(unk_token\)'):
        load(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": "no"}))
    with pytest.raises(UserError, match="\"do_lower_case\" is 'no'; expected true or false"):
        load(folder)


def test_vocab_txt_is_not_enough_for_types_that_split_otherwise(tmp_path: Path) -> None:
    folder = only_vocab(make_tiny_encoder(tmp_path, "mpnet"))
    with pytest.raises(UserError, match=r"no tokenizer\.json; vocab\.txt alone does not say.*AutoTokenizer"):
        load(folder)
    (folder / "vocab.txt").unlink()
    with pytest.raises(UserError, match=r"no tokenizer\.json\. Make one once"):
        load(folder)

"""What config.json may say, and what is refused before memory is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from smartcli.errors import UserError
from smartcli.families.family_table import FAMILIES
from smartcli.families.spec import parse_spec, read_spec
from tests.tiny import tiny_config

BERT_BASE = {
    "architectures": ["BertForMaskedLM"],
    "attention_probs_dropout_prob": 0.1,
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
    "transformers_version": "4.6.0.dev0",
    "type_vocab_size": 2,
    "use_cache": True,
    "vocab_size": 30522,
}


def changed(model_type: str = "bert", **config: Any) -> dict[str, Any]:
    return {**tiny_config(model_type), **config}


def test_bert_base_reads_as_published() -> None:
    spec = parse_spec(BERT_BASE, "config.json")
    assert (spec.hidden_size, spec.layers, spec.heads, spec.ffn_size) == (768, 12, 12, 3072)
    assert (spec.vocab_size, spec.positions, spec.position_offset, spec.max_tokens) == (30522, 512, 0, 512)
    assert (spec.token_types, spec.embedding_size, spec.layer_norm_eps, spec.activation) == (2, 768, 1e-12, "gelu")
    assert (spec.relative_buckets, spec.relative_distance) == (0, 0)


@pytest.mark.parametrize("model_type", ["roberta", "mpnet", "xlm-roberta", "camembert"])
def test_514_positions_hold_512_tokens(model_type: str) -> None:
    spec = parse_spec(changed(model_type, max_position_embeddings=514), "config.json")
    assert (spec.positions, spec.position_offset, spec.max_tokens) == (514, 2, 512)


def test_roberta_positions_follow_the_padding_id() -> None:
    assert parse_spec(changed("roberta", pad_token_id=3), "config.json").position_offset == 4
    with pytest.raises(UserError, match='no "pad_token_id"'):
        parse_spec({k: v for k, v in changed("roberta").items() if k != "pad_token_id"}, "config.json")


def test_mpnet_has_a_relative_bias_and_no_token_types() -> None:
    spec = parse_spec(changed("mpnet"), "config.json")
    assert (spec.relative_buckets, spec.relative_distance, spec.token_types) == (32, 128, 0)
    without = {k: v for k, v in changed("mpnet").items() if k != "relative_attention_num_buckets"}
    assert parse_spec(without, "config.json").relative_buckets == 32


def test_distilbert_keys_are_its_own() -> None:
    config = {
        "activation": "gelu", "attention_dropout": 0.2, "dim": 768, "dropout": 0.3, "hidden_dim": 3072,
        "initializer_range": 0.02, "max_position_embeddings": 512, "model_type": "distilbert", "n_heads": 12,
        "n_layers": 6, "pad_token_id": 0, "qa_dropout": 0.1, "seq_classif_dropout": 0.2,
        "sinusoidal_pos_embds": False, "vocab_size": 30522,
    }  # fmt: skip
    spec = parse_spec(config, "config.json")
    assert (spec.hidden_size, spec.layers, spec.heads, spec.ffn_size) == (768, 6, 12, 3072)
    assert (spec.hidden_dropout, spec.attention_dropout) == (0.3, 0.2)
    assert (spec.token_types, spec.layer_norm_eps) == (0, 1e-12)


def test_electra_embeddings_may_be_narrower_than_its_layers() -> None:
    spec = parse_spec(changed("electra", embedding_size=16, hidden_size=32), "config.json")
    assert (spec.embedding_size, spec.hidden_size) == (16, 32)


def test_eps_and_activation_and_token_types_come_from_the_file() -> None:
    spec = parse_spec(changed(layer_norm_eps=1e-5, hidden_act="gelu_new", type_vocab_size=1), "config.json")
    assert (spec.layer_norm_eps, spec.activation, spec.token_types) == (1e-5, "gelu_new", 1)
    assert parse_spec(changed(hidden_act="relu", type_vocab_size=0), "config.json").token_types == 0


def test_model_type_missing_names_key_and_supported_types() -> None:
    config = {k: v for k, v in BERT_BASE.items() if k != "model_type"}
    with pytest.raises(UserError, match=r'config\.json: no "model_type"; expected one of bert, mpnet, roberta'):
        parse_spec(config, "config.json")


@pytest.mark.parametrize("found", ["deberta", "bart", 3, "Bert"])
def test_other_types_are_refused_with_the_supported_ones(found: Any) -> None:
    with pytest.raises(
        UserError, match=r'"model_type" is .*supported types are bert, mpnet, roberta, distilbert, elec'
    ):
        parse_spec(changed(model_type=found), "config.json")


SIZES = ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
         "max_position_embeddings"]  # fmt: skip


@pytest.mark.parametrize("key", SIZES)
@pytest.mark.parametrize("value", [-1, 0, 10**9, 10**30, 1.5, "32", True, [32], None])
def test_sizes_that_cannot_be_are_refused_by_key(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=f'config.json: .*"{key}"'):
        parse_spec(changed(**{key: value}), "config.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position_embedding_type", "relative_key_query"),
        ("position_embedding_type", "alibi"),
        ("is_decoder", True),
        ("add_cross_attention", True),
        ("hidden_act", "swish"),
        ("hidden_act", ["gelu"]),
        ("type_vocab_size", 3),
        ("type_vocab_size", -1),
        ("layer_norm_eps", 0),
        ("layer_norm_eps", "1e-12"),
        ("layer_norm_eps", float("inf")),
        ("hidden_dropout_prob", 1.0),
        ("attention_probs_dropout_prob", -0.1),
        ("pruned_heads", {"0": [1]}),
        ("quantization_config", {"bits": 4}),
        ("auto_map", {"AutoModel": "modeling.Custom"}),
        ("num_attention_heads", 3),
        ("max_position_embeddings", 4),
    ],
)
def test_what_is_not_implemented_is_refused_by_key(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=f'config.json: .*"{key}"'):
        parse_spec(changed(**{key: value}), "config.json")


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"{", b'{"a": NaN}', b"\xff\xfe{}", b"[" * 100_000, b'{"hidden_size": 1e999}', b" " * 2_000_000],
)
def test_a_file_that_is_no_config_is_one_clear_error(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "config.json").write_bytes(raw)
    with pytest.raises(UserError, match=r"config\.json"):
        read_spec(tmp_path)


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json: no such file"):
        read_spec(tmp_path)


@pytest.mark.parametrize("model_type", list(FAMILIES))
def test_every_type_reads_its_own_config(tmp_path: Path, model_type: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(tiny_config(model_type)))
    spec = read_spec(tmp_path)
    assert (spec.model_type, spec.hidden_size, spec.layers, spec.heads, spec.ffn_size) == (model_type, 32, 2, 2, 64)
    assert spec.max_tokens == 128

"""DeBERTa's config.json as published, its keys that are refused, and the names in files of both versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from smartcli.errors import UserError
from smartcli.families.spec import EncoderSpec, parse_spec, read_spec
from smartcli.families.spec_parts import Convolution, Disentangled
from smartcli.families.weights import expected_shapes, hf_names, map_weights, open_weights
from tests.tiny import make_tiny_encoder, tiny_config

BOTH = {
    "model_type": "deberta-v2",
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "initializer_range": 0.02,
    "max_position_embeddings": 512,
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "layer_norm_eps": 1e-7,
    "max_relative_positions": -1,
    "position_biased_input": False,
    "type_vocab_size": 0,
    "vocab_size": 128100,
}
V3_BASE = {
    **BOTH, "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12
}  # fmt: skip
V2_XLARGE = {
    **BOTH, "hidden_size": 1536, "intermediate_size": 6144, "num_attention_heads": 24, "num_hidden_layers": 24,
    "attention_head_size": 64, "conv_kernel_size": 3, "conv_act": "gelu", "pooler_dropout": 0,
    "pooler_hidden_act": "gelu",
}  # fmt: skip
TABLE = Disentangled(terms=("p2c", "c2p"), span=256, reach=512, buckets=True, normed=True, shared=True)


def spec_of(**config: Any) -> EncoderSpec:
    return parse_spec({**tiny_config("deberta-v2"), **config}, "config.json")


def test_both_versions_read_as_published() -> None:
    v3, v2 = parse_spec(V3_BASE, "config.json"), parse_spec(V2_XLARGE, "config.json")
    assert v3.disentangled == v2.disentangled == TABLE
    assert (v3.convolution, v2.convolution) == (None, Convolution(kernel=3, activation="gelu"))
    for spec in (v3, v2):
        assert (spec.position_table, spec.token_types, spec.max_tokens, spec.layer_norm_eps) == (False, 0, 512, 1e-7)
        assert spec.embedding_size == spec.hidden_size
    shapes = expected_shapes(v2)
    assert shapes["encoder.rel_embeddings.weight"] == (512, 1536)
    assert shapes["encoder.conv.conv.weight"] == (1536, 1536, 3)
    # Words, LayerNorm twice, the table; the convolution and its LayerNorm; sixteen a layer.
    assert len(shapes) == 1 + 2 + 2 + 1 + 4 + 24 * 16
    names = hf_names(v3, prefix=True)
    assert (
        names["encoder.layer.3.attention.self.query.bias"] == "deberta.encoder.layer.3.attention.self.query_proj.bias"
    )


def test_what_the_keys_leave_out_is_as_transformers_has_it() -> None:
    plain = parse_spec({key: V3_BASE[key] for key in V3_BASE if not key.startswith(("pos", "rel", "sha", "norm"))}, "c")
    assert (plain.disentangled, plain.convolution, plain.position_table) == (None, None, True)
    own = spec_of(share_att_key=False, pos_att_type=["c2p"], position_buckets=-1, max_relative_positions=40)
    assert own.disentangled == Disentangled(terms=("c2p",), span=40, reach=40, buckets=False, normed=True, shared=False)
    assert "encoder.layer.1.attention.self.pos_key.weight" in expected_shapes(own)
    assert "encoder.layer.1.attention.self.pos_query.weight" not in expected_shapes(own)
    # Without buckets or a reach the table has a row for each distance of the longest input.
    assert spec_of(position_buckets=0).disentangled == Disentangled(
        terms=("p2c", "c2p"), span=128, reach=128, buckets=False, normed=True, shared=True
    )
    assert spec_of(conv_kernel_size=5).convolution == Convolution(kernel=5, activation="tanh")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"relative_attention": False}, '"relative_attention" is False, "pos_att_type"'),
        ({"pos_att_type": None}, '"relative_attention" is True, "pos_att_type" None'),
        ({"relative_attention": "yes"}, '"relative_attention" is .yes.; expected true or false'),
        ({"pos_att_type": "p2c|p2p"}, '"pos_att_type" is .p2c.p2p.; expected words of p2c, c2p, each once'),
        ({"pos_att_type": ["c2p", "c2p"]}, '"pos_att_type" is .*each once'),
        ({"pos_att_type": ["c2p", 3]}, '"pos_att_type" is .*each once'),
        ({"pos_att_type": {"c2p": 1}}, '"pos_att_type" is .*each once'),
        ({"norm_rel_ebd": "batch_norm"}, '"norm_rel_ebd" is .batch_norm.; expected words of none, layer_norm'),
        ({"position_buckets": 1}, '"position_buckets" is 1, with relative positions up to 128'),
        ({"position_buckets": 300}, '"position_buckets" is 300'),
        ({"position_buckets": 2.5}, '"position_buckets" is 2.5; expected a whole number'),
        ({"max_relative_positions": 4}, '"position_buckets" is 8, with relative positions up to 4'),
        ({"conv_kernel_size": 4}, '"conv_kernel_size" is 4; expected an odd number'),
        ({"conv_kernel_size": 3, "conv_groups": 2}, '"conv_groups" is 2; only 1'),
        ({"conv_kernel_size": 3, "conv_act": "silu"}, '"conv_act" is .silu.; expected one of tanh'),
        ({"attention_head_size": 8}, '"attention_head_size" is 8; only 16'),
        ({"pooler_hidden_size": 64}, '"pooler_hidden_size" is 64; only 32'),
        ({"position_biased_input": 1}, '"position_biased_input" is 1; expected true or false'),
    ],
)
def test_what_cannot_be_true_or_is_not_implemented_is_refused_by_key(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"config.json: {message}"):
        spec_of(**config)


def test_a_files_own_heads_and_unread_tables_are_ignored_by_name(tmp_path: Path) -> None:
    """The public files hold both predictions' heads, and some the table of positions that is not read."""
    folder = make_tiny_encoder(tmp_path, "deberta-v2", conv_kernel_size=3)
    tensors = {f"deberta.{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    extra = {
        "deberta.embeddings.position_embeddings.weight": np.zeros((128, 32), np.float32),
        "deberta.embeddings.position_ids": np.arange(128)[None],
        "deberta.embeddings.word_embeddings._weight": np.zeros((128, 32), np.float32),
        "deberta.embeddings.position_embeddings._weight": np.zeros((128, 32), np.float32),
        "lm_predictions.lm_head.dense.weight": np.zeros((32, 32), np.float32),
        "mask_predictions.classifier.weight": np.zeros((1, 32), np.float32),
        "pooler.dense.weight": np.zeros((32, 32), np.float32),
        "classifier.bias": np.zeros(2, np.float32),
    }
    save_file({**tensors, **extra}, folder / "model.safetensors")
    weights = open_weights(folder, read_spec(folder))
    assert set(weights.ignored) == set(extra)
    assert set(weights.name_of.values()) == set(tensors)
    assert not weights.has_pooler


def test_old_endings_of_every_layer_norm_are_read(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path, "deberta-v2", conv_kernel_size=3)
    names = list(load_file(folder / "model.safetensors"))
    old = [n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta") for n in names]
    assert "encoder.conv.LayerNorm.gamma" in old
    assert "encoder.LayerNorm.beta" in old
    found = map_weights(read_spec(folder), old, "file")
    assert set(found.by_canonical.values()) == set(old)


@pytest.mark.parametrize(
    ("config", "extra"),
    [
        ({}, "encoder.conv.conv.weight"),
        ({}, "encoder.layer.0.attention.self.pos_key_proj.weight"),
        ({"norm_rel_ebd": "none"}, "encoder.LayerNorm.weight"),
        ({}, "embeddings.token_type_embeddings.weight"),
        ({"position_biased_input": True}, "embeddings.embed_proj.weight"),
    ],
)
def test_a_tensor_that_config_does_not_speak_of_is_named(tmp_path: Path, config: dict[str, Any], extra: str) -> None:
    folder = make_tiny_encoder(tmp_path, "deberta-v2", **config)
    names = list(load_file(folder / "model.safetensors"))
    with pytest.raises(UserError, match=f'"{extra}" is inside the encoder but no part of type deberta-v2'):
        map_weights(read_spec(folder), [*names, extra], "file")

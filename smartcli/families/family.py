"""The facts in which one encoder type differs from another; no other module branches on the type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SIZE_KEYS: Mapping[str, str] = {
    "hidden_size": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "ffn_size": "intermediate_size",
    "vocab_size": "vocab_size",
    "positions": "max_position_embeddings",
}
"""EncoderSpec field -> key of config.json, as BERT and most types call them; each must be there."""

COMMON_KEYS: Mapping[str, str] = {
    "layer_norm_eps": "layer_norm_eps",
    "activation": "hidden_act",
    "hidden_dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
}
"""The same for keys that have a default."""

COMMON_DEFAULTS: Mapping[str, Any] = {
    "layer_norm_eps": 1e-12,
    "activation": "gelu",
    "hidden_dropout": 0.1,
    "attention_dropout": 0.1,
}

LAYER_PARTS: Mapping[str, str] = {
    "attention.self.query": "attention.self.query",
    "attention.self.key": "attention.self.key",
    "attention.self.value": "attention.self.value",
    "attention.output.dense": "attention.output.dense",
    "attention.output.LayerNorm": "attention.output.LayerNorm",
    "intermediate.dense": "intermediate.dense",
    "output.dense": "output.dense",
    "output.LayerNorm": "output.LayerNorm",
}
"""Canonical module of a layer -> the type's own name for it."""

JOINED = "attention.self.qkv"
"""Canonical module of a layer that is query, key and value end to end."""

ByLayer = Callable[[Mapping[str, Any], int, str | Path], Mapping[str, Any]]
"""Content of a config.json, number of layers, and where it stands -> EncoderSpec fields that differ by layer."""


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """The type's sequence classifier in transformers: a square layer, an activation, and the output layer."""

    architecture: str
    dense: str
    activation: str
    output: str
    norm: str | None = None
    """A LayerNorm between the activation and the output layer."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Keys of config.json by which the classifier has the layers described here."""
    pooling_key: str | None = None
    """Key of config.json that says whether it reads the first token (`cls`) or all tokens' mean (`mean`); without one
    it reads the first token."""


HEAD_OF_TWO: Mapping[str, Any] = {"dense": "classifier.dense", "output": "classifier.out_proj"}
"""How most types call the two layers."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One encoder type: how its config.json and its tensors are called, and what it lacks."""

    model_type: str
    prefix: str
    """Put before every tensor in files saved from a model with a head."""
    classifier: Classifier
    size_keys: Mapping[str, str] = field(default_factory=lambda: dict(SIZE_KEYS))
    keys: Mapping[str, str] = field(default_factory=lambda: dict(COMMON_KEYS))
    defaults: Mapping[str, Any] = field(default_factory=lambda: dict(COMMON_DEFAULTS))
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """EncoderSpec fields that no key of config.json changes."""
    by_layer: ByLayer | None = None
    """Reads what more than one key of config.json says together."""
    unread: frozenset[str] = frozenset()
    """Keys of config.json that change nothing in this type, whatever they say."""
    offset_from_padding: bool = False
    """Positions start at pad_token_id + 1."""
    layer_stem: str = "encoder.layer"
    layer_parts: Mapping[str, str] = field(default_factory=lambda: dict(LAYER_PARTS))
    outer_parts: Mapping[str, str] = field(default_factory=dict)
    """Canonical module outside the layers -> the type's own name, where that differs."""
    last_norm: tuple[str, str] | None = None
    """Where layers norm before their halves: a layer's last norm (canonically `output.LayerNorm`) as a part of the
    layer that follows, and its whole name after the last layer."""
    pooler: bool = True
    """Whether files of this type may hold `pooler.dense`."""
    type_ids: bool = True
    """Whether the tokenizer's type ids are given to the model; else they are all 0."""
    word_pieces: bool = True
    """Whether vocab.txt alone is enough to build the tokenizer (BERT's WordPiece)."""

    @property
    def joined_qkv(self) -> bool:
        """Whether files hold query, key and value as one tensor."""
        return JOINED in self.layer_parts

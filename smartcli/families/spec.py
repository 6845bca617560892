"""What an encoder's config.json says, checked before any memory is taken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartcli.errors import UserError, suggest
from smartcli.families.config_values import choice, flag, number, whole
from smartcli.families.family import Family
from smartcli.families.family_table import FAMILIES, SUPPORTED
from smartcli.families.files import read_object
from smartcli.families.spec_parts import Convolution, Disentangled

ACTIVATIONS = ("gelu", "gelu_new", "relu")

LIMITS: Mapping[str, tuple[int, int]] = {
    "hidden_size": (1, 16_384),
    "layers": (1, 256),
    "heads": (1, 512),
    "ffn_size": (1, 131_072),
    "vocab_size": (1, 4_000_000),
    "positions": (1, 1_000_000),
    "token_types": (0, 2),
    "embedding_size": (1, 16_384),
    "relative_buckets": (0, 1_024),
    "position_offset": (0, 1_000),
}
"""Smallest and largest whole number taken for each field; the largest are several times any known encoder's."""

FLAGS = ("attention_biases", "feed_biases", "norm_biases")
TINIEST, BELOW_ONE = math.nextafter(0.0, 1.0), math.nextafter(1.0, 0.0)

REFUSED: Mapping[str, tuple[Any, ...]] = {
    "is_decoder": (None, False),
    "add_cross_attention": (None, False),
    "position_embedding_type": (None, "absolute"),
    "pruned_heads": (None, {}),
    "quantization_config": (None,),
}
"""Keys whose other values change the numbers in a way that is not implemented."""


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """Sizes and facts of one encoder; everything that building it needs besides the weights."""

    model_type: str
    hidden_size: int
    layers: int
    heads: int
    ffn_size: int
    vocab_size: int
    positions: int
    """Rows of the position table, or where there is none the longest input."""
    position_table: bool = True
    """Whether the embeddings add a row by place."""
    position_offset: int = 0
    """Row of the first token."""
    token_types: int = 0
    """Rows of the token type table; 0 where there is none."""
    embedding_size: int
    """Width of the embeddings; a projection follows where it differs from `hidden_size`."""
    layer_norm_eps: float = 1e-12
    activation: str = "gelu"
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    relative_buckets: int = 0
    """Rows of the relative attention bias; 0 where there is none."""
    relative_distance: int = 0
    pre_norm: bool = False
    """LayerNorm before each half of a layer, and after the last, and not after each half's sum."""
    gated: bool = False
    """Feed-forward with a gate (GeGLU): its first matrix has twice `ffn_size` rows."""
    rotary: tuple[float, ...] = ()
    """By layer the base of its rotary positions; empty where there are none."""
    reach: tuple[int, ...] = ()
    """By layer how many tokens on either side attention reads, 0 for all; empty where every layer reads all."""
    attention_biases: bool = True
    """Whether query, key, value and the attention's output have biases."""
    feed_biases: bool = True
    """Whether both feed-forward layers have biases."""
    norm_biases: bool = True
    """Whether LayerNorms have biases."""
    project_first: bool = False
    """Whether the embeddings' projection stands before their LayerNorm, and without a bias."""
    disentangled: Disentangled | None = None
    convolution: Convolution | None = None

    @property
    def max_tokens(self) -> int:
        """Most tokens of one input, special tokens included."""
        return self.positions - self.position_offset

    @property
    def family(self) -> Family:
        """Facts of the type."""
        return FAMILIES[self.model_type]


def read_spec(folder: Path) -> EncoderSpec:
    """Read `folder`/config.json; UserError naming file and key for what is missing, absurd or not implemented."""
    return parse_spec(read_object(folder / "config.json"), folder / "config.json")


def parse_spec(config: Mapping[str, Any], where: str | Path) -> EncoderSpec:
    """Check the content of a config.json; every error starts with `where`."""
    family = _family(config, where)
    for key, allowed in REFUSED.items():
        if key not in family.unread and config.get(key) not in allowed:
            raise UserError(f'{where}: "{key}" is {config[key]!r}; only {allowed[-1]!r} is supported')
    auto_map = config.get("auto_map")
    if isinstance(auto_map, Mapping) and "AutoModel" in auto_map:
        raise UserError(
            f'{where}: "auto_map" says that this encoder needs code of its own, and code from a model folder is '
            f"never run; use an encoder of a plain type: {SUPPORTED}"
        )
    values: dict[str, Any] = dict(family.fixed)
    for name, key in family.size_keys.items():
        values[name] = whole(config, key, LIMITS[name], where)
    values["embedding_size"] = values["hidden_size"]
    for name, key in family.keys.items():
        values[name] = _value({key: family.defaults[name], **config}, key, name, where)
    if family.offset_from_padding:
        values["position_offset"] = whole(config, "pad_token_id", LIMITS["position_offset"], where) + 1
    if family.by_layer is not None:
        values |= family.by_layer(config, values["layers"], where)
    spec = EncoderSpec(model_type=family.model_type, **values)
    _check_fit(spec, where)
    return spec


def _family(config: Mapping[str, Any], where: str | Path) -> Family:
    found = config.get("model_type")
    if found is None:
        raise UserError(f'{where}: no "model_type"; expected one of {SUPPORTED}; add the key by hand if you know it')
    family = FAMILIES.get(found) if isinstance(found, str) else None
    if family is None:
        hint = suggest(found, FAMILIES) if isinstance(found, str) else ""
        raise UserError(f'{where}: "model_type" is {found!r}; supported types are {SUPPORTED}{hint}')
    return family


def _value(config: Mapping[str, Any], key: str, name: str, where: str | Path) -> Any:
    if name in LIMITS:
        return whole(config, key, LIMITS[name], where)
    if name == "activation":
        return choice(config, key, ACTIVATIONS, where)
    if name in FLAGS:
        return flag(config, key, where)
    if name == "layer_norm_eps":
        return number(config, key, (TINIEST, 0.1), "a number above 0 and at most 0.1", where)
    return number(config, key, (0.0, BELOW_ONE), "a number from 0 to below 1", where)


def _check_fit(spec: EncoderSpec, where: str | Path) -> None:
    keys = spec.family.size_keys
    if spec.hidden_size % spec.heads:
        raise UserError(
            f'{where}: "{keys["hidden_size"]}" {spec.hidden_size} is not a multiple of '
            f'"{keys["heads"]}" {spec.heads}; the file does not describe a working encoder'
        )
    if spec.rotary and spec.hidden_size // spec.heads % 2:
        raise UserError(
            f'{where}: "{keys["hidden_size"]}" {spec.hidden_size} over "{keys["heads"]}" {spec.heads} is an odd number '
            "for each head, and rotary positions turn pairs; the file does not describe a working encoder"
        )
    if spec.max_tokens < 8:
        raise UserError(
            f'{where}: "{keys["positions"]}" {spec.positions} leaves room for {spec.max_tokens} tokens; '
            "expected at least 8"
        )

"""DeBERTa v2 and v3: attention by content and relative position apart, no pooler, in v3 neither types nor positions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smartcli.errors import UserError
from smartcli.families.config_values import choice, flag, whole, words
from smartcli.families.family import COMMON_DEFAULTS, COMMON_KEYS, LAYER_PARTS, Classifier, Family
from smartcli.families.spec_parts import CONVOLUTION_ACTIVATIONS, TERMS, Convolution, Disentangled

LONGEST = 1_000_000
WIDTHS = (1, 16_384)
MOST_BUCKETS = 16_384
MOST_KERNEL = 63


def _parts(config: Mapping[str, Any], layers: int, where: str | Path) -> dict[str, Any]:
    """Return what several keys make up; the defaults are those of transformers' DebertaV2Config."""
    width = config.get("hidden_size")
    for key, expected in (("pooler_hidden_size", width), ("attention_head_size", _head_size(config))):
        if config.get(key) not in (None, expected):
            raise UserError(f'{where}: "{key}" is {config[key]!r}; only {expected!r} is supported with these sizes')
    out: dict[str, Any] = {
        "position_table": flag({"position_biased_input": True, **config}, "position_biased_input", where),
        "disentangled": _disentangled(config, where),
        "convolution": _convolution(config, where),
    }
    if config.get("embedding_size") is not None:
        out["embedding_size"] = whole(config, "embedding_size", WIDTHS, where)
    return out


def _head_size(config: Mapping[str, Any]) -> Any:
    width, heads = config.get("hidden_size"), config.get("num_attention_heads")
    return width // heads if isinstance(width, int) and isinstance(heads, int) and heads else None


def _disentangled(config: Mapping[str, Any], where: str | Path) -> Disentangled | None:
    terms = words(config, "pos_att_type", TERMS, where)
    norms = words(config, "norm_rel_ebd", ("none", "layer_norm"), where)
    relative = flag({"relative_attention": False, **config}, "relative_attention", where)
    if relative != bool(terms) or ("layer_norm" in norms and not relative):
        raise UserError(
            f'{where}: "relative_attention" is {relative}, "pos_att_type" {config.get("pos_att_type")!r} and '
            f'"norm_rel_ebd" {config.get("norm_rel_ebd")!r}; expected true with terms, or false with none and no norm'
        )
    if not relative:
        return None
    reach, buckets = (_or_none(config, key, most, where) for key, most in _REACHES.items())
    reach = reach or whole(config, "max_position_embeddings", (1, LONGEST), where)
    if buckets is not None and (buckets < 2 or reach - 1 <= buckets // 2):
        raise UserError(
            f'{where}: "position_buckets" is {buckets}, with relative positions up to {reach}; '
            "expected at least 2, and less than twice as many as positions"
        )
    return Disentangled(
        terms=tuple(term for term in TERMS if term in terms),
        span=buckets or reach,
        reach=reach,
        buckets=buckets is not None,
        normed="layer_norm" in norms,
        shared=flag({"share_att_key": False, **config}, "share_att_key", where),
    )


_REACHES = {"max_relative_positions": LONGEST, "position_buckets": MOST_BUCKETS}


def _or_none(config: Mapping[str, Any], key: str, most: int, where: str | Path) -> int | None:
    """Return a whole number, or None where it is missing or not above 0, which stands for none."""
    found = whole({key: -1, **config}, key, (-LONGEST, most), where)
    return found if found > 0 else None


def _convolution(config: Mapping[str, Any], where: str | Path) -> Convolution | None:
    kernel = whole({"conv_kernel_size": 0, **config}, "conv_kernel_size", (0, MOST_KERNEL), where)
    if not kernel:
        return None
    if kernel % 2 == 0:
        raise UserError(f'{where}: "conv_kernel_size" is {kernel}; expected an odd number, or 0 for none')
    if config.get("conv_groups", 1) != 1:
        raise UserError(f'{where}: "conv_groups" is {config["conv_groups"]!r}; only 1 is supported')
    activation = choice({"conv_act": "tanh", **config}, "conv_act", CONVOLUTION_ACTIVATIONS, where)
    return Convolution(kernel=kernel, activation=activation)


FAMILY = Family(
    model_type="deberta-v2",
    prefix="deberta.",
    classifier=Classifier(
        architecture="DebertaV2ForSequenceClassification",
        dense="pooler.dense",
        activation="gelu",
        output="classifier",
        config={"pooler_hidden_act": "gelu"},
    ),
    keys={**COMMON_KEYS, "token_types": "type_vocab_size"},
    defaults={**COMMON_DEFAULTS, "token_types": 0, "layer_norm_eps": 1e-7},
    fixed={"project_first": True},
    by_layer=_parts,
    layer_parts={
        **LAYER_PARTS,
        "attention.self.query": "attention.self.query_proj",
        "attention.self.key": "attention.self.key_proj",
        "attention.self.value": "attention.self.value_proj",
        "attention.self.pos_query": "attention.self.pos_query_proj",
        "attention.self.pos_key": "attention.self.pos_key_proj",
    },
    outer_parts={"embeddings_project": "embeddings.embed_proj"},
    pooler=False,
    word_pieces=False,
)

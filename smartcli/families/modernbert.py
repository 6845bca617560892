"""ModernBERT: pre-norm layers without biases, rotary positions, GeGLU, and local attention in two layers of three.

Warner et al. 2024 (arXiv 2412.13663), section 2.1. Which layers read locally, and the base of each one's rotary
positions, stand in a config.json of the hub as a rule (`global_attn_every_n_layers`, `global_rope_theta`,
`local_rope_theta`), in one that transformers 5 wrote as lists (`layer_types`, `rope_parameters`); where both stand, the
lists count.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smartcli.errors import UserError
from smartcli.families.config_values import choice, number, refuse, whole
from smartcli.families.family import JOINED, Classifier, Family

GLOBAL, LOCAL = "full_attention", "sliding_attention"
BASES = {GLOBAL: ("global_rope_theta", 160_000.0), LOCAL: ("local_rope_theta", 10_000.0)}
"""Kind of a layer -> key of its rotary base in older files, and the base where no key says it."""
EVERY, WINDOW = 3, 128
WINDOWS, BASE_LIMITS = (2, 1_000_000), (1.0, 1e12)


def _kinds(config: Mapping[str, Any], layers: int, where: str | Path) -> list[str]:
    """Return each layer's kind."""
    found = config.get("layer_types")
    if found is None:
        every = whole({"global_attn_every_n_layers": EVERY, **config}, "global_attn_every_n_layers", (1, 256), where)
        return [LOCAL if layer % every else GLOBAL for layer in range(layers)]
    if not isinstance(found, list) or len(found) != layers or any(kind not in (GLOBAL, LOCAL) for kind in found):
        raise refuse(config, "layer_types", f'a list of {layers} words, "{GLOBAL}" or "{LOCAL}"', where)
    return found


def _base(config: Mapping[str, Any], kind: str, where: str | Path) -> float:
    """Return the base of the rotary positions in layers of this kind."""
    key, default = BASES[kind]
    own = _rope(config, where).get(kind) or {}
    if not isinstance(own, dict):
        raise refuse(config, "rope_parameters", f'an object for "{kind}"', where)
    inside = f'{where}: "rope_parameters"'
    # Other types stretch the angles for texts longer than those of the pre-training.
    choice({"rope_type": "default", **own}, "rope_type", ("default",), inside)
    expected = f"a number from {BASE_LIMITS[0]:g} to {BASE_LIMITS[1]:g}"
    if own.get("rope_theta") is not None:
        return number(own, "rope_theta", BASE_LIMITS, expected, inside)
    if key in config and config[key] is None and kind == LOCAL:
        return _base(config, GLOBAL, where)
    return number({key: default, **config}, key, BASE_LIMITS, expected, where)


def _rope(config: Mapping[str, Any], where: str | Path) -> Mapping[str, Any]:
    if config.get("rope_scaling") is not None:
        raise UserError(f'{where}: "rope_scaling" is {config["rope_scaling"]!r}; only null is supported')
    found = config.get("rope_parameters")
    if found is not None and (not isinstance(found, dict) or found.keys() - BASES):
        raise refuse(config, "rope_parameters", f'an object with "{GLOBAL}" and "{LOCAL}" alone', where)
    return found or {}


def _by_layer(config: Mapping[str, Any], layers: int, where: str | Path) -> dict[str, Any]:
    kinds = _kinds(config, layers, where)
    bases = {kind: _base(config, kind, where) for kind in BASES}
    # The window's width counts both sides, and the token itself besides.
    reach = whole({"local_attention": WINDOW, **config}, "local_attention", WINDOWS, where) // 2
    return {
        "rotary": tuple(bases[kind] for kind in kinds),
        "reach": tuple(reach if kind == LOCAL else 0 for kind in kinds),
    }


FAMILY = Family(
    model_type="modernbert",
    prefix="model.",
    # mmBERT has "sans_pos" there; positions are rotary in any case.
    unread=frozenset({"position_embedding_type"}),
    classifier=Classifier(
        architecture="ModernBertForSequenceClassification",
        dense="head.dense",
        activation="linear",
        output="classifier",
        norm="head.norm",
        config={"classifier_activation": "linear", "classifier_bias": True},
        pooling_key="classifier_pooling",
    ),
    keys={
        "layer_norm_eps": "norm_eps",
        "activation": "hidden_activation",
        "hidden_dropout": "mlp_dropout",
        "attention_dropout": "attention_dropout",
        "attention_biases": "attention_bias",
        "feed_biases": "mlp_bias",
        "norm_biases": "norm_bias",
    },
    defaults={
        "layer_norm_eps": 1e-5,
        "activation": "gelu",
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
        "attention_biases": False,
        "feed_biases": False,
        "norm_biases": False,
    },
    fixed={"token_types": 0, "position_table": False, "pre_norm": True, "gated": True},
    by_layer=_by_layer,
    layer_stem="layers",
    layer_parts={
        JOINED: "attn.Wqkv",
        "attention.output.dense": "attn.Wo",
        "attention.output.LayerNorm": "mlp_norm",
        "intermediate.dense": "mlp.Wi",
        "output.dense": "mlp.Wo",
    },
    outer_parts={"embeddings.word_embeddings": "embeddings.tok_embeddings", "embeddings.LayerNorm": "embeddings.norm"},
    last_norm=("attn_norm", "final_norm"),
    pooler=False,
    type_ids=False,
    word_pieces=False,
)

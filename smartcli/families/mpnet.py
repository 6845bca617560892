"""MPNet: relative attention bias shared by all layers, no token types, positions that start at 2."""

from __future__ import annotations

from smartcli.families.family import COMMON_DEFAULTS, COMMON_KEYS, HEAD_OF_TWO, LAYER_PARTS, Classifier, Family

FAMILY = Family(
    model_type="mpnet",
    prefix="mpnet.",
    classifier=Classifier(architecture="MPNetForSequenceClassification", activation="tanh", **HEAD_OF_TWO),
    keys={**COMMON_KEYS, "relative_buckets": "relative_attention_num_buckets"},
    defaults={**COMMON_DEFAULTS, "relative_buckets": 32},
    # transformers' MPNetModel fixes both, whatever pad_token_id says.
    fixed={"token_types": 0, "relative_distance": 128, "position_offset": 2},
    layer_parts={
        **LAYER_PARTS,
        "attention.self.query": "attention.attn.q",
        "attention.self.key": "attention.attn.k",
        "attention.self.value": "attention.attn.v",
        "attention.output.dense": "attention.attn.o",
        "attention.output.LayerNorm": "attention.LayerNorm",
    },
    type_ids=False,
    word_pieces=False,
)

"""DistilBERT: its own key and tensor names, no token types, no pooler, LayerNorm eps without a key."""

from __future__ import annotations

from smartcli.families.family import Classifier, Family

FAMILY = Family(
    model_type="distilbert",
    prefix="distilbert.",
    classifier=Classifier(
        architecture="DistilBertForSequenceClassification",
        dense="pre_classifier",
        activation="relu",
        output="classifier",
    ),
    size_keys={
        "hidden_size": "dim",
        "layers": "n_layers",
        "heads": "n_heads",
        "ffn_size": "hidden_dim",
        "vocab_size": "vocab_size",
        "positions": "max_position_embeddings",
    },
    keys={"activation": "activation", "hidden_dropout": "dropout", "attention_dropout": "attention_dropout"},
    defaults={"activation": "gelu", "hidden_dropout": 0.1, "attention_dropout": 0.1},
    fixed={"token_types": 0, "layer_norm_eps": 1e-12},
    layer_stem="transformer.layer",
    layer_parts={
        "attention.self.query": "attention.q_lin",
        "attention.self.key": "attention.k_lin",
        "attention.self.value": "attention.v_lin",
        "attention.output.dense": "attention.out_lin",
        "attention.output.LayerNorm": "sa_layer_norm",
        "intermediate.dense": "ffn.lin1",
        "output.dense": "ffn.lin2",
        "output.LayerNorm": "output_layer_norm",
    },
    pooler=False,
    type_ids=False,
)

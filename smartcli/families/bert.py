"""BERT: the type whose names are the canonical ones (MiniLM, bert-base-uncased, most small encoders)."""

from __future__ import annotations

from smartcli.families.family import COMMON_DEFAULTS, COMMON_KEYS, Classifier, Family

FAMILY = Family(
    model_type="bert",
    prefix="bert.",
    classifier=Classifier(
        architecture="BertForSequenceClassification",
        dense="bert.pooler.dense",
        activation="tanh",
        output="classifier",
    ),
    keys={**COMMON_KEYS, "token_types": "type_vocab_size"},
    defaults={**COMMON_DEFAULTS, "token_types": 2},
)

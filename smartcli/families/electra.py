"""ELECTRA: BERT's names, embeddings that may be narrower than the layers, no pooler."""

from __future__ import annotations

from smartcli.families.family import COMMON_DEFAULTS, COMMON_KEYS, HEAD_OF_TWO, Classifier, Family

FAMILY = Family(
    model_type="electra",
    prefix="electra.",
    classifier=Classifier(architecture="ElectraForSequenceClassification", activation="gelu", **HEAD_OF_TWO),
    keys={**COMMON_KEYS, "token_types": "type_vocab_size", "embedding_size": "embedding_size"},
    defaults={**COMMON_DEFAULTS, "token_types": 2, "embedding_size": 128},
    pooler=False,
)

"""RoBERTa: BERT's names, positions that start after the padding id, type ids always 0."""

from __future__ import annotations

from smartcli.families.family import COMMON_DEFAULTS, COMMON_KEYS, HEAD_OF_TWO, Classifier, Family

FAMILY = Family(
    model_type="roberta",
    prefix="roberta.",
    classifier=Classifier(architecture="RobertaForSequenceClassification", activation="tanh", **HEAD_OF_TWO),
    keys={**COMMON_KEYS, "token_types": "type_vocab_size"},
    defaults={**COMMON_DEFAULTS, "token_types": 2},
    offset_from_padding=True,
    type_ids=False,
    word_pieces=False,
)

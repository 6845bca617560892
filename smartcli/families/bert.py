"""BERT: the type whose names are the canonical ones (MiniLM, bert-base-uncased, most small encoders)."""

from __future__ import annotations

from smartcli.families.family import COMMON_DEFAULTS, COMMON_KEYS, Family

FAMILY = Family(
    model_type="bert",
    prefix="bert.",
    keys={**COMMON_KEYS, "token_types": "type_vocab_size"},
    defaults={**COMMON_DEFAULTS, "token_types": 2},
)

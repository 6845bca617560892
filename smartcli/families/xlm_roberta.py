"""XLM-RoBERTa: RoBERTa in every fact but the name, with a sentence-piece vocabulary of a hundred languages."""

from __future__ import annotations

from dataclasses import replace

from smartcli.families import roberta

FAMILY = replace(
    roberta.FAMILY,
    model_type="xlm-roberta",
    # The prefix stays RoBERTa's: transformers calls the encoder `roberta` within every model with a head.
    classifier=replace(roberta.FAMILY.classifier, architecture="XLMRobertaForSequenceClassification"),
)

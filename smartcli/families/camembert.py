"""CamemBERT: RoBERTa in every fact but the name, with a sentence-piece vocabulary for French."""

from __future__ import annotations

from dataclasses import replace

from smartcli.families import roberta

FAMILY = replace(
    roberta.FAMILY,
    model_type="camembert",
    # The prefix stays RoBERTa's: transformers calls the encoder `roberta` within every model with a head.
    classifier=replace(roberta.FAMILY.classifier, architecture="CamembertForSequenceClassification"),
)

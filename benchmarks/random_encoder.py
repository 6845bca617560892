"""An encoder of BERT-base's size with random weights, for machines that cannot download one: its speed is the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from smartcli.families.find import find_encoder

SIZES = {
    "bert-base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "bert-large": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
}
PREFIX = "random:"


def encoder_of(name: str, folder: Path) -> str:
    """Return `name`, or for `random:bert-base` a new encoder's folder in `folder`, with MiniLM's tokenizer."""
    if not name.startswith(PREFIX):
        return name
    # Not at the top: benchmarks of a real encoder do without.
    from transformers import BertConfig, BertModel

    size = name.removeprefix(PREFIX)
    out, source = folder / size, find_encoder("minilm").folder
    torch.manual_seed(0)
    BertModel(BertConfig(**SIZES[size])).save_pretrained(out)
    for file in ("tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        if (source / file).exists():
            shutil.copy(source / file, out / file)
    return str(out)
